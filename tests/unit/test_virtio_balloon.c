/* The balloon gives back what it is offered: that, only guest memory, and nothing that is in use.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <linux/virtio_balloon.h>

#include "devices/virtio/virtio_balloon.h"
#include "tests/support/fake_bring_up.h"
#include "tests/support/fake_loop.h"

#define MIB	 (1ull << 20)
#define MEM_LEN	 (8 * MIB)
#define HIGH_GPA (4096 * MIB)
#define RING_GPA 0x10000ull
#define PFN_GPA	 0x20000ull /* lists of page numbers */
#define DATA_GPA (2 * MIB)
#define QUEUES	 5
#define SIZE	 128
#define FEATURES UINT64_MAX

enum { INFLATE, DEFLATE, REPORTING = 4 };

struct env {
	struct guest_mem mem;
	struct loop loop;
	struct virtio_balloon *balloon;
	struct virtio_device *dev;
	struct fake_ring rings[QUEUES];
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

	*state = env;
	fake_loop_init(&env->loop);
	if (guest_mem_add(&env->mem, 0, MEM_LEN) < 0 ||
	    guest_mem_add(&env->mem, HIGH_GPA, 2 * MIB) < 0 ||
	    virtio_balloon_create(&env->balloon, &env->mem, &env->loop) < 0)
		return -1;
	env->dev = virtio_balloon_device(env->balloon);
	virtio_device_attach(env->dev, &transport);
	fake_bring_up(env->dev, FEATURES, env->rings, RING_GPA, SIZE);
	memset(guest_mem_ptr(&env->mem, DATA_GPA, MEM_LEN - DATA_GPA), 0xab, MEM_LEN - DATA_GPA);
	memset(guest_mem_ptr(&env->mem, HIGH_GPA, 2 * MIB), 0xab, 2 * MIB);
	return 0;
}

