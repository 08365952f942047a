/*
 * How the io_uring engine waits: completions gathered when many are in flight, told at once when
 * not; polling that ends by itself, and work that is found in memory meanwhile. Operations are
 * reads from pipes, which complete when the test wants it.
 */
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/support/skip.h"
#include "vmm/loop.h"

#define PIPES 32
#define MS    1000000ull

struct fixture;

struct read_op {
	struct loop_op op;
	struct fixture *f;
	struct iovec iov;
	char byte;
	int fds[2];
};

struct fixture {
	struct loop *loop;
	pthread_t thread;
	struct loop_event start;
	struct read_op reads[PIPES];
	unsigned count; /* of reads to submit */
	unsigned done;
	bool again; /* what was read is read again; atomic */
	unsigned kicks;
	uint64_t cpu_ns; /* that the loop's thread has used */
};

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static void *run(void *arg)
{
	struct fixture *f = arg;
	int ret = loop_run(f->loop);

	f->cpu_ns = clock_ns(CLOCK_THREAD_CPUTIME_ID);
	return (void *)(intptr_t)ret;
}

static void on_read(struct loop_op *op, int64_t result)
{
	struct read_op *read_op = container_of(op, struct read_op, op);
	struct fixture *f = read_op->f;

	assert_int_equal(result, 1);
	__atomic_fetch_add(&f->done, 1, __ATOMIC_SEQ_CST);
	if (!__atomic_load_n(&f->again, __ATOMIC_SEQ_CST))
		return;
	assert_int_equal(loop_readv(f->loop, op, read_op->fds[0], &read_op->iov, 1, 0), 0);
}

static void on_kick(struct loop_event *event, uint32_t events)
{
	struct fixture *f = container_of(event, struct fixture, start);

	(void)events;
	__atomic_fetch_add(&f->kicks, 1, __ATOMIC_SEQ_CST);
}

static struct fixture *start_with(unsigned poll_usec, unsigned count)
{
	struct loop_options options = { .engine = LOOP_ENGINE_AUTO, .poll_usec = poll_usec };
	struct fixture *f = calloc(1, sizeof(*f));

	assert_int_equal(loop_create(&f->loop, &options), 0);
	f->count = count;
	f->start.fn = on_kick;
	f->start.events = EPOLLIN;
	f->start.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	assert_int_equal(loop_event_add(f->loop, &f->start), 0);
	for (unsigned i = 0; i < count; i++) {
		struct read_op *op = &f->reads[i];

		assert_int_equal(pipe2(op->fds, O_CLOEXEC), 0);
		op->op.done = on_read;
		op->f = f;
		op->iov = (struct iovec){ &op->byte, 1 };
		assert_int_equal(loop_readv(f->loop, &op->op, op->fds[0], &op->iov, 1, 0), 0);
	}
	assert_int_equal(pthread_create(&f->thread, NULL, run, f), 0);
	usleep(50000);
	return f;
}

static void complete(struct fixture *f, unsigned first, unsigned count)
{
	for (unsigned i = first; i < first + count; i++)
		assert_int_equal(write(f->reads[i].fds[1], "x", 1), 1);
}

static void wait_done(struct fixture *f, unsigned count)
{
	for (unsigned i = 0; i < 100000; i++) {
		if (__atomic_load_n(&f->done, __ATOMIC_SEQ_CST) >= count)
			return;
		usleep(50);
	}
	fail_msg("%u of %u completions arrived", f->done, count);
}

static uint64_t syscalls(const struct fixture *f)
{
	struct loop_stats stats;

	loop_get_stats(f->loop, &stats);
	return stats.syscalls;
}

/* COMPLETED of the reads are, after DONE completions in all. */
static void end(struct fixture *f, unsigned completed, unsigned done)
{
	void *result;

	complete(f, completed, f->count - completed);
	wait_done(f, done + f->count - completed);
	loop_stop(f->loop);
	pthread_join(f->thread, &result);
	assert_null(result);
	loop_event_del(f->loop, &f->start);
	loop_destroy(f->loop);
	close(f->start.fd);
	for (unsigned i = 0; i < f->count; i++) {
		close(f->reads[i].fds[0]);
		close(f->reads[i].fds[1]);
	}
	free(f);
}

static bool on_io_uring(void)
{
	struct loop_options options = { .engine = LOOP_ENGINE_AUTO };
	struct loop *loop;
	bool yes;

	assert_int_equal(loop_create(&loop, &options), 0);
	yes = strcmp(loop_engine_name(loop), "io_uring") == 0;
	loop_destroy(loop);
	return yes;
}

