/* The entropy device fills what it is offered, within its limit, and only that. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "devices/virtio/virtio_rng.h"
#include "tests/support/fake_bring_up.h"
#include "tests/support/fake_loop.h"

#define MEM_LEN	 0x20000ull
#define DATA_GPA 0x8000ull
#define SIZE	 8

struct env {
	struct guest_mem mem;
	struct loop loop;
	struct virtio_rng *rng;
	struct fake_ring ring;
};

static void no_interrupt(struct virtio_device *dev, uint16_t queue_index)
{
	(void)dev;
	(void)queue_index;
}

static void no_config_interrupt(struct virtio_device *dev)
{
	(void)dev;
}

static const struct virtio_transport_ops transport = {
	.interrupt_queue = no_interrupt,
	.interrupt_config = no_config_interrupt,
};

static int setup(void **state)
{
	struct env *env = calloc(1, sizeof(*env));
	struct virtio_device *dev;

	*state = env;
	fake_loop_init(&env->loop);
	if (guest_mem_add(&env->mem, 0, MEM_LEN) < 0 ||
	    virtio_rng_create(&env->rng, &env->mem, &env->loop) < 0)
		return -1;
	dev = virtio_rng_device(env->rng);
	virtio_device_attach(dev, &transport);
	fake_bring_up(dev, 1ull << VIRTIO_F_VERSION_1, &env->ring, 0x1000, SIZE);
	return 0;
}

static int teardown(void **state)
{
	struct env *env = *state;

	virtio_rng_destroy(env->rng);
	guest_mem_fini(&env->mem);
	free(env);
	return 0;
}

static uint32_t ask(struct env *env, const struct fake_part *parts, unsigned count)
{
	const struct virtio_device *dev = virtio_rng_device(env->rng);
	uint64_t one = 1;
	uint32_t head, len;

	fake_ring_add(&env->ring, parts, count);
	assert_int_equal(write(dev->queues[0].kick_fd, &one, sizeof(one)), sizeof(one));
	fake_loop_round(&env->loop);
	assert_true(fake_ring_take(&env->ring, &head, &len));
	return len;
}

/* Bytes at GPA that are not 0. */
static unsigned count_set(struct env *env, gpa_t gpa, uint32_t len)
{
	const uint8_t *p = guest_mem_ptr(&env->mem, gpa, len);
	unsigned count = 0;

	for (uint32_t i = 0; i < len; i++)
		count += p[i] != 0;
	return count;
}

static void buffers_are_filled_whole_and_not_beyond(void **state)
{
	struct env *env = *state;
	const struct fake_part parts[] = { { DATA_GPA, 64, true }, { DATA_GPA + 128, 64, true } };

	assert_int_equal(ask(env, parts, 2), 128);
	assert_true(count_set(env, DATA_GPA, 64) > 32);
	assert_int_equal(count_set(env, DATA_GPA + 64, 64), 0);
	assert_true(count_set(env, DATA_GPA + 128, 64) > 32);
	assert_int_equal(count_set(env, DATA_GPA + 192, 64), 0);
}

static void answers_differ(void **state)
{
	struct env *env = *state;
	const struct fake_part a = { DATA_GPA, 32, true }, b = { DATA_GPA + 32, 32, true };

	assert_int_equal(ask(env, &a, 1), 32);
	assert_int_equal(ask(env, &b, 1), 32);
	assert_memory_not_equal(guest_mem_ptr(&env->mem, DATA_GPA, 32),
				guest_mem_ptr(&env->mem, DATA_GPA + 32, 32), 32);
}

static void huge_request_gets_a_short_answer(void **state)
{
	struct env *env = *state;
	const struct fake_part part = { DATA_GPA, 0x10000, true };

	assert_int_equal(ask(env, &part, 1), 4096);
	assert_int_equal(count_set(env, DATA_GPA + 4096, 0x10000 - 4096), 0);
}

static void readable_buffers_are_left_alone(void **state)
{
	struct env *env = *state;
	const struct fake_part parts[] = { { DATA_GPA, 64, false }, { DATA_GPA + 64, 8, true } };

	assert_int_equal(ask(env, parts, 1), 0);
	assert_int_equal(ask(env, parts, 2), 8);
	assert_int_equal(count_set(env, DATA_GPA, 64), 0);
}

static void destroying_nothing_is_allowed(void **state)
{
	(void)state;
	virtio_rng_destroy(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		T(buffers_are_filled_whole_and_not_beyond),
		T(answers_differ),
		T(huge_request_gets_a_short_answer),
		T(readable_buffers_are_left_alone),
		cmocka_unit_test(destroying_nothing_is_allowed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
