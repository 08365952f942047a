/* The split ring (virtio 1.2, 2.7) under an honest driver and under one that lies. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "devices/virtio/virtqueue.h"
#include "tests/support/fake_driver.h"

#define MEM_LEN	  0x10000ull
#define HIGH_GPA  0x100000ull /* a second region, not adjacent */
#define RING_GPA  0x1000ull
#define DATA_GPA  0x8000ull
#define TABLE_GPA 0x6000ull
#define SIZE	  8
#define IOVS	  16

struct env {
	struct guest_mem mem;
	struct fake_ring ring;
	struct virtqueue vq;
	struct iovec iov[IOVS];
	struct virtqueue_chain chain;
};

static void ring_up(struct env *env, uint16_t size, bool event_idx, bool indirect)
{
	fake_ring_init(&env->ring, &env->mem, RING_GPA, size);
	env->ring.event_idx = event_idx;
	virtqueue_init(&env->vq, &env->mem, VIRTQUEUE_SIZE_MAX);
	env->vq.size = size;
	env->vq.desc_gpa = env->ring.desc_gpa;
	env->vq.avail_gpa = env->ring.avail_gpa;
	env->vq.used_gpa = env->ring.used_gpa;
	assert_int_equal(virtqueue_enable(&env->vq, event_idx, indirect), 0);
}

static int setup(void **state)
{
	struct env *env = calloc(1, sizeof(*env));

	*state = env;
	if (guest_mem_add(&env->mem, 0, MEM_LEN) < 0 ||
	    guest_mem_add(&env->mem, HIGH_GPA, MEM_LEN) < 0)
		return -1;
	ring_up(env, SIZE, true, true);
	return 0;
}

static int teardown(void **state)
{
	struct env *env = *state;

	guest_mem_fini(&env->mem);
	free(env);
	return 0;
}

static int pop(struct env *env)
{
	return virtqueue_pop(&env->vq, env->iov, IOVS, &env->chain);
}

/* The chain at HEAD must be refused, and nothing comes out of the queue afterwards. */
static void assert_refused(struct env *env, uint16_t head)
{
	fake_ring_offer(&env->ring, head);
	assert_int_equal(pop(env), -EINVAL);
	assert_true(env->vq.broken);
	assert_int_equal(pop(env), 0);
	assert_false(virtqueue_has_work(&env->vq));
	assert_false(virtqueue_enable_notify(&env->vq));
}

static const struct fake_part one_in = { DATA_GPA, 512, true };

/* ---- honest drivers ---- */

static void empty_ring_gives_nothing(void **state)
{
	struct env *env = *state;

	assert_int_equal(pop(env), 0);
	assert_false(virtqueue_has_work(&env->vq));
	assert_false(env->vq.broken);
}

static void chain_becomes_iovecs_readable_ones_first(void **state)
{
	struct env *env = *state;
	const struct fake_part parts[] = {
		{ DATA_GPA, 16, false },
		{ HIGH_GPA + 0x100, 4096, false },
		{ DATA_GPA + 64, 512, true },
		{ DATA_GPA + 1024, 1, true },
	};
	uint16_t head = fake_ring_add(&env->ring, parts, 4);

	assert_true(virtqueue_has_work(&env->vq));
	assert_int_equal(pop(env), 1);
	assert_int_equal(env->chain.head, head);
	assert_int_equal(env->chain.readable_count, 2);
	assert_int_equal(env->chain.writable_count, 2);
	assert_int_equal(env->chain.readable_len, 16 + 4096);
	assert_int_equal(env->chain.writable_len, 513);
	for (unsigned i = 0; i < 4; i++) {
		assert_ptr_equal(env->iov[i].iov_base, guest_mem_ptr(&env->mem, parts[i].gpa, 1));
		assert_int_equal(env->iov[i].iov_len, parts[i].len);
	}
	assert_int_equal(pop(env), 0);
}