/* System calls for each of 100 completions that come 10 us apart, while COUNT are in flight. */
static uint64_t cost_of_100(unsigned count)
{
	struct fixture *f = start_with(0, count);
	const unsigned total = 4000;
	uint64_t before, used;

	__atomic_store_n(&f->again, true, __ATOMIC_SEQ_CST);
	before = syscalls(f);
	for (unsigned i = 0; i < total; i++) {
		uint64_t next = loop_now_ns() + 10000;

		complete(f, i % count, 1);
		while (loop_now_ns() < next) {
		}
	}
	wait_done(f, total);
	used = syscalls(f) - before;
	__atomic_store_n(&f->again, false, __ATOMIC_SEQ_CST);
	complete(f, 0, count);
	wait_done(f, total + count);
	end(f, count, total + count);
	return used * 100 / total;
}

static void completions_are_gathered_when_many_are_in_flight(void **state)
{
	uint64_t least = UINT64_MAX;

	(void)state;
	/* A busy host may wake the loop late, which gathers too, or part what belongs together. */
	for (unsigned i = 0; i < 3; i++) {
		uint64_t cost = cost_of_100(PIPES);

		least = cost < least ? cost : least;
	}
	print_message("%llu system calls for 100 completions, alone %llu\n",
		      (unsigned long long)least, (unsigned long long)cost_of_100(4));
	if (on_io_uring())
		assert_in_range(least, 1, 15);
}

static void a_completion_among_many_is_told_soon(void **state)
{
	struct fixture *f = start_with(0, PIPES);
	uint64_t least = UINT64_MAX;

	(void)state;
	for (unsigned i = 0; i < 20; i++) {
		uint64_t start = loop_now_ns(), taken;

		complete(f, i, 1);
		wait_done(f, i + 1);
		taken = loop_now_ns() - start;
		least = taken < least ? taken : least;
	}
	assert_in_range(least, 0, 5 * MS);
	end(f, 20, 20);
}

static void an_event_is_not_kept_by_operations_in_flight(void **state)
{
	struct fixture *f = start_with(0, PIPES);
	uint64_t one = 1, start = loop_now_ns();

	(void)state;
	for (unsigned i = 0; i < 20; i++) {
		unsigned before = __atomic_load_n(&f->kicks, __ATOMIC_SEQ_CST);

		assert_int_equal(write(f->start.fd, &one, sizeof(one)), sizeof(one));
		while (__atomic_load_n(&f->kicks, __ATOMIC_SEQ_CST) == before)
			usleep(20);
	}
	assert_in_range(loop_now_ns() - start, 0, 2000 * MS);
	end(f, 0, 0);
}

static void polling_ends_when_nothing_comes(void **state)
{
	struct fixture *f = start_with(20000, 4);

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		complete(f, i, 1);
		wait_done(f, i + 1);
	}
	/* 20 ms, halved each time it was in vain: 40 ms in all after each that came. */
	usleep(600000);
	complete(f, 2, 2);
	wait_done(f, 4);
	loop_stop(f->loop);
	pthread_join(f->thread, NULL);
	assert_in_range(f->cpu_ns, 0, 250 * MS);
	assert_int_equal(pthread_create(&f->thread, NULL, run, f), 0);
	end(f, 4, 4);
}

/* ---- work in memory ---- */

struct watch {
	struct loop_poll poll;
	struct loop_event event; /* how the loop is rung */
	struct loop *loop;
	unsigned work; /* atomic, as is all below */
	unsigned done;
	unsigned rested;     /* times that it was told to be rung for */
	struct watch *other; /* is deleted when work is done */
};

static bool watch_looks(struct loop_poll *poll)
{
	struct watch *w = container_of(poll, struct watch, poll);

	return __atomic_load_n(&w->work, __ATOMIC_SEQ_CST) != w->done;
}

static bool watch_rests(struct loop_poll *poll)
{
	struct watch *w = container_of(poll, struct watch, poll);

	__atomic_fetch_add(&w->rested, 1, __ATOMIC_SEQ_CST);
	return watch_looks(poll);
}

static void watch_works(struct loop_poll *poll)
{
	struct watch *w = container_of(poll, struct watch, poll);
	struct watch *other = __atomic_load_n(&w->other, __ATOMIC_SEQ_CST);

	__atomic_store_n(&w->done, __atomic_load_n(&w->work, __ATOMIC_SEQ_CST), __ATOMIC_SEQ_CST);
	if (other)
		loop_poll_del(w->loop, &other->poll);
	(void)loop_poll_add(w->loop, poll);
}

