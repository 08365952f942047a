/* The console device against a port that is a buffer. */
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

#define MEM_LEN	 0x40000ull
#define RING_GPA 0x1000ull
#define DATA_GPA 0x8000ull
#define SIZE	 8
#define INPUT	 0
#define OUTPUT	 1

struct env {
	struct guest_mem mem;
	struct loop loop;
	struct char_port port;
	char written[4096];
	size_t written_len;
	size_t room;
	size_t swallowed; /* by a port without end */
	bool endless;
	unsigned ready_count;
	struct virtio_console *console;
	struct virtio_device *dev;
	struct fake_ring rings[2];
	unsigned interrupts[2];
	unsigned config_interrupts;
};

static struct env *the_env; /* transport ops get no pointer of ours */

static void count_interrupt(struct virtio_device *dev, uint16_t queue_index)
{
	(void)dev;
	the_env->interrupts[queue_index]++;
}

static void count_config_interrupt(struct virtio_device *dev)
{
	(void)dev;
	the_env->config_interrupts++;
}

static const struct virtio_transport_ops transport = {
	.interrupt_queue = count_interrupt,
	.interrupt_config = count_config_interrupt,
};

static size_t port_write(struct char_port *port, const uint8_t *data, size_t len)
{
	struct env *env = container_of(port, struct env, port);

	if (env->endless) {
		env->swallowed += len;
		return len;
	}
	if (len > env->room)
		len = env->room;
	memcpy(env->written + env->written_len, data, len);
	env->written_len += len;
	env->room -= len;
	return len;
}

static void port_input_ready(struct char_port *port)
{
	container_of(port, struct env, port)->ready_count++;
}

static bool port_get_size(struct char_port *port, uint16_t *columns, uint16_t *rows)
{
	(void)port;
	*columns = 80;
	*rows = 25;
	return true;
}

static const struct char_port_ops port_ops = {
	.write = port_write,
	.input_ready = port_input_ready,
	.get_size = port_get_size,
};

static void start(struct env *env)
{
	fake_bring_up(env->dev, 1ull << VIRTIO_F_VERSION_1 | 1u << VIRTIO_CONSOLE_F_SIZE,
		      env->rings, RING_GPA, SIZE);
	fake_loop_round(&env->loop);
}

static int setup(void **state)
{
	struct env *env = calloc(1, sizeof(*env));

	*state = env;
	the_env = env;
	fake_loop_init(&env->loop);
	env->port.ops = &port_ops;
	env->room = sizeof(env->written);
	if (guest_mem_add(&env->mem, 0, MEM_LEN) < 0 ||
	    virtio_console_create(&env->console, &env->mem, &env->loop,
				  &(struct virtio_console_port){ .port = &env->port }, 1) < 0)
		return -1;
	env->dev = virtio_console_device(env->console);
	virtio_device_attach(env->dev, &transport);
	start(env);
	return 0;
}