static void indirect_table_is_followed_also_after_direct_parts(void **state)
{
	struct env *env = *state;
	const struct fake_part parts[] = { { DATA_GPA, 16, false }, { DATA_GPA + 64, 512, true } };
	uint16_t head = fake_ring_indirect(&env->ring, TABLE_GPA + 1, parts, 2); /* any address */

	fake_ring_offer(&env->ring, head);
	assert_int_equal(pop(env), 1);
	assert_int_equal(env->chain.readable_len, 16);
	assert_int_equal(env->chain.writable_len, 512);

	/* 2.7.5.3.2: direct parts, then one descriptor that names a table. */
	fake_ring_desc(&env->ring, 4, DATA_GPA, 7, VRING_DESC_F_NEXT, 5);
	fake_ring_desc(&env->ring, 5, TABLE_GPA + 1, 32, VRING_DESC_F_INDIRECT | VRING_DESC_F_WRITE,
		       0);
	fake_ring_offer(&env->ring, 4);
	assert_int_equal(pop(env), 1);
	assert_int_equal(env->chain.head, 4);
	assert_int_equal(env->chain.readable_len, 7 + 16);
	assert_int_equal(env->chain.writable_len, 512);
}

static void indirect_chain_may_be_longer_than_the_queue(void **state)
{
	struct env *env = *state;
	struct fake_part parts[IOVS];

	for (unsigned i = 0; i < IOVS; i++)
		parts[i] = (struct fake_part){ DATA_GPA + 16 * i, 16, true };
	fake_ring_offer(&env->ring, fake_ring_indirect(&env->ring, TABLE_GPA, parts, IOVS));
	assert_int_equal(pop(env), 1);
	assert_int_equal(env->chain.writable_count, IOVS);
}

static void zero_length_parts_are_left_out(void **state)
{
	struct env *env = *state;
	const struct fake_part parts[] = { { 0, 0, false },
					   { DATA_GPA, 4, false },
					   { UINT64_MAX, 0, true },
					   { DATA_GPA, 8, true } };

	fake_ring_add(&env->ring, parts, 4);
	assert_int_equal(pop(env), 1);
	assert_int_equal(env->chain.readable_count, 1);
	assert_int_equal(env->chain.writable_count, 1);
}

static void unpopped_chain_comes_again(void **state)
{
	struct env *env = *state;
	uint16_t head = fake_ring_add(&env->ring, &one_in, 1);

	assert_int_equal(pop(env), 1);
	virtqueue_unpop(&env->vq);
	assert_true(virtqueue_has_work(&env->vq));
	assert_int_equal(pop(env), 1);
	assert_int_equal(env->chain.head, head);
	assert_int_equal(pop(env), 0);
}

static void used_elements_appear_at_the_flush_in_the_order_pushed(void **state)
{
	struct env *env = *state;
	uint32_t id, len;

	for (unsigned i = 0; i < 3; i++)
		fake_ring_add(&env->ring, &one_in, 1);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(pop(env), 1);
	virtqueue_push(&env->vq, 2, 100);
	virtqueue_push(&env->vq, 0, 200);
	assert_int_equal(fake_ring_used_count(&env->ring), 0);
	assert_true(virtqueue_flush(&env->vq));
	assert_int_equal(fake_ring_used_count(&env->ring), 2);
	assert_true(fake_ring_take(&env->ring, &id, &len));
	assert_int_equal(id, 2);
	assert_int_equal(len, 100);
	assert_true(fake_ring_take(&env->ring, &id, &len));
	assert_int_equal(id, 0);
	assert_int_equal(len, 200);
	assert_false(virtqueue_flush(&env->vq)); /* nothing new */
}

static void indexes_wrap_without_loss(void **state)
{
	struct env *env = *state;
	uint32_t id, len;

	for (unsigned i = 0; i < 70000; i++) {
		uint16_t head = fake_ring_add(&env->ring, &one_in, 1);

		assert_int_equal(pop(env), 1);
		assert_int_equal(env->chain.head, head);
		virtqueue_push(&env->vq, head, i);
		(void)virtqueue_flush(&env->vq);
		assert_true(fake_ring_take(&env->ring, &id, &len));
		assert_int_equal(id, head);
		assert_int_equal(len, i);
	}
}

static void full_ring_is_taken_whole(void **state)
{
	struct env *env = *state;

	for (unsigned i = 0; i < SIZE; i++)
		fake_ring_add(&env->ring, &one_in, 1);
	for (unsigned i = 0; i < SIZE; i++)
		assert_int_equal(pop(env), 1);
	assert_int_equal(pop(env), 0);
	assert_false(env->vq.broken);
}

