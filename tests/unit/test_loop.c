/*
 * The event loop keeps its contract, on both engines: every test below runs on each.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <seccomp.h>

#include "tests/support/loop_fixture.h"

/* ---- stop, timers ---- */

static void a_stop_before_the_run_ends_it_at_once(void **state)
{
	struct fixture *f = *state;

	loop_stop(f->loop);
	assert_int_equal(loop_run(f->loop), 0);
}

static void a_timer_fires_on_time_and_not_before(void **state)
{
	struct fixture *f = *state;
	struct stopper s = { 0 };
	uint64_t start = loop_now_ns();

	stop_in(f->loop, &s, 3 * MS + 300000);
	assert_int_equal(loop_run(f->loop), 0);
	assert_true(s.fired_ns >= start + 3 * MS + 300000);
	assert_true(s.fired_ns < start + 500 * MS);
}

struct ordered {
	struct loop_timer timer;
	unsigned *order;
	unsigned place;
};

static void timer_notes_order(struct loop_timer *timer)
{
	struct ordered *o = container_of(timer, struct ordered, timer);

	o->place = ++*o->order;
}

static void timers_fire_in_order_of_their_deadlines(void **state)
{
	struct fixture *f = *state;
	struct stopper s = { 0 };
	struct ordered o[4];
	uint64_t now = loop_now_ns();
	unsigned order = 0;

	for (unsigned i = 0; i < 4; i++) {
		o[i] = (struct ordered){ .order = &order };
		o[i].timer.fn = timer_notes_order;
	}
	loop_timer_arm(f->loop, &o[0].timer, now + 3 * MS);
	loop_timer_arm(f->loop, &o[1].timer, now + 1 * MS);
	loop_timer_arm(f->loop, &o[2].timer, now + 2 * MS);
	loop_timer_arm(f->loop, &o[3].timer, now + 2 * MS);
	loop_timer_arm(f->loop, &o[0].timer, now + 4 * MS);
	loop_timer_disarm(f->loop, &o[3].timer);
	loop_timer_disarm(f->loop, &o[3].timer);
	stop_in(f->loop, &s, 6 * MS);
	assert_int_equal(loop_run(f->loop), 0);
	assert_int_equal(o[1].place, 1);
	assert_int_equal(o[2].place, 2);
	assert_int_equal(o[0].place, 3);
	assert_int_equal(o[3].place, 0);
}

/* ---- events ---- */

static void an_eventfd_that_is_never_read_calls_for_each_ring(void **state)
{
	struct fixture *f = *state;
	struct stopper s = { .loop = f->loop };
	struct stopper end = { 0 };
	int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

	s.event = (struct loop_event){ .fn = event_counts, .fd = fd, .events = EPOLLIN };
	assert_int_equal(loop_event_add(f->loop, &s.event), 0);
	for (unsigned i = 0; i < 3; i++) {
		unsigned before = s.event_count;

		assert_int_equal(eventfd_write(fd, 1), 0);
		s.stop_after = before + 1;
		stop_in(f->loop, &end, 2000 * MS);
		assert_int_equal(loop_run(f->loop), 0);
		assert_true(s.event_count > before);
	}
	/* Quiet again: no call without a ring. */
	s.event_count = 0;
	stop_in(f->loop, &end, 5 * MS);
	assert_int_equal(loop_run(f->loop), 0);
	assert_int_equal(s.event_count, 0);
	loop_event_del(f->loop, &s.event);
	close(fd);
}

static void a_closed_peer_is_told(void **state)
{
	struct fixture *f = *state;
	struct stopper s = { .loop = f->loop, .stop_after = 1 };
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair),
			 0);
	s.event = (struct loop_event){ .fn = event_counts, .fd = pair[0], .events = EPOLLIN };
	assert_int_equal(loop_event_add(f->loop, &s.event), 0);
	close(pair[1]);
	assert_int_equal(loop_run(f->loop), 0);
	assert_true(s.events & EPOLLHUP);
	loop_event_del(f->loop, &s.event);
	close(pair[0]);
}

