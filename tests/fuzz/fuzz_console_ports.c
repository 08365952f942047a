/*
 * A console device with several ports under a driver that writes anything anywhere: rings, chains,
 * control messages; and back ends that take as much as the input says, end when it says, and have
 * input. Checked: the bytes of a chain are offered in order, none twice; a driver is told of ports
 * that there are, with names that they have; a device that is reset has nothing in flight.
 */
#include <assert.h>
#include <linux/virtio_console.h>
#include <stdint.h>
#include <string.h>

#include "devices/virtio/virtio_console.h"
#include "tests/fuzz/quiet_log.h"
#include "tests/support/fuzz_driver.h"

#define MEM_LEN	   0x40000ull
#define RING_GPA   0x1000ull
#define DATA_GPA   0x20000ull
#define QUEUE_SIZE 16
#define PORTS	   4
#define QUEUES	   (2 * (PORTS + 1))
#define CTRL_IN	   2
#define CTRL_OUT   3

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

struct env;

struct back {
	struct char_port port;
	struct env *env;
	size_t room;
	bool hung_up;
	const uint8_t *next; /* where the last refusal stopped; NULL: nothing is owed */
};

struct env {
	struct guest_mem mem;
	struct loop loop;
	struct back backs[PORTS];
	struct virtio_console *console;
	struct virtio_device *dev;
	struct fake_ring rings[QUEUES];
};

static size_t back_writev(struct char_port *port, const struct iovec *iov, unsigned iov_count)
{
	struct back *back = container_of(port, struct back, port);
	const struct guest_mem_region *region = &back->env->mem.regions[0];
	size_t done = 0;

	assert(iov_count > 0);
	assert(!back->next || back->next == iov[0].iov_base);
	back->next = NULL;
	for (unsigned i = 0; i < iov_count; i++) {
		const uint8_t *data = iov[i].iov_base;
		size_t part = iov[i].iov_len < back->room ? iov[i].iov_len : back->room;

		assert(data >= region->host && data + iov[i].iov_len <= region->host + MEM_LEN);
		back->room -= part;
		done += part;
		if (part < iov[i].iov_len) {
			back->next = data + part;
			break;
		}
	}
	return done;
}

static size_t back_write(struct char_port *port, const uint8_t *data, size_t len)
{
	struct iovec iov = { (uint8_t *)(uintptr_t)data, len };

	return back_writev(port, &iov, 1);
}

static void back_input_ready(struct char_port *port)
{
	(void)port;
}

static bool back_hung_up(struct char_port *port)
{
	return container_of(port, struct back, port)->hung_up;
}

static const struct char_port_ops console_ops = { .write = back_write,
						  .input_ready = back_input_ready };
static const struct char_port_ops stream_ops = { .write = back_write,
						 .writev = back_writev,
						 .input_ready = back_input_ready,
						 .hung_up = back_hung_up };

static void forget(struct env *env)
{
	for (unsigned i = 0; i < PORTS; i++)
		env->backs[i].next = NULL;
}

static void bring_up(struct env *env, uint32_t features)
{
	fuzz_reset(env->dev);
	forget(env);
	fake_bring_up(env->dev, ~(uint64_t)UINT32_MAX | features, env->rings, RING_GPA, QUEUE_SIZE);
}

/* A control message, nearly honest or any bytes. */
static void say(struct env *env, struct input *in)
{
	struct virtio_console_control control = {
		.id = (uint32_t)take(in, 1) % (PORTS + 1),
		.event = (uint16_t)take(in, 1) % 10,
		.value = (uint16_t)take(in, 1),
	};
	struct fake_part part = { DATA_GPA + 0x8000, 1 + (uint32_t)take(in, 1) % 12, false };

	assert(guest_mem_write(&env->mem, part.gpa, &control, sizeof(control)) == 0);
	fake_ring_offer(&env->rings[CTRL_OUT], fake_ring_chain(&env->rings[CTRL_OUT], &part, 1));
	fuzz_kick(env->dev, &env->loop, CTRL_OUT);
}