static void queue_of_one_works(void **state)
{
	struct env *env = *state;

	ring_up(env, 1, true, true);
	for (unsigned i = 0; i < 5; i++) {
		fake_ring_add(&env->ring, &one_in, 1);
		assert_int_equal(pop(env), 1);
		virtqueue_push(&env->vq, 0, 0);
		assert_int_equal(pop(env), 0);
	}
}

/* ---- notifications and interrupts ---- */

static void event_index_asks_for_a_kick_at_the_next_request_only(void **state)
{
	struct env *env = *state;

	assert_false(virtqueue_enable_notify(&env->vq));
	assert_true(fake_ring_offer(&env->ring, fake_ring_chain(&env->ring, &one_in, 1)));
	assert_false(fake_ring_offer(&env->ring, fake_ring_chain(&env->ring, &one_in, 1)));
	assert_int_equal(pop(env), 1);
	virtqueue_disable_notify(&env->vq);
	assert_int_equal(pop(env), 1);
	assert_false(fake_ring_offer(&env->ring, fake_ring_chain(&env->ring, &one_in, 1)));
	/* A request came in before we asked: no kick will come, so we are told. */
	assert_true(virtqueue_enable_notify(&env->vq));
}

static void event_index_of_interrupts_is_honoured_across_the_wrap(void **state)
{
	struct env *env = *state;
	unsigned interrupts = 0;
	uint32_t id, len;

	/* The driver wants one interrupt for each 4 elements, past 65535 -> 0. */
	fake_ring_set_used_event(&env->ring, 3);
	for (unsigned i = 0; i < 65536 + 64; i++) {
		uint16_t head = fake_ring_add(&env->ring, &one_in, 1);

		assert_int_equal(pop(env), 1);
		virtqueue_push(&env->vq, head, 0);
		if (virtqueue_flush(&env->vq)) {
			assert_int_equal(i % 4, 3);
			fake_ring_set_used_event(&env->ring, (uint16_t)(i + 4));
			interrupts++;
		}
		assert_true(fake_ring_take(&env->ring, &id, &len));
	}
	assert_int_equal(interrupts, (65536 + 64) / 4);
}

static void interrupt_is_decided_for_the_whole_batch(void **state)
{
	struct env *env = *state;

	fake_ring_set_used_event(&env->ring, 1);
	for (unsigned i = 0; i < 3; i++)
		fake_ring_add(&env->ring, &one_in, 1);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(pop(env), 1);
		virtqueue_push(&env->vq, env->chain.head, 0);
	}
	assert_true(virtqueue_flush(&env->vq)); /* 0 -> 3 passes 1 */
}

static void flags_are_used_without_the_event_index(void **state)
{
	struct env *env = *state;

	ring_up(env, SIZE, false, true);
	assert_false(virtqueue_enable_notify(&env->vq));
	assert_true(fake_ring_offer(&env->ring, fake_ring_chain(&env->ring, &one_in, 1)));
	virtqueue_disable_notify(&env->vq);
	assert_false(fake_ring_offer(&env->ring, fake_ring_chain(&env->ring, &one_in, 1)));
	assert_int_equal(pop(env), 1);
	virtqueue_push(&env->vq, env->chain.head, 0);
	assert_true(virtqueue_flush(&env->vq));
	assert_int_equal(pop(env), 1);
	env->ring.avail->flags = VRING_AVAIL_F_NO_INTERRUPT;
	virtqueue_push(&env->vq, env->chain.head, 0);
	assert_false(virtqueue_flush(&env->vq));
	assert_int_equal(fake_ring_used_count(&env->ring), 2);
}

/* ---- enabling ---- */

static void enable_refuses_bad_sizes(void **state)
{
	struct env *env = *state;
	static const uint16_t sizes[] = { 0, 3, 6, 512, 0x8000, 0xffff };

	for (unsigned i = 0; i < ARRAY_SIZE(sizes); i++) {
		virtqueue_disable(&env->vq);
		env->vq.size = sizes[i];
		assert_int_equal(virtqueue_enable(&env->vq, true, true), -EINVAL);
		assert_false(env->vq.enabled);
		assert_int_equal(pop(env), 0);
	}
}