static void a_deleted_event_is_not_called(void **state)
{
	struct fixture *f = *state;
	struct stopper s = { .loop = f->loop }, end = { 0 };
	int fd = eventfd(1, EFD_NONBLOCK | EFD_CLOEXEC);

	s.event = (struct loop_event){ .fn = event_counts, .fd = fd, .events = EPOLLIN };
	assert_int_equal(loop_event_add(f->loop, &s.event), 0);
	loop_event_del(f->loop, &s.event);
	loop_event_del(f->loop, &s.event);
	stop_in(f->loop, &end, 5 * MS);
	assert_int_equal(loop_run(f->loop), 0);
	assert_int_equal(s.event_count, 0);
	close(fd);
}

struct rivals {
	struct loop *loop;
	struct loop_event events[2];
	struct loop_event heir;
	unsigned called[2];
	unsigned heir_called;
	int heir_fd;
};

static void heir_called(struct loop_event *event, uint32_t events)
{
	struct rivals *r = container_of(event, struct rivals, heir);

	(void)events;
	r->heir_called++;
}

/* Deletes the other one, whose arrival may be in the same batch, and gives its slot away. */
static void rival_called(struct loop_event *event, uint32_t events)
{
	struct rivals *r;
	unsigned me = event->fd & 1 ? 1 : 0;

	(void)events;
	/* EVENTS[0] holds the even descriptor. */
	r = container_of(event - me, struct rivals, events[0]);
	r->called[me]++;
	loop_event_del(r->loop, &r->events[!me]);
	if (r->heir.generation == 0)
		assert_int_equal(loop_event_add(r->loop, &r->heir), 0);
}

static void an_arrival_for_a_deleted_event_does_not_reach_the_slots_next_owner(void **state)
{
	struct fixture *f = *state;
	struct rivals r = { .loop = f->loop };
	struct stopper end = { 0 };
	int even = fcntl(0, F_DUPFD_CLOEXEC, 100), odd;

	close(even);
	even = eventfd(1, EFD_NONBLOCK | EFD_CLOEXEC);
	assert_int_equal(dup3(even, 100, O_CLOEXEC), 100);
	close(even);
	even = 100;
	odd = eventfd(1, EFD_NONBLOCK | EFD_CLOEXEC);
	assert_int_equal(dup3(odd, 101, O_CLOEXEC), 101);
	close(odd);
	odd = 101;
	r.heir_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	r.events[0] = (struct loop_event){ .fn = rival_called, .fd = even, .events = EPOLLIN };
	r.events[1] = (struct loop_event){ .fn = rival_called, .fd = odd, .events = EPOLLIN };
	r.heir = (struct loop_event){ .fn = heir_called, .fd = r.heir_fd, .events = EPOLLIN };
	assert_int_equal(loop_event_add(f->loop, &r.events[0]), 0);
	assert_int_equal(loop_event_add(f->loop, &r.events[1]), 0);
	stop_in(f->loop, &end, 10 * MS);
	assert_int_equal(loop_run(f->loop), 0);
	assert_int_equal(r.called[0] + r.called[1], 1);
	assert_int_equal(r.heir_called, 0);
	loop_event_del(f->loop, &r.events[0]);
	loop_event_del(f->loop, &r.events[1]);
	loop_event_del(f->loop, &r.heir);
	close(even);
	close(odd);
	close(r.heir_fd);
}

/* A machine that resets deletes its queues' events while the loop rests: each would hold a file. */
static void an_event_deleted_while_the_loop_rests_lets_its_file_go(void **state)
{
	struct fixture *f = *state;
	struct stopper s = { 0 };
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	s.event = (struct loop_event){ .fn = event_counts, .fd = fds[0], .events = EPOLLIN };
	assert_int_equal(loop_event_add(f->loop, &s.event), 0);
	stop_in(f->loop, &s, MS);
	assert_int_equal(loop_run(f->loop), 0);
	loop_event_del(f->loop, &s.event);
	close(fds[0]);
	stop_in(f->loop, &s, 10 * MS);
	assert_int_equal(loop_run(f->loop), 0);
	assert_int_equal(send(fds[1], "x", 1, MSG_NOSIGNAL), -1);
	assert_int_equal(errno, EPIPE);
	close(fds[1]);
}

static void a_plain_file_is_ready_once(void **state)
{
	struct fixture *f = *state;
	struct stopper s = { .loop = f->loop }, end = { 0 };

	s.event = (struct loop_event){ .fn = event_counts, .fd = f->fd, .events = EPOLLIN };
	assert_int_equal(loop_event_add(f->loop, &s.event), 0);
	stop_in(f->loop, &end, 10 * MS);
	assert_int_equal(loop_run(f->loop), 0);
	assert_int_equal(s.event_count, 1);
	assert_true(s.events & EPOLLIN);
	loop_event_del(f->loop, &s.event);
}