static void watch_rings(struct loop_event *event, uint32_t events)
{
	(void)events;
	watch_works(&container_of(event, struct watch, event)->poll);
}

static void watch_start(struct watch *w, struct loop *loop)
{
	*w = (struct watch){ .loop = loop };
	w->poll.look = watch_looks;
	w->poll.rest = watch_rests;
	w->poll.fn = watch_works;
	w->event.fn = watch_rings;
	w->event.events = EPOLLIN;
	w->event.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	assert_int_equal(loop_event_add(loop, &w->event), 0);
}

static void ring(const struct watch *w)
{
	uint64_t one = 1;

	assert_int_equal(write(w->event.fd, &one, sizeof(one)), sizeof(one));
}

/* Adds work, without ringing, and waits until it is done. */
static void work_is_done(struct watch *w)
{
	unsigned wanted = __atomic_add_fetch(&w->work, 1, __ATOMIC_SEQ_CST);

	for (unsigned i = 0; i < 10000; i++) {
		if (__atomic_load_n(&w->done, __ATOMIC_SEQ_CST) == wanted)
			return;
		usleep(100);
	}
	fail_msg("work is not seen");
}

static struct loop *loop_that_polls(unsigned usec)
{
	struct loop_options options = { .engine = LOOP_ENGINE_IO_URING, .poll_usec = usec };
	struct loop *loop;

	assert_int_equal(loop_create(&loop, &options), 0);
	return loop;
}

static void *run_loop(void *loop)
{
	return (void *)(intptr_t)loop_run(loop);
}

static void end_loop(struct loop *loop, pthread_t thread, struct watch *w, unsigned count)
{
	void *result;

	loop_stop(loop);
	pthread_join(thread, &result);
	assert_null(result);
	for (unsigned i = 0; i < count; i++) {
		loop_poll_del(loop, &w[i].poll);
		loop_event_del(loop, &w[i].event);
		close(w[i].event.fd);
	}
	loop_destroy(loop);
}

static void work_in_memory_needs_no_ring_while_the_loop_spins(void **state)
{
	struct loop *loop;
	struct watch w[2];
	pthread_t thread;

	(void)state;
	if (!on_io_uring())
		skip_because("io_uring is refused here");
	loop = loop_that_polls(3000000);
	watch_start(&w[0], loop);
	watch_start(&w[1], loop);
	assert_int_equal(pthread_create(&thread, NULL, run_loop, loop), 0);
	/* Sleeps shorter than the limit make it spin. */
	for (unsigned i = 0; i < 3; i++) {
		usleep(20000);
		ring(&w[0]);
		ring(&w[1]);
	}
	usleep(20000);
	for (unsigned i = 0; i < 50; i++)
		work_is_done(&w[i % 2]);
	assert_int_equal(w[0].rested + w[1].rested, 0);
	end_loop(loop, thread, w, 2);
}

static void who_is_watched_is_told_before_the_loop_sleeps(void **state)
{
	struct loop *loop;
	struct watch w;
	pthread_t thread;

	(void)state;
	if (!on_io_uring())
		skip_because("io_uring is refused here");
	loop = loop_that_polls(1000000);
	watch_start(&w, loop);
	assert_int_equal(pthread_create(&thread, NULL, run_loop, loop), 0);
	for (unsigned i = 0; i < 3; i++) {
		usleep(20000);
		ring(&w);
	}
	usleep(20000);
	work_is_done(&w);
	for (unsigned i = 0; i < 10000 && !__atomic_load_n(&w.rested, __ATOMIC_SEQ_CST); i++)
		usleep(1000);
	/* Now it has to be rung for, and it is not watched until it asks again. */
	assert_int_equal(__atomic_load_n(&w.rested, __ATOMIC_SEQ_CST), 1);
	__atomic_fetch_add(&w.work, 1, __ATOMIC_SEQ_CST);
	usleep(50000);
	assert_int_equal(__atomic_load_n(&w.done, __ATOMIC_SEQ_CST), 1);
	ring(&w);
	for (unsigned i = 0; i < 10000 && __atomic_load_n(&w.done, __ATOMIC_SEQ_CST) != 2; i++)
		usleep(1000);
	assert_int_equal(w.done, 2);
	end_loop(loop, thread, &w, 1);
}