static void enable_refuses_unaligned_rings(void **state)
{
	struct env *env = *state;

	virtqueue_disable(&env->vq);
	env->vq.desc_gpa += 8;
	assert_int_equal(virtqueue_enable(&env->vq, true, true), -EINVAL);
	env->vq.desc_gpa -= 8;
	env->vq.avail_gpa += 1;
	assert_int_equal(virtqueue_enable(&env->vq, true, true), -EINVAL);
	env->vq.avail_gpa -= 1;
	env->vq.used_gpa += 2;
	assert_int_equal(virtqueue_enable(&env->vq, true, true), -EINVAL);
	env->vq.used_gpa -= 2;
	assert_int_equal(virtqueue_enable(&env->vq, true, true), 0);
}

static void enable_refuses_rings_outside_memory(void **state)
{
	struct env *env = *state;
	gpa_t *const areas[] = { &env->vq.desc_gpa, &env->vq.avail_gpa, &env->vq.used_gpa };
	static const gpa_t bad[] = { MEM_LEN - 16, MEM_LEN, HIGH_GPA + MEM_LEN - 16,
				     UINT64_MAX & ~15ull, 1ull << 63 };

	for (unsigned i = 0; i < ARRAY_SIZE(areas); i++) {
		gpa_t good = *areas[i];

		for (unsigned j = 0; j < ARRAY_SIZE(bad); j++) {
			virtqueue_disable(&env->vq);
			*areas[i] = bad[j];
			assert_int_equal(virtqueue_enable(&env->vq, true, true), -EINVAL);
		}
		*areas[i] = good;
	}
}

static void rings_may_end_with_memory(void **state)
{
	struct env *env = *state;

	virtqueue_disable(&env->vq);
	env->vq.desc_gpa = MEM_LEN - 16 * SIZE;
	env->vq.avail_gpa = HIGH_GPA + MEM_LEN - (6 + 2 * SIZE);
	env->vq.used_gpa = (MEM_LEN - (6 + 8 * SIZE)) & ~3ull;
	assert_int_equal(virtqueue_enable(&env->vq, true, true), 0);
	assert_false(virtqueue_enable_notify(&env->vq));
}

static void enabling_again_starts_from_zero(void **state)
{
	struct env *env = *state;

	fake_ring_add(&env->ring, &one_in, 1);
	assert_int_equal(pop(env), 1);
	virtqueue_disable(&env->vq);
	fake_ring_init(&env->ring, &env->mem, RING_GPA, SIZE);
	assert_int_equal(virtqueue_enable(&env->vq, false, false), 0);
	fake_ring_add(&env->ring, &one_in, 1);
	assert_int_equal(pop(env), 1);
	virtqueue_push(&env->vq, env->chain.head, 9);
	assert_true(virtqueue_flush(&env->vq));
}

static void disabled_queue_does_nothing(void **state)
{
	struct env *env = *state;

	fake_ring_add(&env->ring, &one_in, 1);
	virtqueue_disable(&env->vq);
	assert_int_equal(pop(env), 0);
	assert_false(virtqueue_flush(&env->vq));
	assert_false(virtqueue_has_work(&env->vq));
	assert_false(virtqueue_enable_notify(&env->vq));
	virtqueue_disable_notify(&env->vq);
}

/* ---- drivers that lie ---- */

static void pop_rejects_an_index_too_far_ahead(void **state)
{
	struct env *env = *state;

	fake_ring_set_avail_idx(&env->ring, SIZE + 1);
	assert_int_equal(pop(env), -EINVAL);
	assert_true(env->vq.broken);
}

static void pop_rejects_an_index_that_moves_back(void **state)
{
	struct env *env = *state;

	fake_ring_add(&env->ring, &one_in, 1);
	fake_ring_add(&env->ring, &one_in, 1);
	assert_int_equal(pop(env), 1);
	assert_int_equal(pop(env), 1);
	fake_ring_set_avail_idx(&env->ring, 1);
	assert_int_equal(pop(env), -EINVAL);
}

