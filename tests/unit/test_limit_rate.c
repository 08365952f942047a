/*
 * Limits on real loops, each on a thread of its own: what is measured over real time is what was
 * asked for, without spinning.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "devices/limit.h"
#include "tests/support/skip.h"

#define LOOPS	4
#define MEASURE 1500000000ull

static enum loop_engine engine;

struct worker {
	struct loop *loop;
	pthread_t thread;
	struct limit_user user;
	struct loop_timer start; /* the loop's thread asks for the first time */
	struct loop_timer end;
	uint64_t len;
	uint64_t done;
	uint64_t end_ns;
};

static void work(struct worker *worker)
{
	while (limit_take(&worker->user, worker->len))
		worker->done++;
}

static void on_ready(struct limit_user *user)
{
	struct worker *worker = container_of(user, struct worker, user);

	worker->done++;
	work(worker);
}

static void on_start(struct loop_timer *timer)
{
	work(container_of(timer, struct worker, start));
}

static void on_end(struct loop_timer *timer)
{
	struct worker *worker = container_of(timer, struct worker, end);

	limit_cancel(&worker->user);
	worker->end_ns = loop_now_ns();
	loop_stop(worker->loop);
}

static void *run(void *arg)
{
	return (void *)(intptr_t)loop_run(arg);
}

static uint64_t cpu_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* What COUNT loops get out of one limit, in LEN bytes or operations, a second. */
static double measure(const struct limit_options *options, unsigned count, uint64_t len)
{
	struct loop_options loop_options = { .engine = engine };
	struct worker workers[LOOPS];
	struct limit *limit;
	uint64_t start = loop_now_ns();
	uint64_t cpu = cpu_ns(), done = 0, end = 0;

	memset(workers, 0, sizeof(workers));
	assert_int_equal(limit_create(&limit, options), 0);
	for (unsigned i = 0; i < count; i++) {
		struct worker *worker = &workers[i];

		assert_int_equal(loop_create(&worker->loop, &loop_options), 0);
		worker->len = len;
		limit_user_init(&worker->user, limit, worker->loop, on_ready);
		worker->start.fn = on_start;
		worker->end.fn = on_end;
		loop_timer_arm(worker->loop, &worker->start, 1);
		loop_timer_arm(worker->loop, &worker->end, start + MEASURE);
		assert_int_equal(pthread_create(&worker->thread, NULL, run, worker->loop), 0);
	}
	for (unsigned i = 0; i < count; i++) {
		void *result;

		pthread_join(workers[i].thread, &result);
		assert_null(result);
		loop_destroy(workers[i].loop);
		done += workers[i].done;
		end = workers[i].end_ns > end ? workers[i].end_ns : end;
	}
	limit_destroy(limit);
	/* Nobody spins: half of one CPU would be far too much. */
	assert_true(cpu_ns() - cpu < MEASURE / 2);
	return (double)(done * (len ? len : 1)) * 1e9 / (double)(end - start);
}

/* Never more; not less either, but for a host that is too busy to tell, so it is tried again. */
static void assert_within_2_percent(const struct limit_options *options, unsigned count,
				    uint64_t len, double want)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	skip_because("a sanitizer's own time is in what would be measured");
#endif
	double got = 0;

	for (unsigned tries = 0; tries < 4 && got < want * 0.98; tries++) {
		got = measure(options, count, len);
		print_message("wanted %.0f a second, got %.0f: %+.2f %%\n", want, got,
			      (got / want - 1) * 100);
		assert_true(got < want * 1.02);
	}
	assert_true(got > want * 0.98);
}

static void operations_are_within_2_percent(void **state)
{
	struct limit_options options = { .ops_per_s = 2000 };

	(void)state;
	assert_within_2_percent(&options, 1, 0, 2000);
}

static void small_requests_are_within_2_percent_of_the_bandwidth(void **state)
{
	struct limit_options options = { .bytes_per_s = 10u << 20 };

	(void)state;
	assert_within_2_percent(&options, 1, 4096, 10u << 20);
}

static void large_requests_are_within_2_percent_of_the_bandwidth(void **state)
{
	struct limit_options options = { .bytes_per_s = 100u << 20 };

	(void)state;
	assert_within_2_percent(&options, 1, 1u << 20, 100u << 20);
}

static void a_group_on_many_loops_is_within_2_percent(void **state)
{
	struct limit_options options = { .ops_per_s = 4000, .bytes_per_s = 100u << 20 };

	(void)state;
	assert_within_2_percent(&options, LOOPS, 4096, 4000 * 4096);
}

static int use_epoll(void **state)
{
	(void)state;
	engine = LOOP_ENGINE_EPOLL;
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(operations_are_within_2_percent),
		cmocka_unit_test(small_requests_are_within_2_percent_of_the_bandwidth),
		cmocka_unit_test(large_requests_are_within_2_percent_of_the_bandwidth),
		cmocka_unit_test(a_group_on_many_loops_is_within_2_percent),
	};
	int failed =
		cmocka_run_group_tests_name("limits on io_uring, if there is", tests, NULL, NULL);

	return failed + cmocka_run_group_tests_name("limits on epoll", tests, use_epoll, NULL);
}
