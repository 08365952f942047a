/*
 * Limits against a clock of the test's: nothing here depends on real time.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "devices/limit.h"
#include "tests/support/fake_loop.h"

#define MS 1000000ull
#define S  1000000000ull

static struct loop loop;

static uint64_t next_due(void)
{
	return fake_loop_next_timer(&loop)->deadline_ns;
}

/* ---- a device that always has more to do ---- */

struct greedy {
	struct limit_user user;
	uint64_t len;
	uint64_t ops;
	uint64_t last_ns;
};

static void greedy_go(struct greedy *greedy)
{
	while (limit_take(&greedy->user, greedy->len)) {
		greedy->ops++;
		greedy->last_ns = fake_loop_now_ns;
	}
}

static void greedy_ready(struct limit_user *user)
{
	struct greedy *greedy = container_of(user, struct greedy, user);

	greedy->ops++;
	greedy->last_ns = fake_loop_now_ns;
	greedy_go(greedy);
}

static void greedy_init(struct greedy *greedy, struct limit *limit, uint64_t len)
{
	*greedy = (struct greedy){ .len = len };
	limit_user_init(&greedy->user, limit, &loop, greedy_ready);
}

static struct limit *make(uint64_t ops_per_s, uint64_t bytes_per_s, uint64_t burst_ms)
{
	struct limit_options options = { .ops_per_s = ops_per_s,
					 .bytes_per_s = bytes_per_s,
					 .burst_ms = burst_ms };
	struct limit *limit;

	fake_loop_now_ns = 1000 * S;
	fake_loop_init(&loop);
	assert_int_equal(limit_create(&limit, &options), 0);
	return limit;
}

static uint64_t run_for(struct greedy *greedy, uint64_t ns, uint64_t late_ns)
{
	uint64_t end_ns = fake_loop_now_ns + ns;

	if (!greedy->user.waiting)
		greedy_go(greedy);
	while (fake_loop_fire(&loop, end_ns, late_ns)) {
	}
	fake_loop_now_ns = end_ns;
	return greedy->ops;
}

static void assert_near(uint64_t value, uint64_t want, uint64_t slack)
{
	assert_in_range(value, want > slack ? want - slack : 0, want + slack);
}

/* ---- tests ---- */

static void without_a_limit_everything_goes(void **state)
{
	struct greedy greedy;

	(void)state;
	greedy_init(&greedy, NULL, 0);
	for (unsigned i = 0; i < 1000; i++)
		assert_true(limit_take(&greedy.user, 1u << 30));
	limit_charge(&greedy.user, 1);
	limit_cancel(&greedy.user);
}

static void operations_come_at_the_rate_that_was_asked_for(void **state)
{
	static const uint64_t rates[] = { 1, 3, 7, 1000, 99991, 3000000 };

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(rates); i++) {
		struct limit *limit = make(rates[i], 0, 10);
		struct greedy greedy;

		greedy_init(&greedy, limit, 4096);
		assert_near(run_for(&greedy, 5 * S, 0), 5 * rates[i] + rates[i] / 100, 1);
		limit_destroy(limit);
	}
}

static void large_and_small_requests_come_to_the_same_rate(void **state)
{
	static const uint64_t lengths[] = { 512, 4096, 65536, 1u << 20, 16u << 20 };
	const uint64_t rate = 100u << 20;

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(lengths); i++) {
		struct limit *limit = make(0, rate, 10);
		struct greedy greedy;

		greedy_init(&greedy, limit, lengths[i]);
		/* One request may be under way beyond the end. */
		assert_near(run_for(&greedy, 10 * S, 0) * lengths[i], 10 * rate + rate / 100,
			    rate / 100 + lengths[i]);
		limit_destroy(limit);
	}
}

static void late_timers_do_not_lower_the_rate(void **state)
{
	static const uint64_t late[] = { 50000, 3 * MS, 40 * MS, 200 * MS };

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(late); i++) {
		struct limit *limit = make(1000, 0, 10);
		struct greedy greedy;

		greedy_init(&greedy, limit, 0);
		assert_near(run_for(&greedy, 10 * S, late[i]), 10000, 10 + late[i] / MS);
		limit_destroy(limit);
	}
}

static void a_long_stop_is_not_made_up_for(void **state)
{
	struct limit *limit = make(1000, 0, 10);
	struct greedy greedy;

	(void)state;
	greedy_init(&greedy, limit, 0);
	assert_near(run_for(&greedy, S, 0), 1010, 1);
	/* The timer fires an hour late. */
	assert_true(fake_loop_fire(&loop, UINT64_MAX, 3600 * S));
	assert_near(greedy.ops, 1010 + 250, 15);
	limit_destroy(limit);
}

static void an_idle_device_saves_up_its_burst_and_no_more(void **state)
{
	struct limit *limit = make(1000, 0, 2000);
	struct greedy greedy;

	(void)state;
	greedy_init(&greedy, limit, 0);
	greedy_go(&greedy);
	assert_int_equal(greedy.ops, 2000);
	limit_cancel(&greedy.user);
	fake_loop_now_ns += 500 * MS;
	greedy_go(&greedy);
	assert_int_equal(greedy.ops, 2500);
	limit_cancel(&greedy.user);
	fake_loop_now_ns += 3600 * S;
	greedy_go(&greedy);
	assert_int_equal(greedy.ops, 4500);
	limit_destroy(limit);
}

