/* The console device with several ports: control messages, and whose bytes go where. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <linux/virtio_console.h>

#include "devices/virtio/virtio_console.h"
#include "tests/support/fake_bring_up.h"
#include "tests/support/fake_loop.h"

#define MEM_LEN	  0x80000ull
#define RING_GPA  0x1000ull
#define DATA_GPA  0x40000ull
#define BUF_LEN	  64u
#define SIZE	  8
#define PORTS	  3
#define QUEUES	  (2 * (PORTS + 1))
#define CTRL_IN	  2
#define CTRL_OUT  3
#define MULTIPORT (1u << VIRTIO_CONSOLE_F_MULTIPORT)

/* A back end that is a buffer. */
struct back {
	struct char_port port;
	char written[256];
	size_t written_len;
	size_t room;
	unsigned ready_count;
	unsigned calls;
	bool hung_up;
};

struct env {
	struct guest_mem mem;
	struct loop loop;
	struct back backs[PORTS];
	struct virtio_console *console;
	struct virtio_device *dev;
	struct fake_ring rings[QUEUES];
	unsigned given; /* buffers offered for control messages so far */
};

static size_t back_write(struct char_port *port, const uint8_t *data, size_t len)
{
	struct back *back = container_of(port, struct back, port);

	if (len > back->room)
		len = back->room;
	memcpy(back->written + back->written_len, data, len);
	back->written_len += len;
	back->room -= len;
	return len;
}

static size_t back_writev(struct char_port *port, const struct iovec *iov, unsigned iov_count)
{
	struct back *back = container_of(port, struct back, port);
	size_t done = 0;

	back->calls++;
	for (unsigned i = 0; i < iov_count; i++) {
		size_t part = back_write(port, iov[i].iov_base, iov[i].iov_len);

		done += part;
		if (part < iov[i].iov_len)
			break;
	}
	return done;
}

static void back_input_ready(struct char_port *port)
{
	container_of(port, struct back, port)->ready_count++;
}

static bool back_hung_up(struct char_port *port)
{
	return container_of(port, struct back, port)->hung_up;
}

static bool back_get_size(struct char_port *port, uint16_t *columns, uint16_t *rows)
{
	(void)port;
	*columns = 80;
	*rows = 25;
	return true;
}

static const struct char_port_ops console_ops = { .write = back_write,
						  .input_ready = back_input_ready,
						  .get_size = back_get_size };
static const struct char_port_ops stream_ops = { .write = back_write,
						 .writev = back_writev,
						 .input_ready = back_input_ready,
						 .hung_up = back_hung_up };

static void start(struct env *env, uint32_t features)
{
	env->given = 0;
	fake_bring_up(env->dev, 1ull << VIRTIO_F_VERSION_1 | features, env->rings, RING_GPA, SIZE);
	fake_loop_round(&env->loop);
}

static int setup(void **state)
{
	struct env *env = calloc(1, sizeof(*env));
	struct virtio_console_port ports[PORTS] = {
		{ .port = &env->backs[0].port },
		{ .name = "vmm.one", .port = &env->backs[1].port, .in_size = 4 },
		{ .name = "vmm.two", .port = &env->backs[2].port, .in_size = 2 },
	};

	*state = env;
	fake_loop_init(&env->loop);
	for (unsigned i = 0; i < PORTS; i++) {
		env->backs[i].port.ops = i == 0 ? &console_ops : &stream_ops;
		env->backs[i].room = sizeof(env->backs[i].written);
	}
	if (guest_mem_add(&env->mem, 0, MEM_LEN) < 0 ||
	    virtio_console_create(&env->console, &env->mem, &env->loop, ports, PORTS) < 0)
		return -1;
	env->dev = virtio_console_device(env->console);
	start(env, MULTIPORT);
	return 0;
}

static int teardown(void **state)
{
	struct env *env = *state;

	virtio_console_destroy(env->console);
	for (unsigned i = 0; i < PORTS; i++)
		assert_null(env->backs[i].port.front_ops);
	guest_mem_fini(&env->mem);
	free(env);
	return 0;
}

static void kick(struct env *env, unsigned queue)
{
	uint64_t one = 1;

	assert_int_equal(write(env->dev->queues[queue].kick_fd, &one, sizeof(one)), sizeof(one));
	fake_loop_round(&env->loop);
}

static gpa_t buffer_gpa(unsigned index)
{
	return DATA_GPA + (index % SIZE) * BUF_LEN;
}

static void give_buffers(struct env *env, unsigned count)
{
	while (count-- > 0) {
		struct fake_part part = { buffer_gpa(env->given++), BUF_LEN, true };

		fake_ring_add(&env->rings[CTRL_IN], &part, 1);
	}
	kick(env, CTRL_IN);
}