static void pop_rejects_more_requests_than_the_queue_holds(void **state)
{
	struct env *env = *state;

	for (unsigned i = 0; i < SIZE; i++) {
		fake_ring_add(&env->ring, &one_in, 1);
		assert_int_equal(pop(env), 1);
	}
	fake_ring_add(&env->ring, &one_in, 1);
	assert_int_equal(pop(env), -EINVAL);
}

static void pop_rejects_a_head_that_is_in_flight(void **state)
{
	struct env *env = *state;
	uint16_t head = fake_ring_add(&env->ring, &one_in, 1);

	assert_int_equal(pop(env), 1);
	assert_refused(env, head);
	/* What is in flight can still be completed. */
	virtqueue_push(&env->vq, head, 1);
	assert_true(virtqueue_flush(&env->vq));
}

static void pop_rejects_a_head_out_of_range(void **state)
{
	assert_refused(*state, SIZE);
}

static void pop_rejects_a_next_out_of_range(void **state)
{
	struct env *env = *state;

	fake_ring_desc(&env->ring, 0, DATA_GPA, 16, VRING_DESC_F_NEXT, SIZE);
	assert_refused(env, 0);
}

static void pop_rejects_descriptor_loop(void **state)
{
	struct env *env = *state;

	fake_ring_desc(&env->ring, 0, DATA_GPA, 16, VRING_DESC_F_NEXT, 1);
	fake_ring_desc(&env->ring, 1, DATA_GPA, 0, VRING_DESC_F_NEXT, 0);
	assert_refused(env, 0);
}

static void pop_rejects_descriptor_that_follows_itself(void **state)
{
	struct env *env = *state;

	fake_ring_desc(&env->ring, 3, DATA_GPA, 0, VRING_DESC_F_NEXT, 3);
	assert_refused(env, 3);
}

static void pop_rejects_loop_in_indirect_table(void **state)
{
	struct env *env = *state;
	struct vring_desc d = { DATA_GPA, 0, VRING_DESC_F_NEXT, 0 };

	assert_int_equal(guest_mem_write(&env->mem, TABLE_GPA, &d, sizeof(d)), 0);
	fake_ring_desc(&env->ring, 0, TABLE_GPA, 16, VRING_DESC_F_INDIRECT, 0);
	assert_refused(env, 0);
}

static void pop_rejects_readable_after_writable(void **state)
{
	struct env *env = *state;
	const struct fake_part parts[] = { { DATA_GPA, 16, true }, { DATA_GPA, 16, false } };

	assert_refused(env, fake_ring_chain(&env->ring, parts, 2));
}

static void pop_rejects_parts_outside_memory(void **state)
{
	static const struct fake_part bad[] = {
		{ MEM_LEN, 1, true },
		{ MEM_LEN - 1, 2, false },
		{ 0, (uint32_t)MEM_LEN + 1, true },
		{ UINT64_MAX, 2, true },
		{ UINT64_MAX - 0xffff, 0x20000, false },
		{ HIGH_GPA - 1, 2, true },
		{ HIGH_GPA, UINT32_MAX, true },
		{ HIGH_GPA + MEM_LEN, 1, true },
	};
	struct env *env = *state;

	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		ring_up(env, SIZE, true, true);
		assert_refused(env, fake_ring_chain(&env->ring, &bad[i], 1));
	}
}

static void pop_rejects_bad_indirect_tables(void **state)
{
	static const struct vring_desc bad[] = {
		{ TABLE_GPA, 0, VRING_DESC_F_INDIRECT, 0 },
		{ TABLE_GPA, 8, VRING_DESC_F_INDIRECT, 0 },
		{ TABLE_GPA, 17, VRING_DESC_F_INDIRECT, 0 },
		{ TABLE_GPA, 16, VRING_DESC_F_INDIRECT | VRING_DESC_F_NEXT, 1 },
		{ MEM_LEN - 16, 32, VRING_DESC_F_INDIRECT, 0 },
		{ UINT64_MAX - 15, 16, VRING_DESC_F_INDIRECT, 0 },
		{ 0, 0xfffffff0, VRING_DESC_F_INDIRECT, 0 },
	};
	struct env *env = *state;

	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		ring_up(env, SIZE, true, true);
		fake_ring_desc(&env->ring, 0, bad[i].addr, bad[i].len, bad[i].flags, bad[i].next);
		assert_refused(env, 0);
	}
}