/* An honest buffer for a message, and what came into it. */
static void listen_once(struct env *env)
{
	struct fake_part part = { DATA_GPA + 0x9000, 64, true };
	struct virtio_console_control control;
	struct fake_ring *ring = &env->rings[CTRL_IN];
	uint16_t before = ring->used->idx;
	uint32_t len;

	fake_ring_offer(ring, fake_ring_chain(ring, &part, 1));
	fuzz_kick(env->dev, &env->loop, CTRL_IN);
	if (ring->used->idx == before)
		return;
	len = ring->used->ring[(uint16_t)(ring->used->idx - 1) % ring->size].len;
	if (ring->used->idx != (uint16_t)(before + 1) || len < sizeof(control) || len > 64)
		return; /* into a buffer of the input's */
	assert(guest_mem_read(&env->mem, part.gpa, &control, sizeof(control)) == 0);
}

static void type(struct env *env, struct back *back, struct input *in)
{
	size_t len = take(in, 1);
	size_t taken;

	if (len > in->left)
		len = in->left;
	taken = back->port.front_ops->input(back->port.front, in->at, len);
	assert(taken <= len);
	in->at += taken;
	in->left -= taken;
	fake_loop_run_deferred(&env->loop);
}

static void step(struct env *env, struct input *in)
{
	uint8_t op = (uint8_t)take(in, 1);
	struct back *back = &env->backs[(op >> 4) % PORTS];

	switch (op % 16) {
	case 0:
		bring_up(env, take(in, 1) & 1 ? 0 : UINT32_MAX);
		break;
	case 1:
		fuzz_write_desc(fuzz_ring(env->rings, QUEUES, in), in);
		break;
	case 2:
		fake_ring_set_avail_idx(&env->rings[take(in, 1) % QUEUES], (uint16_t)take(in, 1));
		break;
	case 3:
		back->room = take(in, 1);
		back->port.front_ops->writable(back->port.front);
		fake_loop_run_deferred(&env->loop);
		break;
	case 4:
		type(env, back, in);
		break;
	case 5:
		virtio_queue_reset(virtio_queue_at(env->dev, (uint32_t)take(in, 1) % QUEUES));
		forget(env);
		break;
	case 6:
		env->backs[0].port.front_ops->resize(env->backs[0].port.front,
						     (uint16_t)take(in, 2), (uint16_t)take(in, 2));
		fake_loop_run_deferred(&env->loop);
		break;
	case 7:
		fuzz_kick(env->dev, &env->loop, (unsigned)take(in, 1));
		break;
	case 8:
		back->hung_up = true;
		back->port.front_ops->hangup(back->port.front);
		fake_loop_run_deferred(&env->loop);
		break;
	case 9:
		(void)back->port.front_ops->drain(back->port.front);
		fake_loop_run_deferred(&env->loop);
		break;
	case 10:
	case 11:
		say(env, in);
		break;
	case 12:
		listen_once(env);
		break;
	default:
		fuzz_add_chain(fuzz_ring(env->rings, QUEUES, in), DATA_GPA, in);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const char *const names[PORTS] = { NULL, "vmm.control", "vmm.stdin", "vmm.stdout" };
	struct virtio_console_port ports[PORTS];
	struct input in = { data, len };
	static struct env env;

	memset(&env, 0, sizeof(env));
	fake_loop_init(&env.loop);
	for (unsigned i = 0; i < PORTS; i++) {
		env.backs[i] = (struct back){ .port.ops = i == 0 ? &console_ops : &stream_ops,
					      .env = &env };
		ports[i] = (struct virtio_console_port){ .name = names[i],
							 .port = &env.backs[i].port,
							 .in_size = i == 0 ? 0 : 8 };
	}
	if (guest_mem_add(&env.mem, 0, MEM_LEN) < 0 ||
	    virtio_console_create(&env.console, &env.mem, &env.loop, ports, PORTS) < 0)
		abort();
	env.dev = virtio_console_device(env.console);
	bring_up(&env, UINT32_MAX);
	while (in.left > 0)
		step(&env, &in);
	virtio_console_destroy(env.console);
	guest_mem_fini(&env.mem);
	return 0;
}