static void tell_bytes(struct env *env, const void *data, uint32_t len)
{
	struct fake_part part = { DATA_GPA + 0x1000, len, false };

	assert_int_equal(guest_mem_write(&env->mem, part.gpa, data, len), 0);
	fake_ring_add(&env->rings[CTRL_OUT], &part, 1);
	kick(env, CTRL_OUT);
}

static void tell(struct env *env, uint32_t id, uint16_t event, uint16_t value)
{
	struct virtio_console_control control = { id, event, value };

	tell_bytes(env, &control, sizeof(control));
}

/* The next message to the driver. */
static void expect(struct env *env, uint32_t id, uint16_t event, uint16_t value, const char *rest)
{
	struct virtio_console_control control;
	uint32_t head, len;
	unsigned index;

	assert_true(fake_ring_take(&env->rings[CTRL_IN], &head, &len));
	index = env->rings[CTRL_IN].used_seen - 1u;
	assert_int_equal(guest_mem_read(&env->mem, buffer_gpa(index), &control, sizeof(control)),
			 0);
	assert_int_equal(control.id, id);
	assert_int_equal(control.event, event);
	assert_int_equal(control.value, value);
	assert_int_equal(len, sizeof(control) + strlen(rest));
	assert_memory_equal(
		guest_mem_ptr(&env->mem, buffer_gpa(index) + sizeof(control), strlen(rest)), rest,
		strlen(rest));
}

/* 5.3.6.2: columns, then rows. */
static void expect_size(struct env *env, uint16_t columns, uint16_t rows)
{
	struct {
		struct virtio_console_control control;
		uint16_t columns, rows;
	} message;
	uint32_t head, len;

	assert_true(fake_ring_take(&env->rings[CTRL_IN], &head, &len));
	assert_int_equal(len, sizeof(message));
	assert_int_equal(guest_mem_read(&env->mem, buffer_gpa(env->rings[CTRL_IN].used_seen - 1u),
					&message, sizeof(message)),
			 0);
	assert_int_equal(message.control.event, VIRTIO_CONSOLE_RESIZE);
	assert_int_equal(message.columns, columns);
	assert_int_equal(message.rows, rows);
}

static void expect_silence(struct env *env)
{
	assert_int_equal(fake_ring_used_count(&env->rings[CTRL_IN]), 0);
}

/* As far as an honest driver gets with port ID, opened. */
static void open_port(struct env *env, uint32_t id)
{
	uint32_t head, len;

	give_buffers(env, 4);
	tell(env, id, VIRTIO_CONSOLE_PORT_READY, 1);
	tell(env, id, VIRTIO_CONSOLE_PORT_OPEN, 1);
	while (fake_ring_take(&env->rings[CTRL_IN], &head, &len))
		;
	while (fake_ring_take(&env->rings[CTRL_OUT], &head, &len))
		;
}

static size_t type(struct env *env, unsigned id, const char *text)
{
	struct char_port *port = &env->backs[id].port;
	size_t taken = port->front_ops->input(port->front, (const uint8_t *)text, strlen(text));

	fake_loop_round(&env->loop);
	return taken;
}

static void offer(struct env *env, unsigned queue, const char *text)
{
	struct fake_part part = { DATA_GPA + 0x2000, (uint32_t)strlen(text), false };

	assert_int_equal(guest_mem_write(&env->mem, part.gpa, text, strlen(text)), 0);
	fake_ring_add(&env->rings[queue], &part, 1);
	kick(env, queue);
}

/* ---- messages ---- */

static void multiport_is_offered_with_as_many_ports(void **state)
{
	struct env *env = *state;
	struct virtio_console_config config;

	assert_true(virtio_get_features(env->dev, 0) & MULTIPORT);
	virtio_config_read(env->dev, 0, &config, sizeof(config));
	assert_int_equal(config.max_nr_ports, PORTS);
	assert_int_equal(env->dev->queue_count, QUEUES);
	/* Linux keeps as many pages as a queue for input has entries. */
	assert_int_equal(env->dev->queues[4].vq.size_max, 4);
	assert_int_equal(env->dev->queues[6].vq.size_max, 2);
	assert_in_range(env->dev->queues[CTRL_IN].vq.size_max, 8, 32);
}

