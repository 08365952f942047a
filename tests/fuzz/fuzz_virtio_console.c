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
#include "tests/support/fuzz_driver.h"

#define MEM_LEN	   0x20000ull
#define RING_GPA   0x1000ull
#define DATA_GPA   0x8000ull
#define QUEUE_SIZE 16
#define QUEUES	   2

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

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
	fuzz_reset(env->dev);
	env->refused = 0;
	fake_bring_up(env->dev, UINT64_MAX, env->rings, RING_GPA, QUEUE_SIZE);
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
		fuzz_write_desc(fuzz_ring(env->rings, QUEUES, in), in);
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
		fuzz_kick(env->dev, &env->loop, (unsigned)take(in, 1));
		break;
	default:
		fuzz_add_chain(fuzz_ring(env->rings, QUEUES, in), DATA_GPA, in);
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
