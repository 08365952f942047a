/*
 * The event loop and other threads, on both engines: calls into it, and that no ring is lost.
 */
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/support/loop_fixture.h"

struct counted_call {
	struct loop_call call;
	struct loop *loop;
	unsigned *counter; /* plain: the loop's thread is the only writer */
	bool current;
};

static void call_counts(struct loop_call *call)
{
	struct counted_call *c = container_of(call, struct counted_call, call);

	++*c->counter;
	c->current = loop_is_current(c->loop);
	loop_call_done(call);
}

struct caller {
	struct loop *loop;
	unsigned *counter;
};

static void *caller_thread(void *arg)
{
	struct caller *caller = arg;

	for (unsigned i = 0; i < 500; i++) {
		struct counted_call c = {
			.call.fn = call_counts,
			.loop = caller->loop,
			.counter = caller->counter,
		};

		loop_call(caller->loop, &c.call);
	}
	return NULL;
}

static void calls_from_many_threads_run_one_at_a_time(void **state)
{
	struct fixture *f = *state;
	pthread_t runner, callers[4];
	unsigned counter = 0;
	struct caller caller = { f->loop, &counter };

	assert_int_equal(pthread_create(&runner, NULL, loop_thread, f->loop), 0);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&callers[i], NULL, caller_thread, &caller), 0);
	for (unsigned i = 0; i < 4; i++)
		pthread_join(callers[i], NULL);
	loop_stop(f->loop);
	pthread_join(runner, NULL);
	assert_int_equal(counter, 2000);
}

static void a_call_returns_even_when_the_loop_stops_meanwhile(void **state)
{
	struct fixture *f = *state;

	for (unsigned i = 0; i < 50; i++) {
		struct loop *loop = make_loop(0, 0);
		unsigned counter = 0;
		struct caller caller = { loop, &counter };
		pthread_t runner, thread;

		assert_int_equal(pthread_create(&runner, NULL, loop_thread, loop), 0);
		assert_int_equal(pthread_create(&thread, NULL, caller_thread, &caller), 0);
		usleep(i * 20);
		loop_stop(loop);
		pthread_join(thread, NULL);
		pthread_join(runner, NULL);
		assert_int_equal(counter, 500);
		loop_destroy(loop);
	}
	(void)f;
}

static void a_call_without_a_running_loop_runs_here(void **state)
{
	struct fixture *f = *state;
	unsigned counter = 0;
	struct counted_call c = { .call.fn = call_counts, .loop = f->loop, .counter = &counter };

	loop_call(f->loop, &c.call);
	assert_int_equal(counter, 1);
	assert_false(c.current);
}

struct late_call {
	struct loop_call call;
	struct loop_timer timer;
	struct loop *loop;
};

static void late_fires(struct loop_timer *timer)
{
	loop_call_done(&container_of(timer, struct late_call, timer)->call);
}

static void late_starts(struct loop_call *call)
{
	struct late_call *l = container_of(call, struct late_call, call);

	assert_true(loop_is_current(l->loop));
	loop_timer_arm(l->loop, &l->timer, loop_now_ns() + 5 * MS);
}

static void wait_until_running(struct loop *loop)
{
	struct loop_stats stats;

	do {
		usleep(200);
		loop_get_stats(loop, &stats);
	} while (stats.rounds == 0);
}

static void a_call_may_be_finished_later(void **state)
{
	struct fixture *f = *state;
	struct late_call l = { .call.fn = late_starts, .timer.fn = late_fires, .loop = f->loop };
	uint64_t start = loop_now_ns();
	pthread_t runner;

	assert_int_equal(pthread_create(&runner, NULL, loop_thread, f->loop), 0);
	wait_until_running(f->loop);
	loop_call(f->loop, &l.call);
	assert_true(loop_now_ns() >= start + 5 * MS);
	loop_stop(f->loop);
	pthread_join(runner, NULL);
}

struct pong {
	struct loop_event event;
	int reply_fd;
};

static void pong_rings(struct loop_event *event, uint32_t events)
{
	(void)events;
	eventfd_write(container_of(event, struct pong, event)->reply_fd, 1);
}

/* No ring of an eventfd is lost, however the writes and the waits fall. */
static void check_ping_pong(struct loop *loop)
{
	struct pong p;
	pthread_t runner;
	eventfd_t value;

	p.event = (struct loop_event){
		.fn = pong_rings,
		.fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC),
		.events = EPOLLIN,
	};
	p.reply_fd = eventfd(0, EFD_CLOEXEC);
	assert_int_equal(loop_event_add(loop, &p.event), 0);
	assert_int_equal(pthread_create(&runner, NULL, loop_thread, loop), 0);
	for (unsigned i = 0; i < 2000; i++) {
		eventfd_write(p.event.fd, 1);
		assert_int_equal(eventfd_read(p.reply_fd, &value), 0);
	}
	loop_stop(loop);
	pthread_join(runner, NULL);
	loop_event_del(loop, &p.event);
	close(p.event.fd);
	close(p.reply_fd);
}

static void no_ring_is_lost(void **state)
{
	struct fixture *f = *state;

	check_ping_pong(f->loop);
}

static void no_ring_is_lost_while_polling(void **state)
{
	struct loop *loop = make_loop(0, 50);

	(void)state;
	check_ping_pong(loop);
	loop_destroy(loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LOOP_TEST(calls_from_many_threads_run_one_at_a_time),
		LOOP_TEST(a_call_returns_even_when_the_loop_stops_meanwhile),
		LOOP_TEST(a_call_without_a_running_loop_runs_here),
		LOOP_TEST(a_call_may_be_finished_later),
		LOOP_TEST(no_ring_is_lost),
		LOOP_TEST(no_ring_is_lost_while_polling),
	};

	return LOOP_RUN_ON_BOTH("loop calls", tests);
}
