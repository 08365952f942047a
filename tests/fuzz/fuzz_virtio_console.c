/*
 * A console device under a driver that writes anything anywhere, and a port that takes as much as
 * the input says. Checked: no byte of output is lost or written twice while the device runs, and a
 * device that is reset has nothing in flight.
 */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "devices/virtio/virtio_console.h"
#include "tests/fuzz/quiet_log.h"
#include "tests/support/fake_driver.h"
#include "tests/support/fake_loop.h"

#define MEM_LEN	   0x20000ull
#define RING_GPA   0x1000ull
#define DATA_GPA   0x8000ull
#define QUEUE_SIZE 16
#define QUEUES	   2
#define PARTS_MAX  6

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

struct input {
	const uint8_t *at;
	size_t left;
};

static uint64_t take(struct input *in, size_t width)
{
	uint64_t value = 0;

	if (width > in->left)
		width = in->left;
	memcpy(&value, in->at, width);
	in->at += width;
	in->left -= width;
	return value;
}

struct env {
	struct guest_mem mem;
	struct loop loop;
	struct char_port port;
	size_t room;
	uint64_t written;
	uint64_t refused; /* bytes of the last refusal, still owed */
	struct virtio_console *console;
	struct virtio_device *dev;
	struct fake_ring rings[QUEUES];
};

static size_t port_write(struct char_port *port, const uint8_t *data, size_t len)
{
	struct env *env = container_of(port, struct env, port);
	const struct guest_mem_region *region = &env->mem.regions[0];
	size_t taken = len < env->room ? len : env->room;

	assert(data >= region->host && data + len <= region->host + MEM_LEN);
	/* What was refused is offered again, and nothing else before it. */
	assert(env->refused == 0 || len == env->refused);
	env->refused = len - taken;
	env->room -= taken;
	env->written += taken;
	return taken;
}

static void port_input_ready(struct char_port *port)
{
	(void)port;
}

static const struct char_port_ops port_ops = {
	.write = port_write,
	.input_ready = port_input_ready,
};

static void bring_up(struct env *env)
{
	virtio_set_status(env->dev, 0);
	for (unsigned i = 0; i < QUEUES; i++)
		assert(env->dev->queues[i].inflight == 0);
	env->refused = 0;
	virtio_set_status(env->dev, 3);
	virtio_set_features(env->dev, 0, (uint32_t)env->dev->features);
	virtio_set_features(env->dev, 1, (uint32_t)(env->dev->features >> 32));
	virtio_set_status(env->dev, 11);
	for (unsigned i = 0; i < QUEUES; i++) {
		struct virtio_queue *q = virtio_queue_at(env->dev, i);
		struct fake_ring *ring = &env->rings[i];

		fake_ring_init(ring, &env->mem, RING_GPA + 0x1000 * i, QUEUE_SIZE);
		virtio_queue_set_size(q, QUEUE_SIZE);
		virtio_queue_set_addr(q, VIRTIO_QUEUE_DESC, false, (uint32_t)ring->desc_gpa);
		virtio_queue_set_addr(q, VIRTIO_QUEUE_AVAIL, false, (uint32_t)ring->avail_gpa);
		virtio_queue_set_addr(q, VIRTIO_QUEUE_USED, false, (uint32_t)ring->used_gpa);
		virtio_queue_set_enabled(q, true);
	}
	virtio_set_status(env->dev, 15);
}

static void add_chain(struct env *env, struct input *in)
{
	struct fake_ring *ring = &env->rings[take(in, 1) % QUEUES];
	struct fake_part parts[PARTS_MAX];
	unsigned count = 1 + (unsigned)take(in, 1) % PARTS_MAX;
	unsigned writable_from = (unsigned)take(in, 1) % (PARTS_MAX + 1);

	for (unsigned i = 0; i < count; i++)
		parts[i] = (struct fake_part){
			.gpa = DATA_GPA + (take(in, 2) & 0x7fff),
			.len = (uint32_t)take(in, 1),
			.writable = i >= writable_from,
		};
	fake_ring_offer(ring, fake_ring_chain(ring, parts, count));
}

static void write_desc(struct env *env, struct input *in)
{
	struct fake_ring *ring = &env->rings[take(in, 1) % QUEUES];

	fake_ring_desc(ring, (uint16_t)(take(in, 1) % QUEUE_SIZE), take(in, 3),
		       (uint32_t)take(in, 2), (uint16_t)take(in, 1), (uint16_t)take(in, 1));
}

static void kick(struct env *env, unsigned queue)
{
	uint64_t one = 1;

	(void)!write(env->dev->queues[queue % QUEUES].kick_fd, &one, sizeof(one));
	fake_loop_round(&env->loop);
}

static void type(struct env *env, struct input *in)
{
	size_t len = take(in, 1);
	size_t taken;

	if (len > in->left)
		len = in->left;
	taken = env->port.front_ops->input(env->port.front, in->at, len);
	assert(taken <= len);
	in->at += taken;
	in->left -= taken;
	fake_loop_run_deferred(&env->loop);
}

static void step(struct env *env, struct input *in)
{
	uint8_t config[64];

	switch (take(in, 1) % 10) {
	case 0:
		bring_up(env);
		break;
	case 1:
		write_desc(env, in);
		break;
	case 2:
		fake_ring_set_avail_idx(&env->rings[take(in, 1) % QUEUES], (uint16_t)take(in, 1));
		break;
	case 3:
		env->room = take(in, 1);
		env->port.front_ops->writable(env->port.front);
		fake_loop_run_deferred(&env->loop);
		break;
	case 4:
		type(env, in);
		break;
	case 5:
		virtio_queue_reset(virtio_queue_at(env->dev, (uint32_t)take(in, 1) % QUEUES));
		env->refused = 0;
		break;
	case 6:
		env->port.front_ops->resize(env->port.front, (uint16_t)take(in, 2),
					    (uint16_t)take(in, 2));
		virtio_config_read(env->dev, take(in, 1), config, sizeof(config));
		break;
	case 7:
		kick(env, (unsigned)take(in, 1));
		break;
	default:
		add_chain(env, in);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct input in = { data, len };
	struct env env = { .port.ops = &port_ops };

	fake_loop_init(&env.loop);
	if (guest_mem_add(&env.mem, 0, MEM_LEN) < 0 ||
	    virtio_console_create(&env.console, &env.mem, &env.loop,
				  &(struct virtio_console_port){ .port = &env.port }, 1) < 0)
		abort();
	env.dev = virtio_console_device(env.console);
	bring_up(&env);
	while (in.left > 0)
		step(&env, &in);
	virtio_console_destroy(env.console);
	guest_mem_fini(&env.mem);
	return 0;
}
