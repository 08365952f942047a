/*
 * The event loop keeps its contract, on both engines: every test below runs on each.
 */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <seccomp.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "tests/support/skip.h"
#include "vmm/log.h"
#include "vmm/loop.h"

#define MS 1000000ull

static enum loop_engine engine;

struct fixture {
	struct loop *loop;
	int fd;
};

static struct loop *make_loop(unsigned entries, unsigned poll_usec)
{
	struct loop_options options = {
		.engine = engine,
		.entries = entries,
		.poll_usec = poll_usec,
	};
	struct loop *loop;

	assert_int_equal(loop_create(&loop, &options), 0);
	return loop;
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	char path[] = "/tmp/test-loop-XXXXXX";

	f->loop = make_loop(0, 0);
	f->fd = mkostemp(path, O_CLOEXEC);
	assert_true(f->fd >= 0);
	unlink(path);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	loop_destroy(f->loop);
	close(f->fd);
	free(f);
	return 0;
}

/* ---- helpers: things that stop the loop ---- */

struct stopper {
	struct loop *loop;
	struct loop_timer timer;
	struct loop_event event;
	struct loop_deferred deferred;
	unsigned event_count;
	unsigned deferred_count;
	unsigned stop_after;
	uint32_t events;
	uint64_t fired_ns;
};

static void timer_stops(struct loop_timer *timer)
{
	struct stopper *s = container_of(timer, struct stopper, timer);

	s->fired_ns = loop_now_ns();
	loop_stop(s->loop);
}

static void event_counts(struct loop_event *event, uint32_t events)
{
	struct stopper *s = container_of(event, struct stopper, event);

	s->events |= events;
	if (++s->event_count == s->stop_after)
		loop_stop(s->loop);
}

static void stop_in(struct loop *loop, struct stopper *s, uint64_t ns)
{
	s->loop = loop;
	s->timer.fn = timer_stops;
	loop_timer_arm(loop, &s->timer, loop_now_ns() + ns);
}

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

/* ---- operations ---- */

struct transfer {
	struct loop_op op;
	struct loop *loop;
	unsigned *pending;
	int64_t result;
	bool finished;
};

static void transfer_done(struct loop_op *op, int64_t result)
{
	struct transfer *t = container_of(op, struct transfer, op);

	assert_false(t->finished);
	t->finished = true;
	t->result = result;
	if (--*t->pending == 0)
		loop_stop(t->loop);
}

static void transfer_init(struct transfer *t, struct loop *loop, unsigned *pending)
{
	*t = (struct transfer){ .op.done = transfer_done, .loop = loop, .pending = pending };
}

static int64_t run_one(struct loop *loop, struct transfer *t, int ret)
{
	if (ret < 0)
		return ret;
	assert_int_equal(loop_run(loop), 0);
	assert_true(t->finished);
	return t->result;
}

static void data_written_is_read_back(void **state)
{
	struct fixture *f = *state;
	char a[100], b[200], back[300];
	struct iovec out[2] = { { a, sizeof(a) }, { b, sizeof(b) } };
	struct iovec in = { back, sizeof(back) };
	struct transfer t;
	unsigned pending;

	memset(a, 'a', sizeof(a));
	memset(b, 'b', sizeof(b));
	for (int registered = 0; registered < 2; registered++) {
		if (registered)
			loop_register_fd(f->loop, f->fd);
		memset(back, 0, sizeof(back));
		pending = 1;
		transfer_init(&t, f->loop, &pending);
		assert_int_equal(
			run_one(f->loop, &t, loop_writev(f->loop, &t.op, f->fd, out, 2, 4096)),
			300);
		pending = 1;
		transfer_init(&t, f->loop, &pending);
		assert_int_equal(run_one(f->loop, &t, loop_fdatasync(f->loop, &t.op, f->fd)), 0);
		pending = 1;
		transfer_init(&t, f->loop, &pending);
		assert_int_equal(
			run_one(f->loop, &t, loop_readv(f->loop, &t.op, f->fd, &in, 1, 4096)), 300);
		assert_memory_equal(back, a, 100);
		assert_memory_equal(back + 100, b, 200);
		/* Half past the end: short. */
		pending = 1;
		transfer_init(&t, f->loop, &pending);
		assert_int_equal(
			run_one(f->loop, &t, loop_readv(f->loop, &t.op, f->fd, &in, 1, 4246)), 150);
	}
	loop_unregister_fd(f->loop, f->fd);
	pending = 1;
	transfer_init(&t, f->loop, &pending);
	assert_int_equal(
		run_one(f->loop, &t,
			loop_fallocate(f->loop, &t.op, f->fd,
				       FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 4096, 200)),
		0);
	pending = 1;
	transfer_init(&t, f->loop, &pending);
	assert_int_equal(run_one(f->loop, &t, loop_readv(f->loop, &t.op, f->fd, &in, 1, 4096)),
			 300);
	assert_int_equal(back[0], 0);
	assert_int_equal(back[199], 0);
	assert_int_equal(back[200], 'b');
}