static int teardown(void **state)
{
	struct env *env = *state;

	virtio_console_destroy(env->console);
	assert_null(env->port.front_ops);
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

static void offer_text(struct env *env, gpa_t gpa, const char *a, const char *b)
{
	struct fake_part parts[] = { { gpa, (uint32_t)strlen(a), false },
				     { gpa + 256, (uint32_t)strlen(b), false } };

	assert_int_equal(guest_mem_write(&env->mem, gpa, a, strlen(a)), 0);
	assert_int_equal(guest_mem_write(&env->mem, gpa + 256, b, strlen(b)), 0);
	fake_ring_add(&env->rings[OUTPUT], parts, 2);
}

static size_t type(struct env *env, const char *text)
{
	size_t taken =
		env->port.front_ops->input(env->port.front, (const uint8_t *)text, strlen(text));

	fake_loop_round(&env->loop);
	return taken;
}

static void expect_written(struct env *env, const char *text)
{
	assert_int_equal(env->written_len, strlen(text));
	assert_memory_equal(env->written, text, strlen(text));
}

static void chains_are_written_in_order_with_one_interrupt(void **state)
{
	struct env *env = *state;

	offer_text(env, DATA_GPA, "one ", "two ");
	offer_text(env, DATA_GPA + 512, "three ", "four");
	kick(env, OUTPUT);
	expect_written(env, "one two three four");
	assert_int_equal(fake_ring_used_count(&env->rings[OUTPUT]), 2);
	assert_int_equal(env->interrupts[OUTPUT], 1);
}

static void full_port_holds_the_chain_and_loses_nothing(void **state)
{
	struct env *env = *state;

	env->room = 6;
	offer_text(env, DATA_GPA, "0123", "4567");
	offer_text(env, DATA_GPA + 512, "89", "ab");
	kick(env, OUTPUT);
	expect_written(env, "012345");
	assert_int_equal(fake_ring_used_count(&env->rings[OUTPUT]), 0);
	kick(env, OUTPUT);
	expect_written(env, "012345");
	env->room = 100;
	env->port.front_ops->writable(env->port.front);
	fake_loop_round(&env->loop);
	expect_written(env, "0123456789ab");
	assert_int_equal(fake_ring_used_count(&env->rings[OUTPUT]), 2);
}

/* All of a large memory in each part would else keep the loop, and what ends the machine, for
 * minutes. */
static void long_chain_is_written_in_turns(void **state)
{
	struct env *env = *state;
	struct fake_part parts[SIZE];
	unsigned rounds = 0;

	for (unsigned i = 0; i < SIZE; i++)
		parts[i] = (struct fake_part){ 0, MEM_LEN, false };
	env->endless = true;
	fake_ring_add(&env->rings[OUTPUT], parts, SIZE);
	kick(env, OUTPUT);
	assert_in_range(env->swallowed, 1, MEM_LEN);
	for (; env->swallowed < SIZE * MEM_LEN; rounds++) {
		assert_in_range(rounds, 0, 100);
		fake_loop_round(&env->loop);
	}
	assert_int_equal(env->swallowed, SIZE * MEM_LEN);
	fake_loop_round(&env->loop);
	assert_int_equal(fake_ring_used_count(&env->rings[OUTPUT]), 1);
}

static void reset_between_turns_gives_the_chain_up(void **state)
{
	struct env *env = *state;
	struct fake_part part = { 0, MEM_LEN, false };
	size_t before;

	env->endless = true;
	fake_ring_add(&env->rings[OUTPUT], &part, 1);
	kick(env, OUTPUT);
	before = env->swallowed;
	assert_in_range(before, 1, MEM_LEN - 1);
	start(env);
	fake_loop_round(&env->loop);
	assert_int_equal(env->swallowed, before);
}

static void reset_while_a_chain_is_held_gives_it_up(void **state)
{
	struct env *env = *state;

	env->room = 1;
	offer_text(env, DATA_GPA, "xy", "z");
	kick(env, OUTPUT);
	env->room = 100;
	start(env);
	env->port.front_ops->writable(env->port.front);
	offer_text(env, DATA_GPA, "n", "ew");
	kick(env, OUTPUT);
	expect_written(env, "xnew");
}

static void input_fills_buffers_and_the_rest_waits(void **state)
{
	struct env *env = *state;
	struct fake_part a = { DATA_GPA, 4, true };
	struct fake_part b[] = { { DATA_GPA + 64, 2, true }, { DATA_GPA + 128, 2, true } };
	uint32_t head, len;

	fake_ring_add(&env->rings[INPUT], &a, 1);
	fake_ring_add(&env->rings[INPUT], b, 2);
	assert_int_equal(type(env, "abcdefghij"), 8);
	assert_true(fake_ring_take(&env->rings[INPUT], &head, &len));
	assert_int_equal(len, 4);
	assert_true(fake_ring_take(&env->rings[INPUT], &head, &len));
	assert_int_equal(len, 4);
	assert_memory_equal(guest_mem_ptr(&env->mem, DATA_GPA, 4), "abcd", 4);
	assert_memory_equal(guest_mem_ptr(&env->mem, DATA_GPA + 128, 2), "gh", 2);
	assert_int_equal(env->interrupts[INPUT], 1);
}

static void new_buffers_ask_for_waiting_input(void **state)
{
	struct env *env = *state;
	struct fake_part a = { DATA_GPA, 4, true };
	unsigned before;

	assert_int_equal(type(env, "x"), 0);
	before = env->ready_count;
	fake_ring_add(&env->rings[INPUT], &a, 1);
	kick(env, INPUT);
	assert_int_equal(env->ready_count, before + 1);
	assert_int_equal(type(env, "x"), 1);
}

static void input_before_the_driver_is_ready_is_refused(void **state)
{
	struct env *env = *state;

	virtio_set_status(env->dev, 0);
	assert_int_equal(type(env, "x"), 0);
}

static void buffers_for_reading_are_not_written_to(void **state)
{
	struct env *env = *state;
	struct fake_part a = { DATA_GPA, 4, false };

	fake_ring_add(&env->rings[INPUT], &a, 1);
	assert_int_equal(type(env, "abcd"), 0);
	assert_int_equal(*(uint32_t *)guest_mem_ptr(&env->mem, DATA_GPA, 4), 0);
	assert_int_equal(fake_ring_used_count(&env->rings[INPUT]), 1);
}

static void size_is_told_and_its_change_interrupts(void **state)
{
	struct env *env = *state;
	struct virtio_console_config config;

	virtio_config_read(env->dev, 0, &config, sizeof(config));
	assert_int_equal(config.cols, 80);
	assert_int_equal(config.rows, 25);
	env->port.front_ops->resize(env->port.front, 132, 50);
	assert_int_equal(env->config_interrupts, 1);
	virtio_config_read(env->dev, 0, &config, sizeof(config));
	assert_int_equal(config.cols, 132);
	assert_int_equal(config.rows, 50);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(chains_are_written_in_order_with_one_interrupt),
		TEST(full_port_holds_the_chain_and_loses_nothing),
		TEST(long_chain_is_written_in_turns),
		TEST(reset_between_turns_gives_the_chain_up),
		TEST(reset_while_a_chain_is_held_gives_it_up),
		TEST(input_fills_buffers_and_the_rest_waits),
		TEST(new_buffers_ask_for_waiting_input),
		TEST(input_before_the_driver_is_ready_is_refused),
		TEST(buffers_for_reading_are_not_written_to),
		TEST(size_is_told_and_its_change_interrupts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