static void pop_rejects_indirect_in_indirect(void **state)
{
	struct env *env = *state;
	struct vring_desc d = { TABLE_GPA, 16, VRING_DESC_F_INDIRECT, 0 };

	assert_int_equal(guest_mem_write(&env->mem, TABLE_GPA, &d, sizeof(d)), 0);
	fake_ring_desc(&env->ring, 0, TABLE_GPA, 16, VRING_DESC_F_INDIRECT, 0);
	assert_refused(env, 0);
}

static void pop_rejects_next_outside_indirect_table(void **state)
{
	struct env *env = *state;
	struct vring_desc d = { DATA_GPA, 16, VRING_DESC_F_NEXT, 1 };

	assert_int_equal(guest_mem_write(&env->mem, TABLE_GPA, &d, sizeof(d)), 0);
	fake_ring_desc(&env->ring, 0, TABLE_GPA, 16, VRING_DESC_F_INDIRECT, 0);
	assert_refused(env, 0);
}

static void pop_rejects_indirect_that_was_not_negotiated(void **state)
{
	struct env *env = *state;

	ring_up(env, SIZE, true, false);
	assert_refused(env, fake_ring_indirect(&env->ring, TABLE_GPA, &one_in, 1));
}

static void pop_rejects_more_parts_than_there_is_room_for(void **state)
{
	struct env *env = *state;
	struct fake_part parts[IOVS + 1];

	for (unsigned i = 0; i <= IOVS; i++)
		parts[i] = (struct fake_part){ DATA_GPA, 16, true };
	assert_refused(env, fake_ring_indirect(&env->ring, TABLE_GPA, parts, IOVS + 1));
}

/* ---- parts ---- */

static void parts_are_taken_until_there_is_enough_and_in_order(void **state)
{
	struct env *env = *state;
	struct virtqueue_part parts[SIZE];
	uint16_t heads[5];
	uint32_t head, len;

	for (unsigned i = 0; i < 5; i++) {
		const struct fake_part part = { DATA_GPA + 100 * i, 100, true };

		heads[i] = fake_ring_add(&env->ring, &part, 1);
	}
	/* What has not been seen is for pop to see. */
	assert_int_equal(virtqueue_pop_parts(&env->vq, parts, SIZE, 250), 0);
	assert_int_equal(pop(env), 1);
	assert_int_equal(virtqueue_pop_parts(&env->vq, parts, SIZE, 150), 2);
	assert_int_equal(virtqueue_pop_parts(&env->vq, parts + 2, 1, 1000), 1);
	assert_int_equal(virtqueue_pop_parts(&env->vq, parts + 3, SIZE, 0), 0);
	assert_int_equal(virtqueue_pop_parts(&env->vq, parts + 3, SIZE, 1000), 1);
	assert_int_equal(virtqueue_pop_parts(&env->vq, parts + 4, SIZE, 1000), 0);
	for (unsigned i = 0; i < 4; i++) {
		assert_int_equal(parts[i].head, heads[i + 1]);
		assert_int_equal(parts[i].len, 100);
		assert_ptr_equal(parts[i].base,
				 guest_mem_ptr(&env->mem, DATA_GPA + 100 * (i + 1), 100));
	}
	virtqueue_unpop(&env->vq);
	assert_int_equal(virtqueue_pop_parts(&env->vq, parts + 3, SIZE, 1000), 1);
	assert_int_equal(parts[3].head, heads[4]);
	virtqueue_push(&env->vq, parts[3].head, 7);
	assert_false(virtqueue_is_busy(&env->vq, parts[3].head));
	(void)virtqueue_flush(&env->vq);
	assert_true(fake_ring_take(&env->ring, &head, &len));
	assert_int_equal(head, heads[4]);
	assert_int_equal(len, 7);
}