static void ready_driver_learns_of_every_port(void **state)
{
	struct env *env = *state;

	give_buffers(env, 8);
	expect_silence(env);
	tell(env, 0, VIRTIO_CONSOLE_DEVICE_READY, 1);
	for (uint32_t i = 0; i < PORTS; i++)
		expect(env, i, VIRTIO_CONSOLE_PORT_ADD, 1, "");
	expect_silence(env);
	tell(env, 1, VIRTIO_CONSOLE_PORT_READY, 1);
	expect(env, 1, VIRTIO_CONSOLE_PORT_OPEN, 1, "");
	expect(env, 1, VIRTIO_CONSOLE_PORT_NAME, 1, "vmm.one");
	expect_silence(env);
}

static void console_port_is_one_and_has_a_size(void **state)
{
	struct env *env = *state;

	give_buffers(env, 8);
	tell(env, 0, VIRTIO_CONSOLE_PORT_READY, 1);
	expect(env, 0, VIRTIO_CONSOLE_CONSOLE_PORT, 1, "");
	expect(env, 0, VIRTIO_CONSOLE_PORT_OPEN, 1, "");
	expect_size(env, 80, 25);
	expect_silence(env);
}

static void resize_is_told_to_a_ready_port_alone(void **state)
{
	struct env *env = *state;
	struct char_port *port = &env->backs[0].port;

	give_buffers(env, 4);
	port->front_ops->resize(port->front, 1, 2);
	fake_loop_round(&env->loop);
	expect_silence(env);
	open_port(env, 0);
	port->front_ops->resize(port->front, 3, 4);
	fake_loop_round(&env->loop);
	assert_int_equal(fake_ring_used_count(&env->rings[CTRL_IN]), 1);
}

static void messages_wait_for_buffers_and_the_last_value_counts(void **state)
{
	struct env *env = *state;
	struct char_port *port = &env->backs[1].port;

	tell(env, 1, VIRTIO_CONSOLE_PORT_READY, 1);
	expect_silence(env);
	env->backs[1].hung_up = true;
	for (int i = 0; i < 1000; i++)
		port->front_ops->hangup(port->front);
	give_buffers(env, 1);
	expect(env, 1, VIRTIO_CONSOLE_PORT_OPEN, 0, "");
	expect_silence(env);
	give_buffers(env, 4);
	expect(env, 1, VIRTIO_CONSOLE_PORT_NAME, 1, "vmm.one");
	expect_silence(env);
}

static void small_buffer_gets_what_fits(void **state)
{
	struct env *env = *state;
	struct fake_part part = { DATA_GPA, 3, true };
	uint32_t head, len;

	fake_ring_add(&env->rings[CTRL_IN], &part, 1);
	kick(env, CTRL_IN);
	tell(env, 0, VIRTIO_CONSOLE_DEVICE_READY, 1);
	assert_true(fake_ring_take(&env->rings[CTRL_IN], &head, &len));
	assert_int_equal(len, 3);
	assert_int_equal(*(uint8_t *)guest_mem_ptr(&env->mem, DATA_GPA + 3, 1), 0);
}

static void hangup_closes_the_port_towards_the_guest(void **state)
{
	struct env *env = *state;
	struct char_port *port = &env->backs[2].port;

	open_port(env, 2);
	env->given = env->rings[CTRL_IN].used_seen;
	env->backs[2].hung_up = true;
	port->front_ops->hangup(port->front);
	fake_loop_round(&env->loop);
	assert_int_equal(fake_ring_used_count(&env->rings[CTRL_IN]), 1);
}

static void lies_are_harmless(void **state)
{
	struct env *env = *state;

	give_buffers(env, 8);
	tell(env, PORTS, VIRTIO_CONSOLE_PORT_READY, 1);
	tell(env, UINT32_MAX, VIRTIO_CONSOLE_PORT_OPEN, 1);
	tell(env, 1, VIRTIO_CONSOLE_PORT_NAME, 1);
	tell(env, 1, 999, 1);
	tell_bytes(env, "short", 5);
	tell_bytes(env, "a message with more than eight bytes", 36);
	tell(env, 0, VIRTIO_CONSOLE_DEVICE_READY, 0);
	tell(env, 1, VIRTIO_CONSOLE_PORT_READY, 0);
	expect_silence(env);
	assert_int_equal(virtio_get_status(env->dev) & VIRTIO_CONFIG_S_NEEDS_RESET, 0);
	assert_int_equal(fake_ring_used_count(&env->rings[CTRL_OUT]), 8);
}

/* ---- bytes ---- */

static void output_goes_to_its_port(void **state)
{
	struct env *env = *state;

	offer(env, 1, "zero");
	offer(env, 5, "one");
	offer(env, 7, "two");
	for (unsigned i = 0; i < PORTS; i++) {
		static const char *const texts[] = { "zero", "one", "two" };

		assert_int_equal(env->backs[i].written_len, strlen(texts[i]));
		assert_memory_equal(env->backs[i].written, texts[i], strlen(texts[i]));
	}
}