static void a_request_larger_than_the_bucket_goes_when_it_is_full(void **state)
{
	struct limit *limit = make(0, 1000, 1000); /* the bucket holds 1000 bytes */
	struct greedy greedy;

	(void)state;
	greedy_init(&greedy, limit, 5000);
	assert_true(limit_take(&greedy.user, 5000));
	assert_false(limit_take(&greedy.user, 1));
	/* 4000 in debt, and 1 to be had. */
	assert_int_equal(next_due(), fake_loop_now_ns + 4001 * MS);
	limit_cancel(&greedy.user);
	assert_false(limit_take(&greedy.user, 5000));
	assert_int_equal(next_due(), fake_loop_now_ns + 5 * S);
	limit_cancel(&greedy.user);
	limit_destroy(limit);
}

static void what_moves_no_bytes_is_not_bounded_by_bytes(void **state)
{
	struct limit *limit = make(0, 1, 1);
	struct greedy greedy;

	(void)state;
	greedy_init(&greedy, limit, 0);
	assert_true(limit_take(&greedy.user, 1000));
	for (unsigned i = 0; i < 100; i++)
		assert_true(limit_take(&greedy.user, 0));
	assert_false(limit_take(&greedy.user, 1));
	limit_cancel(&greedy.user);
	limit_destroy(limit);
}

static void both_limits_hold_at_once(void **state)
{
	struct limit *limit = make(1000, 1u << 20, 10);
	struct greedy small, large;

	(void)state;
	greedy_init(&small, limit, 512);
	assert_near(run_for(&small, 10 * S, 0), 10000, 20);
	limit_destroy(limit);
	limit = make(1000, 1u << 20, 10);
	greedy_init(&large, limit, 65536);
	assert_near(run_for(&large, 10 * S, 0), 160, 2);
	limit_destroy(limit);
}

static void a_charge_afterwards_is_a_debt(void **state)
{
	struct limit *limit = make(0, 1000, 100);
	struct greedy greedy;

	(void)state;
	greedy_init(&greedy, limit, 1);
	assert_true(limit_take(&greedy.user, 1));
	limit_charge(&greedy.user, 599);
	assert_false(limit_take(&greedy.user, 1));
	assert_int_equal(next_due(), fake_loop_now_ns + 501 * MS);
	limit_cancel(&greedy.user);
	limit_destroy(limit);
}

static void what_is_cancelled_is_given_back(void **state)
{
	struct limit *limit = make(1000, 1000, 10);
	struct greedy greedy;

	(void)state;
	greedy_init(&greedy, limit, 1);
	assert_true(limit_take(&greedy.user, 10));
	assert_false(limit_take(&greedy.user, UINT64_MAX));
	limit_cancel(&greedy.user);
	assert_false(fake_loop_fire(&loop, UINT64_MAX, 0));
	fake_loop_now_ns += MS;
	assert_true(limit_take(&greedy.user, 1));
	assert_false(limit_take(&greedy.user, 1));
	assert_int_equal(next_due(), fake_loop_now_ns + MS);
	limit_cancel(&greedy.user);
	limit_destroy(limit);
}

static void the_greatest_request_does_not_wrap(void **state)
{
	struct limit *limit = make(0, 1, 10);
	struct greedy greedy;

	(void)state;
	greedy_init(&greedy, limit, 1);
	for (unsigned i = 0; i < 100; i++)
		limit_charge(&greedy.user, UINT64_MAX);
	assert_false(limit_take(&greedy.user, UINT64_MAX));
	assert_true(next_due() > fake_loop_now_ns + 3600 * S);
	limit_cancel(&greedy.user);
	limit_destroy(limit);
}

static void devices_of_a_group_share_fairly(void **state)
{
	struct limit *limit = make(0, 1u << 20, 10);
	struct greedy a, b, c;

	(void)state;
	greedy_init(&a, limit, 4096);
	greedy_init(&b, limit, 4096);
	greedy_init(&c, limit, 65536);
	greedy_go(&a);
	greedy_go(&b);
	run_for(&c, 20 * S, 0);
	assert_near(a.ops * a.len + b.ops * b.len + c.ops * c.len, 20u << 20, 1u << 18);
	/* In turn, so each as often as the others, whatever it asks for. */
	assert_near(a.ops, b.ops, 3);
	assert_near(a.ops, c.ops, 3);
	limit_destroy(limit);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_a_limit_everything_goes),
		cmocka_unit_test(operations_come_at_the_rate_that_was_asked_for),
		cmocka_unit_test(large_and_small_requests_come_to_the_same_rate),
		cmocka_unit_test(late_timers_do_not_lower_the_rate),
		cmocka_unit_test(a_long_stop_is_not_made_up_for),
		cmocka_unit_test(an_idle_device_saves_up_its_burst_and_no_more),
		cmocka_unit_test(a_request_larger_than_the_bucket_goes_when_it_is_full),
		cmocka_unit_test(what_moves_no_bytes_is_not_bounded_by_bytes),
		cmocka_unit_test(both_limits_hold_at_once),
		cmocka_unit_test(a_charge_afterwards_is_a_debt),
		cmocka_unit_test(what_is_cancelled_is_given_back),
		cmocka_unit_test(the_greatest_request_does_not_wrap),
		cmocka_unit_test(devices_of_a_group_share_fairly),
	};

	return cmocka_run_group_tests_name("limits", tests, NULL, NULL);
}
