/*
 * What tests of the event loop share: a loop of the engine at hand with a file, things that stop
 * it, an operation that tells how it ended, a thread that runs it. After <cmocka.h>, in one C file.
 */
#ifndef TESTS_SUPPORT_LOOP_FIXTURE_H
#define TESTS_SUPPORT_LOOP_FIXTURE_H

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "vmm/loop.h"

#define MS 1000000ull

/* Of the group that runs. */
static enum loop_engine engine;

struct fixture {
	struct loop *loop;
	int fd;
};

static inline struct loop *make_loop(unsigned entries, unsigned poll_usec)
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

static inline int setup(void **state)
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

static inline int teardown(void **state)
{
	struct fixture *f = *state;

	loop_destroy(f->loop);
	close(f->fd);
	free(f);
	return 0;
}

/* ---- things that stop the loop ---- */

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

static inline void timer_stops(struct loop_timer *timer)
{
	struct stopper *s = container_of(timer, struct stopper, timer);

	s->fired_ns = loop_now_ns();
	loop_stop(s->loop);
}

static inline void event_counts(struct loop_event *event, uint32_t events)
{
	struct stopper *s = container_of(event, struct stopper, event);

	s->events |= events;
	if (++s->event_count == s->stop_after)
		loop_stop(s->loop);
}

static inline void stop_in(struct loop *loop, struct stopper *s, uint64_t ns)
{
	s->loop = loop;
	s->timer.fn = timer_stops;
	loop_timer_arm(loop, &s->timer, loop_now_ns() + ns);
}

/* ---- operations ---- */

struct transfer {
	struct loop_op op;
	struct loop *loop;
	unsigned *pending;
	int64_t result;
	bool finished;
};

static inline void transfer_done(struct loop_op *op, int64_t result)
{
	struct transfer *t = container_of(op, struct transfer, op);

	assert_false(t->finished);
	t->finished = true;
	t->result = result;
	if (--*t->pending == 0)
		loop_stop(t->loop);
}

static inline void transfer_init(struct transfer *t, struct loop *loop, unsigned *pending)
{
	*t = (struct transfer){ .op.done = transfer_done, .loop = loop, .pending = pending };
}

/* ---- threads ---- */

static inline void *loop_thread(void *arg)
{
	return (void *)(intptr_t)loop_run(arg);
}

#define LOOP_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

/* Runs the tests of an array on each engine. How many failed. */
#define LOOP_RUN_ON_BOTH(name, tests) run_on_both(name, tests, sizeof(tests) / sizeof((tests)[0]))

static inline int run_on_both(const char *name, const struct CMUnitTest *tests, size_t count)
{
	static const enum loop_engine engines[] = { LOOP_ENGINE_EPOLL, LOOP_ENGINE_IO_URING };
	static const char *const names[] = { "epoll", "io_uring" };
	int failed = 0;

	for (unsigned i = 0; i < 2; i++) {
		char title[64];

		snprintf(title, sizeof(title), "%s on %s", name, names[i]);
		engine = engines[i];
		failed += _cmocka_run_group_tests(title, tests, count, NULL, NULL);
	}
	return failed;
}

#endif