static void parts_are_offered_together_and_go_on_where_they_stopped(void **state)
{
	struct env *env = *state;
	struct fake_part parts[] = { { DATA_GPA, 4, false },
				     { DATA_GPA + 16, 4, false },
				     { DATA_GPA + 32, 4, false } };
	struct char_port *port = &env->backs[1].port;

	assert_int_equal(guest_mem_write(&env->mem, DATA_GPA, "abcd", 4), 0);
	assert_int_equal(guest_mem_write(&env->mem, DATA_GPA + 16, "efgh", 4), 0);
	assert_int_equal(guest_mem_write(&env->mem, DATA_GPA + 32, "ijkl", 4), 0);
	env->backs[1].room = 6;
	fake_ring_add(&env->rings[5], parts, 3);
	kick(env, 5);
	assert_int_equal(env->backs[1].written_len, 6);
	assert_false(port->front_ops->drain(port->front));
	env->backs[1].room = 100;
	env->backs[1].calls = 0;
	port->front_ops->writable(port->front);
	fake_loop_round(&env->loop);
	assert_int_equal(env->backs[1].calls, 1);
	assert_memory_equal(env->backs[1].written, "abcdefghijkl", 12);
	assert_int_equal(fake_ring_used_count(&env->rings[5]), 1);
	assert_true(port->front_ops->drain(port->front));
}

static void drain_takes_what_nobody_was_told_of(void **state)
{
	struct env *env = *state;
	struct fake_part part = { DATA_GPA, 5, false };
	struct char_port *port = &env->backs[2].port;

	assert_int_equal(guest_mem_write(&env->mem, DATA_GPA, "quiet", 5), 0);
	fake_ring_add(&env->rings[7], &part, 1);
	assert_true(port->front_ops->drain(port->front));
	assert_memory_equal(env->backs[2].written, "quiet", 5);
}

static void input_waits_until_the_guest_opens_the_port(void **state)
{
	struct env *env = *state;
	struct fake_part part = { DATA_GPA + 0x3000, 16, true };
	unsigned before;

	fake_ring_add(&env->rings[4], &part, 1);
	kick(env, 4);
	assert_int_equal(type(env, 1, "hello"), 0);
	before = env->backs[1].ready_count;
	open_port(env, 1);
	assert_true(env->backs[1].ready_count > before);
	assert_int_equal(type(env, 1, "hello"), 5);
	assert_memory_equal(guest_mem_ptr(&env->mem, part.gpa, 5), "hello", 5);
	tell(env, 1, VIRTIO_CONSOLE_PORT_OPEN, 0);
	fake_ring_add(&env->rings[4], &part, 1);
	assert_int_equal(type(env, 1, "more"), 0);
}

static void driver_without_multiport_has_the_first_port(void **state)
{
	struct env *env = *state;
	struct fake_part part = { DATA_GPA + 0x3000, 16, true };

	start(env, 0);
	give_buffers(env, 4);
	tell(env, 0, VIRTIO_CONSOLE_DEVICE_READY, 1);
	expect_silence(env);
	offer(env, 1, "plain");
	assert_memory_equal(env->backs[0].written, "plain", 5);
	fake_ring_add(&env->rings[0], &part, 1);
	assert_int_equal(type(env, 0, "typed"), 5);
}

static void reset_forgets_what_the_driver_said(void **state)
{
	struct env *env = *state;
	struct fake_part part = { DATA_GPA + 0x3000, 16, true };
	struct char_port *port = &env->backs[1].port;

	open_port(env, 1);
	start(env, MULTIPORT);
	fake_ring_add(&env->rings[4], &part, 1);
	assert_int_equal(type(env, 1, "hello"), 0);
	give_buffers(env, 4);
	port->front_ops->hangup(port->front);
	fake_loop_round(&env->loop);
	expect_silence(env);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(multiport_is_offered_with_as_many_ports),
		TEST(ready_driver_learns_of_every_port),
		TEST(console_port_is_one_and_has_a_size),
		TEST(resize_is_told_to_a_ready_port_alone),
		TEST(messages_wait_for_buffers_and_the_last_value_counts),
		TEST(small_buffer_gets_what_fits),
		TEST(hangup_closes_the_port_towards_the_guest),
		TEST(lies_are_harmless),
		TEST(output_goes_to_its_port),
		TEST(parts_are_offered_together_and_go_on_where_they_stopped),
		TEST(drain_takes_what_nobody_was_told_of),
		TEST(input_waits_until_the_guest_opens_the_port),
		TEST(driver_without_multiport_has_the_first_port),
		TEST(reset_forgets_what_the_driver_said),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