static void many_events_grow_the_table(void **state)
{
	struct fixture *f = *state;
	struct stopper s[200] = { 0 }, end = { 0 };
	int fds[200];

	for (unsigned i = 0; i < 200; i++) {
		fds[i] = eventfd(1, EFD_NONBLOCK | EFD_CLOEXEC);
		s[i].event =
			(struct loop_event){ .fn = event_counts, .fd = fds[i], .events = EPOLLIN };
		assert_int_equal(loop_event_add(f->loop, &s[i].event), 0);
	}
	stop_in(f->loop, &end, 50 * MS);
	assert_int_equal(loop_run(f->loop), 0);
	for (unsigned i = 0; i < 200; i++) {
		assert_int_equal(s[i].event_count, 1);
		loop_event_del(f->loop, &s[i].event);
		close(fds[i]);
	}
}

/* ---- deferred work ---- */

static void deferred_again(struct loop_deferred *deferred)
{
	struct stopper *s = container_of(deferred, struct stopper, deferred);

	if (++s->deferred_count < 3)
		loop_defer(s->loop, &s->deferred);
	else
		loop_stop(s->loop);
}

static void deferred_work_may_defer_again_in_the_same_round(void **state)
{
	struct fixture *f = *state;
	struct stopper s = { .loop = f->loop, .deferred.fn = deferred_again };
	struct stopper cancelled = { .loop = f->loop, .deferred.fn = deferred_again };
	struct loop_stats stats;

	loop_defer(f->loop, &cancelled.deferred);
	loop_defer(f->loop, &s.deferred);
	loop_defer(f->loop, &s.deferred);
	loop_defer_cancel(f->loop, &cancelled.deferred);
	loop_defer_cancel(f->loop, &cancelled.deferred);
	assert_int_equal(loop_run(f->loop), 0);
	assert_int_equal(s.deferred_count, 3);
	assert_int_equal(cancelled.deferred_count, 0);
	loop_get_stats(f->loop, &stats);
	assert_true(stats.rounds <= 1);
}

/* ---- falling back ---- */

/* In a child, because a filter cannot be taken off again. */
static int without_io_uring(void)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
	struct loop_options options = { .engine = LOOP_ENGINE_AUTO };
	struct stopper s = { 0 };
	struct loop *loop;

	if (!filter ||
	    seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(io_uring_setup), 0) < 0 ||
	    seccomp_load(filter) < 0)
		return 2;
	seccomp_release(filter);
	options.engine = LOOP_ENGINE_IO_URING;
	if (loop_create(&loop, &options) != -EPERM)
		return 3;
	options.engine = LOOP_ENGINE_AUTO;
	if (loop_create(&loop, &options) != 0)
		return 4;
	if (strcmp(loop_engine_name(loop), "epoll") != 0)
		return 5;
	stop_in(loop, &s, MS);
	if (loop_run(loop) != 0)
		return 6;
	loop_destroy(loop);
	return 0;
}

static void a_refused_io_uring_falls_back_to_epoll(void **state)
{
	pid_t pid = fork();
	int status;

	(void)state;
	assert_true(pid >= 0);
	if (pid == 0)
		_exit(without_io_uring());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LOOP_TEST(a_stop_before_the_run_ends_it_at_once),
		LOOP_TEST(a_timer_fires_on_time_and_not_before),
		LOOP_TEST(timers_fire_in_order_of_their_deadlines),
		LOOP_TEST(an_eventfd_that_is_never_read_calls_for_each_ring),
		LOOP_TEST(a_closed_peer_is_told),
		LOOP_TEST(a_deleted_event_is_not_called),
		LOOP_TEST(an_arrival_for_a_deleted_event_does_not_reach_the_slots_next_owner),
		LOOP_TEST(an_event_deleted_while_the_loop_rests_lets_its_file_go),
		LOOP_TEST(a_plain_file_is_ready_once),
		LOOP_TEST(many_events_grow_the_table),
		LOOP_TEST(deferred_work_may_defer_again_in_the_same_round),
		cmocka_unit_test(a_refused_io_uring_falls_back_to_epoll),
	};

	return LOOP_RUN_ON_BOTH("loop", tests);
}