static void a_failing_operation_reports_its_error(void **state)
{
	struct fixture *f = *state;
	int read_only = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	char byte = 1;
	struct iovec iov = { &byte, 1 };
	struct transfer t;
	unsigned pending = 1;

	transfer_init(&t, f->loop, &pending);
	assert_int_equal(run_one(f->loop, &t, loop_writev(f->loop, &t.op, read_only, &iov, 1, 0)),
			 -EBADF);
	close(read_only);
}

static void operations_beyond_the_limit_are_busy_and_a_round_takes_many(void **state)
{
	struct fixture *f = *state;
	struct loop *loop = make_loop(300, 0);
	struct transfer *t = calloc(301, sizeof(*t));
	struct iovec *iov = calloc(301, sizeof(*iov));
	unsigned *cells = calloc(301, sizeof(*cells));
	unsigned pending = 0;
	struct stopper start = { 0 };

	loop_register_fd(loop, f->fd);
	/* The ring must be running: it takes no more than one queue of submissions before. */
	stop_in(loop, &start, 0);
	assert_int_equal(loop_run(loop), 0);
	for (unsigned i = 0; i < 300; i++) {
		cells[i] = i;
		iov[i] = (struct iovec){ &cells[i], sizeof(cells[i]) };
		transfer_init(&t[i], loop, &pending);
		assert_int_equal(
			loop_writev(loop, &t[i].op, f->fd, &iov[i], 1, i * sizeof(cells[i])), 0);
		pending++;
	}
	iov[300] = (struct iovec){ &cells[300], sizeof(cells[300]) };
	transfer_init(&t[300], loop, &pending);
	assert_int_equal(loop_writev(loop, &t[300].op, f->fd, &iov[300], 1, 0), -EBUSY);
	assert_int_equal(loop_run(loop), 0);
	assert_int_equal(pending, 0);
	for (unsigned i = 0; i < 300; i++) {
		unsigned cell = ~0u;

		assert_int_equal(t[i].result, sizeof(unsigned));
		assert_int_equal(pread(f->fd, &cell, sizeof(cell), (off_t)(i * sizeof(cell))),
				 sizeof(cell));
		assert_int_equal(cell, i);
	}
	loop_destroy(loop);
	free(t);
	free(iov);
	free(cells);
}

static void a_batch_costs_few_system_calls(void **state)
{
	struct fixture *f = *state;
	struct transfer t[64];
	char buffer[64];
	struct iovec iov = { buffer, sizeof(buffer) };
	struct loop_stats stats;
	struct stopper start = { 0 };
	uint64_t before;
	unsigned pending = 64;

	if (strcmp(loop_engine_name(f->loop), "io_uring") != 0)
		skip_because("it is about io_uring");
	assert_int_equal(pwrite(f->fd, buffer, sizeof(buffer), 0), sizeof(buffer));
	loop_register_fd(f->loop, f->fd);
	stop_in(f->loop, &start, 0);
	assert_int_equal(loop_run(f->loop), 0);
	loop_get_stats(f->loop, &stats);
	before = stats.syscalls;
	for (unsigned i = 0; i < 64; i++) {
		transfer_init(&t[i], f->loop, &pending);
		assert_int_equal(loop_readv(f->loop, &t[i].op, f->fd, &iov, 1, 0), 0);
	}
	assert_int_equal(loop_run(f->loop), 0);
	loop_get_stats(f->loop, &stats);
	assert_true(stats.syscalls - before <= 2);
	assert_int_equal(stats.ops, 64);
}