/* The chain at HEAD, behind an honest one, is none that parts are taken of. */
static void assert_left_to_pop(struct env *env, uint16_t head, int result)
{
	static const struct fake_part in = { DATA_GPA, 64, true };
	struct virtqueue_part parts[SIZE];

	fake_ring_add(&env->ring, &in, 1);
	fake_ring_offer(&env->ring, head);
	assert_int_equal(pop(env), 1);
	virtqueue_unpop(&env->vq);
	assert_int_equal(virtqueue_pop_parts(&env->vq, parts, SIZE, UINT64_MAX), 1);
	assert_int_equal(virtqueue_pop_parts(&env->vq, parts, SIZE, UINT64_MAX), 0);
	assert_int_equal(pop(env), result);
	ring_up(env, SIZE, true, true);
}

static void parts_are_not_taken_of_anything_else(void **state)
{
	static const struct fake_part two[] = { { DATA_GPA, 16, true }, { DATA_GPA, 16, true } };
	static const struct fake_part out = { DATA_GPA, 16, false };
	static const struct fake_part outside = { MEM_LEN - 8, 16, true };
	static const struct fake_part empty = { DATA_GPA, 0, true };
	static const struct fake_part high = { HIGH_GPA + 8, 16, true };
	struct env *env = *state;
	struct virtqueue_part part;

	assert_left_to_pop(env, fake_ring_chain(&env->ring, two, 2), 1);
	assert_left_to_pop(env, fake_ring_indirect(&env->ring, TABLE_GPA, two, 1), 1);
	assert_left_to_pop(env, fake_ring_chain(&env->ring, &out, 1), 1);
	assert_left_to_pop(env, fake_ring_chain(&env->ring, &empty, 1), 1);
	assert_left_to_pop(env, fake_ring_chain(&env->ring, &outside, 1), -EINVAL);
	assert_left_to_pop(env, SIZE, -EINVAL);
	/* In flight already: the honest one's own head. */
	assert_left_to_pop(env, 0, -EINVAL);
	fake_ring_add(&env->ring, &high, 1);
	assert_int_equal(pop(env), 1);
	virtqueue_unpop(&env->vq);
	assert_int_equal(virtqueue_pop_parts(&env->vq, &part, 1, 1), 1);
	assert_ptr_equal(part.base, guest_mem_ptr(&env->mem, HIGH_GPA + 8, 16));
	virtqueue_disable(&env->vq);
	assert_int_equal(virtqueue_pop_parts(&env->vq, &part, 1, 1), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		T(parts_are_taken_until_there_is_enough_and_in_order),
		T(parts_are_not_taken_of_anything_else),
		T(empty_ring_gives_nothing),
		T(chain_becomes_iovecs_readable_ones_first),
		T(indirect_table_is_followed_also_after_direct_parts),
		T(indirect_chain_may_be_longer_than_the_queue),
		T(zero_length_parts_are_left_out),
		T(unpopped_chain_comes_again),
		T(used_elements_appear_at_the_flush_in_the_order_pushed),
		T(indexes_wrap_without_loss),
		T(full_ring_is_taken_whole),
		T(queue_of_one_works),
		T(event_index_asks_for_a_kick_at_the_next_request_only),
		T(event_index_of_interrupts_is_honoured_across_the_wrap),
		T(interrupt_is_decided_for_the_whole_batch),
		T(flags_are_used_without_the_event_index),
		T(enable_refuses_bad_sizes),
		T(enable_refuses_unaligned_rings),
		T(enable_refuses_rings_outside_memory),
		T(rings_may_end_with_memory),
		T(enabling_again_starts_from_zero),
		T(disabled_queue_does_nothing),
		T(pop_rejects_an_index_too_far_ahead),
		T(pop_rejects_an_index_that_moves_back),
		T(pop_rejects_more_requests_than_the_queue_holds),
		T(pop_rejects_a_head_that_is_in_flight),
		T(pop_rejects_a_head_out_of_range),
		T(pop_rejects_a_next_out_of_range),
		T(pop_rejects_descriptor_loop),
		T(pop_rejects_descriptor_that_follows_itself),
		T(pop_rejects_loop_in_indirect_table),
		T(pop_rejects_readable_after_writable),
		T(pop_rejects_parts_outside_memory),
		T(pop_rejects_bad_indirect_tables),
		T(pop_rejects_indirect_in_indirect),
		T(pop_rejects_next_outside_indirect_table),
		T(pop_rejects_indirect_that_was_not_negotiated),
		T(pop_rejects_more_parts_than_there_is_room_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