static void a_watched_one_may_delete_another(void **state)
{
	struct loop *loop;
	struct watch w[3];
	pthread_t thread;

	(void)state;
	if (!on_io_uring())
		skip_because("io_uring is refused here");
	loop = loop_that_polls(3000000);
	for (unsigned i = 0; i < 3; i++)
		watch_start(&w[i], loop);
	assert_int_equal(pthread_create(&thread, NULL, run_loop, loop), 0);
	for (unsigned i = 0; i < 9; i++) {
		usleep(10000);
		ring(&w[i % 3]);
	}
	usleep(20000);
	/* The last that asked comes first in a walk, so it deletes its next. */
	__atomic_store_n(&w[2].other, &w[1], __ATOMIC_SEQ_CST);
	work_is_done(&w[2]);
	work_is_done(&w[0]);
	__atomic_fetch_add(&w[1].work, 1, __ATOMIC_SEQ_CST);
	usleep(50000);
	assert_int_equal(__atomic_load_n(&w[1].done, __ATOMIC_SEQ_CST), 0);
	end_loop(loop, thread, w, 3);
}

static bool watch_is_busy(struct loop_poll *poll)
{
	(void)poll;
	return true;
}

static void events_are_served_while_there_is_always_work_in_memory(void **state)
{
	struct loop *loop;
	struct watch w[2];
	pthread_t thread;

	(void)state;
	if (!on_io_uring())
		skip_because("io_uring is refused here");
	loop = loop_that_polls(1000000);
	watch_start(&w[0], loop);
	watch_start(&w[1], loop);
	w[0].poll.look = w[0].poll.rest = watch_is_busy;
	assert_int_equal(pthread_create(&thread, NULL, run_loop, loop), 0);
	for (unsigned i = 0; i < 3; i++) {
		usleep(20000);
		ring(&w[0]);
	}
	__atomic_store_n(&w[1].work, 1, __ATOMIC_SEQ_CST);
	ring(&w[1]);
	for (unsigned i = 0; i < 10000 && !__atomic_load_n(&w[1].done, __ATOMIC_SEQ_CST); i++)
		usleep(1000);
	assert_int_equal(__atomic_load_n(&w[1].done, __ATOMIC_SEQ_CST), 1);
	end_loop(loop, thread, w, 2);
}

#define TICKS	200
#define TICK_MS 2

struct ticker {
	struct loop_timer timer;
	struct loop *loop;
	unsigned count;
	uint64_t cpu_ns;
};

static void tick(struct loop_timer *timer)
{
	struct ticker *t = container_of(timer, struct ticker, timer);

	if (++t->count < TICKS) {
		loop_timer_arm(t->loop, timer, loop_now_ns() + TICK_MS * MS);
		return;
	}
	t->cpu_ns = clock_ns(CLOCK_THREAD_CPUTIME_ID);
	loop_stop(t->loop);
}

static void timers_are_not_spun_for(void **state)
{
	struct ticker t = { .timer.fn = tick };
	pthread_t thread;

	(void)state;
	if (!on_io_uring())
		skip_because("io_uring is refused here");
	t.loop = loop_that_polls(TICK_MS * 2000);
	loop_timer_arm(t.loop, &t.timer, loop_now_ns() + TICK_MS * MS);
	assert_int_equal(pthread_create(&thread, NULL, run_loop, t.loop), 0);
	pthread_join(thread, NULL);
	assert_in_range(t.cpu_ns, 0, TICKS * TICK_MS * MS / 2);
	loop_destroy(t.loop);
}

static void nobody_is_watched_by_a_loop_that_does_not_spin(void **state)
{
	struct loop *loop;
	struct watch w;

	(void)state;
	if (!on_io_uring())
		skip_because("io_uring is refused here");
	loop = loop_that_polls(0);
	watch_start(&w, loop);
	assert_false(loop_poll_add(loop, &w.poll));
	loop_poll_del(loop, &w.poll);
	loop_event_del(loop, &w.event);
	close(w.event.fd);
	loop_destroy(loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(completions_are_gathered_when_many_are_in_flight),
		cmocka_unit_test(a_completion_among_many_is_told_soon),
		cmocka_unit_test(an_event_is_not_kept_by_operations_in_flight),
		cmocka_unit_test(polling_ends_when_nothing_comes),
		cmocka_unit_test(work_in_memory_needs_no_ring_while_the_loop_spins),
		cmocka_unit_test(who_is_watched_is_told_before_the_loop_sleeps),
		cmocka_unit_test(a_watched_one_may_delete_another),
		cmocka_unit_test(events_are_served_while_there_is_always_work_in_memory),
		cmocka_unit_test(timers_are_not_spun_for),
		cmocka_unit_test(nobody_is_watched_by_a_loop_that_does_not_spin),
	};

	return cmocka_run_group_tests_name("waiting", tests, NULL, NULL);
}