static void stopping_waits_for_operations_in_flight(void **state)
{
	struct fixture *f = *state;
	char buffer[512] = "x";
	struct iovec iov = { buffer, sizeof(buffer) };
	struct transfer t[32];
	unsigned pending = 1000; /* never the last one: the stop below is what ends it */

	for (unsigned i = 0; i < 32; i++) {
		transfer_init(&t[i], f->loop, &pending);
		assert_int_equal(loop_writev(f->loop, &t[i].op, f->fd, &iov, 1, i * 512u), 0);
	}
	loop_stop(f->loop);
	assert_int_equal(loop_run(f->loop), 0);
	for (unsigned i = 0; i < 32; i++)
		assert_true(t[i].finished);
}

/* ---- other threads ---- */

static void *loop_thread(void *arg)
{
	return (void *)(intptr_t)loop_run(arg);
}

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

/* An event and a registered file follow the loop from thread to thread. */
static void a_loop_may_run_again_on_another_thread(void **state)
{
	struct fixture *f = *state;
	struct stopper s = { .loop = f->loop };
	char byte = 'x';
	struct iovec iov = { &byte, 1 };
	int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

	s.event = (struct loop_event){ .fn = event_counts, .fd = fd, .events = EPOLLIN };
	assert_int_equal(loop_event_add(f->loop, &s.event), 0);
	loop_register_fd(f->loop, f->fd);
	for (unsigned i = 1; i <= 3; i++) {
		pthread_t runner;
		struct transfer t;
		unsigned pending = 2;

		s.stop_after = s.event_count + 1;
		eventfd_write(fd, 1);
		assert_int_equal(pthread_create(&runner, NULL, loop_thread, f->loop), 0);
		pthread_join(runner, NULL);
		assert_true(s.event_count >= i);
		/* The next one finds an operation that was asked for in between. */
		transfer_init(&t, f->loop, &pending);
		assert_int_equal(loop_writev(f->loop, &t.op, f->fd, &iov, 1, i), 0);
		loop_stop(f->loop);
		assert_int_equal(pthread_create(&runner, NULL, loop_thread, f->loop), 0);
		pthread_join(runner, NULL);
		assert_true(t.finished);
		assert_int_equal(t.result, 1);
	}
	loop_unregister_fd(f->loop, f->fd);
	loop_event_del(f->loop, &s.event);
	close(fd);
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

#define LOOP_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

static int run_on(enum loop_engine which, const char *name)
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
		LOOP_TEST(data_written_is_read_back),
		LOOP_TEST(a_failing_operation_reports_its_error),
		LOOP_TEST(operations_beyond_the_limit_are_busy_and_a_round_takes_many),
		LOOP_TEST(a_batch_costs_few_system_calls),
		LOOP_TEST(stopping_waits_for_operations_in_flight),
		LOOP_TEST(calls_from_many_threads_run_one_at_a_time),
		LOOP_TEST(a_call_returns_even_when_the_loop_stops_meanwhile),
		LOOP_TEST(a_call_without_a_running_loop_runs_here),
		LOOP_TEST(a_call_may_be_finished_later),
		LOOP_TEST(no_ring_is_lost),
		LOOP_TEST(a_loop_may_run_again_on_another_thread),
		LOOP_TEST(no_ring_is_lost_while_polling),
		cmocka_unit_test(a_refused_io_uring_falls_back_to_epoll),
	};

	engine = which;
	return cmocka_run_group_tests_name(name, tests, NULL, NULL);
}

int main(void)
{
	int failed = run_on(LOOP_ENGINE_EPOLL, "loop on epoll");

	return failed + run_on(LOOP_ENGINE_IO_URING, "loop on io_uring");
}