static int teardown(void **state)
{
	struct env *env = *state;

	virtio_balloon_destroy(env->balloon);
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

/* Offers, and wants the answer in the same round. */
static void offer(struct env *env, unsigned queue, const struct fake_part *parts, unsigned count)
{
	uint32_t head, len;

	fake_ring_add(&env->rings[queue], parts, count);
	kick(env, queue);
	assert_true(fake_ring_take(&env->rings[queue], &head, &len));
	assert_int_equal(len, 0);
}

static bool kept(struct env *env, gpa_t gpa)
{
	return *(const uint8_t *)guest_mem_ptr(&env->mem, gpa, 1) == 0xab;
}

/* Offers COUNT page numbers, cut into parts of PART_LEN bytes. */
static void inflate(struct env *env, const uint32_t *pfns, unsigned count, uint32_t part_len)
{
	struct fake_part parts[64];
	uint32_t len = 4 * count, at = 0;
	unsigned part_count = 0;

	assert_int_equal(guest_mem_write(&env->mem, PFN_GPA, pfns, len), 0);
	for (; at < len; at += part_len)
		parts[part_count++] =
			(struct fake_part){ PFN_GPA + at, len - at < part_len ? len - at : part_len,
					    false };
	offer(env, INFLATE, parts, part_count);
}

static void reported_pages_are_given_back_and_their_neighbours_are_not(void **state)
{
	struct env *env = *state;
	const struct fake_part parts[] = { { DATA_GPA + 4096, 8192, true },
					   { HIGH_GPA, 2 * MIB, true } };

	offer(env, REPORTING, parts, 2);
	assert_true(kept(env, DATA_GPA + 4095));
	assert_false(kept(env, DATA_GPA + 4096));
	assert_false(kept(env, DATA_GPA + 3 * 4096 - 1));
	assert_true(kept(env, DATA_GPA + 3 * 4096));
	assert_false(kept(env, HIGH_GPA));
	assert_false(kept(env, HIGH_GPA + 2 * MIB - 1));
}

/* Linux counts queues that there are; the specification's number is 4. */
static void reports_are_taken_on_any_queue_after_the_first_two(void **state)
{
	struct env *env = *state;

	for (unsigned queue = 2; queue < QUEUES; queue++) {
		const struct fake_part part = { DATA_GPA + 4096 * queue, 4096, true };

		assert_true(kept(env, part.gpa));
		offer(env, queue, &part, 1);
		assert_false(kept(env, part.gpa));
	}
}

static void parts_of_pages_are_kept(void **state)
{
	struct env *env = *state;
	const struct fake_part parts[] = { { DATA_GPA + 1, 4096, true },
					   { DATA_GPA + 8192, 4095, true },
					   { DATA_GPA + 16384 - 1, 4098, true } };

	offer(env, REPORTING, parts, 3);
	assert_true(kept(env, DATA_GPA + 1));
	assert_true(kept(env, DATA_GPA + 8192));
	assert_true(kept(env, DATA_GPA + 16384 - 1));
	assert_false(kept(env, DATA_GPA + 16384));
	assert_false(kept(env, DATA_GPA + 16384 + 4095));
	assert_true(kept(env, DATA_GPA + 16384 + 4096));
}

/* The device may not change what it may only read. */
static void readable_reports_are_left_alone(void **state)
{
	struct env *env = *state;
	const struct fake_part parts[] = { { DATA_GPA, 4096, false },
					   { DATA_GPA + 4096, 4096, true } };

	offer(env, REPORTING, parts, 2);
	assert_true(kept(env, DATA_GPA));
	assert_false(kept(env, DATA_GPA + 4096));
}

static void reports_outside_memory_stop_the_device_and_release_nothing(void **state)
{
	struct env *env = *state;
	const struct fake_part parts[] = { { MEM_LEN - 4096, 4096, true },
					   { MEM_LEN - 4096, 8192, true } };

	fake_ring_add(&env->rings[REPORTING], parts, 2);
	kick(env, REPORTING);
	assert_true(virtio_get_status(env->dev) & VIRTIO_CONFIG_S_NEEDS_RESET);
	assert_true(kept(env, MEM_LEN - 4096));
	fake_bring_up(env->dev, FEATURES, env->rings, RING_GPA, SIZE);
	offer(env, REPORTING, parts, 1);
	assert_false(kept(env, MEM_LEN - 4096));
}

static void rings_that_are_reported_free_are_empty_rings(void **state)
{
	struct env *env = *state;
	const struct fake_part part = { RING_GPA, 0x1000 * QUEUES, true };

	fake_ring_add(&env->rings[REPORTING], &part, 1);
	kick(env, REPORTING);
	for (unsigned i = 0; i < 4; i++)
		kick(env, i);
	fake_bring_up(env->dev, FEATURES, env->rings, RING_GPA, SIZE);
	offer(env, REPORTING, &(struct fake_part){ DATA_GPA, 4096, true }, 1);
	assert_false(kept(env, DATA_GPA));
}

/* Where free pages hold a pattern zeroes must not come back. */
static void pages_of_a_guest_that_poisons_them_are_kept(void **state)
{
	struct env *env = *state;
	const struct fake_part part = { DATA_GPA, 4096, true };
	const uint32_t pfn = DATA_GPA >> 12;
	const uint32_t poison = 0xaaaaaaaa;

	for (unsigned round = 0; round < 2; round++) {
		virtio_set_status(env->dev, 0);
		virtio_config_write(env->dev, offsetof(struct virtio_balloon_config, poison_val),
				    &poison, sizeof(poison));
		fake_bring_up(env->dev,
			      round ? FEATURES & ~(1ull << VIRTIO_BALLOON_F_PAGE_POISON) : FEATURES,
			      env->rings, RING_GPA, SIZE);
		offer(env, REPORTING, &part, 1);
		assert_int_equal(kept(env, DATA_GPA), round == 0);
		/* What is in the balloon is the host's. */
		inflate(env, &pfn, 1, 4);
		assert_false(kept(env, DATA_GPA));
		memset(guest_mem_ptr(&env->mem, DATA_GPA, 4096), 0xab, 4096);
	}
}

/* 19 MiB, of which a round takes 16; the memory of the first three parts is the same. */
static void offer_two_rounds(struct env *env)
{
	const struct fake_part all = { DATA_GPA, (uint32_t)(MEM_LEN - DATA_GPA), true };
	const struct fake_part parts[] = { all, all, all, { HIGH_GPA, MIB, true } };

	fake_ring_add(&env->rings[REPORTING], parts, 4);
}

static void more_than_a_round_takes_goes_on_in_the_next(void **state)
{
	struct env *env = *state;
	const struct fake_part small = { HIGH_GPA + MIB, 4096, true };
	uint32_t head, len;

	offer_two_rounds(env);
	fake_ring_add(&env->rings[REPORTING], &small, 1);
	kick(env, REPORTING);
	assert_false(kept(env, DATA_GPA));
	assert_true(kept(env, HIGH_GPA));
	assert_false(fake_ring_take(&env->rings[REPORTING], &head, &len));
	fake_loop_round(&env->loop);
	assert_false(kept(env, HIGH_GPA));
	assert_false(kept(env, small.gpa));
	assert_true(fake_ring_take(&env->rings[REPORTING], &head, &len));
	assert_true(fake_ring_take(&env->rings[REPORTING], &head, &len));
}

static void reports_that_are_not_done_end_with_the_queue(void **state)
{
	struct env *env = *state;
	uint32_t head, len;

	offer_two_rounds(env);
	kick(env, REPORTING);
	virtio_queue_set_enabled(&env->dev->queues[REPORTING], false);
	assert_true(fake_ring_take(&env->rings[REPORTING], &head, &len));
	assert_true(kept(env, HIGH_GPA));
	fake_loop_round(&env->loop);
	assert_true(kept(env, HIGH_GPA));
	fake_bring_up(env->dev, FEATURES, env->rings, RING_GPA, SIZE);
	offer(env, REPORTING, &(struct fake_part){ HIGH_GPA, 4096, true }, 1);
	assert_false(kept(env, HIGH_GPA));
}

static void inflated_pages_are_given_back_in_any_order(void **state)
{
	struct env *env = *state;
	const uint32_t first = DATA_GPA >> 12;
	const uint32_t pfns[] = { first + 2,
				  first + 3,
				  first + 9,
				  first + 8,
				  first + 7,
				  first + 20,
				  (uint32_t)(HIGH_GPA >> 12) };

	inflate(env, pfns, 7, 28);
	for (unsigned i = 0; i < 24; i++)
		assert_int_equal(kept(env, DATA_GPA + 4096 * i),
				 !(i == 2 || i == 3 || (i >= 7 && i <= 9) || i == 20));
	assert_false(kept(env, HIGH_GPA));
	assert_true(kept(env, HIGH_GPA + 4096));
}

static void page_numbers_may_be_cut_anywhere(void **state)
{
	struct env *env = *state;
	const uint32_t first = DATA_GPA >> 12;
	const uint32_t pfns[] = { first, first + 2, first + 4, first + 6 };

	inflate(env, pfns, 4, 3);
	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(kept(env, DATA_GPA + 4096 * i), i % 2);
}

static void page_numbers_outside_memory_are_passed_over(void **state)
{
	struct env *env = *state;
	const uint32_t first = DATA_GPA >> 12;
	const uint32_t pfns[] = { 0xffffffff, first, (uint32_t)(MEM_LEN >> 12), 0x80000000,
				  first + 1 };

	/* Not a whole number at the end. */
	inflate(env, pfns, 5, 7);
	assert_false(kept(env, DATA_GPA));
	assert_false(kept(env, DATA_GPA + 4096));
	assert_true(kept(env, DATA_GPA + 8192));
	assert_false(virtio_get_status(env->dev) & VIRTIO_CONFIG_S_NEEDS_RESET);
}

static void endless_page_numbers_are_cut_off(void **state)
{
	struct env *env = *state;
	const struct fake_part part = { 0, 1 * MIB, false };
	const uint32_t pfn = DATA_GPA >> 12;
	uint32_t head, len;

	/* All numbers are 0, which is nobody's page; the one at the end is not reached. */
	assert_int_equal(guest_mem_write(&env->mem, MIB - 4, &pfn, sizeof(pfn)), 0);
	fake_ring_add(&env->rings[INFLATE], &part, 1);
	fake_ring_add(&env->rings[INFLATE], &(struct fake_part){ MIB - 4, 4, false }, 1);
	kick(env, INFLATE);
	assert_true(fake_ring_take(&env->rings[INFLATE], &head, &len));
	assert_false(fake_ring_take(&env->rings[INFLATE], &head, &len));
	assert_true(kept(env, DATA_GPA));
	fake_loop_round(&env->loop);
	assert_true(fake_ring_take(&env->rings[INFLATE], &head, &len));
	assert_false(kept(env, DATA_GPA));
}

static void writable_lists_of_page_numbers_say_nothing(void **state)
{
	struct env *env = *state;
	const uint32_t pfn = DATA_GPA >> 12;

	assert_int_equal(guest_mem_write(&env->mem, PFN_GPA, &pfn, sizeof(pfn)), 0);
	offer(env, INFLATE, &(struct fake_part){ PFN_GPA, 4, true }, 1);
	assert_true(kept(env, DATA_GPA));
}

static void deflating_is_answered_and_changes_nothing(void **state)
{
	struct env *env = *state;
	const uint32_t pfn = DATA_GPA >> 12;

	assert_int_equal(guest_mem_write(&env->mem, PFN_GPA, &pfn, sizeof(pfn)), 0);
	offer(env, DEFLATE, &(struct fake_part){ PFN_GPA, 4, false }, 1);
	assert_true(kept(env, DATA_GPA));
}

static void configuration_asks_for_nothing_and_keeps_what_the_driver_says(void **state)
{
	struct env *env = *state;
	struct virtio_balloon_config config;
	const uint8_t ones[sizeof(config)] = { [0 ... sizeof(config) - 1] = 1 };

	virtio_config_read(env->dev, 0, &config, sizeof(config));
	assert_int_equal(config.num_pages, 0);
	assert_int_equal(config.actual, 0);
	virtio_config_write(env->dev, 0, ones, sizeof(ones));
	virtio_config_read(env->dev, 0, &config, sizeof(config));
	assert_int_equal(config.num_pages, 0);
	assert_int_equal(config.actual, 0x01010101);
	assert_int_equal(config.free_page_hint_cmd_id, 0);
	assert_int_equal(config.poison_val, 0x01010101);
	virtio_config_write(env->dev, 5, &(uint8_t){ 7 }, 1);
	virtio_config_read(env->dev, 4, &config, 4);
	assert_int_equal(config.num_pages, 0x01010701);
	virtio_set_status(env->dev, 0);
	virtio_config_read(env->dev, 0, &config, sizeof(config));
	assert_int_equal(config.actual, 0);
	assert_int_equal(config.poison_val, 0);
}

static void destroying_nothing_is_allowed(void **state)
{
	(void)state;
	virtio_balloon_destroy(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		T(reported_pages_are_given_back_and_their_neighbours_are_not),
		T(reports_are_taken_on_any_queue_after_the_first_two),
		T(parts_of_pages_are_kept),
		T(readable_reports_are_left_alone),
		T(reports_outside_memory_stop_the_device_and_release_nothing),
		T(rings_that_are_reported_free_are_empty_rings),
		T(pages_of_a_guest_that_poisons_them_are_kept),
		T(more_than_a_round_takes_goes_on_in_the_next),
		T(reports_that_are_not_done_end_with_the_queue),
		T(inflated_pages_are_given_back_in_any_order),
		T(page_numbers_may_be_cut_anywhere),
		T(page_numbers_outside_memory_are_passed_over),
		T(endless_page_numbers_are_cut_off),
		T(writable_lists_of_page_numbers_say_nothing),
		T(deflating_is_answered_and_changes_nothing),
		T(configuration_asks_for_nothing_and_keeps_what_the_driver_says),
		cmocka_unit_test(destroying_nothing_is_allowed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
