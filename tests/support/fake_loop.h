/*
 * vmm/loop.h without threads and kernel: included by the one C file of a test or fuzz target, it
 * takes the place of the real loop. A test runs rounds by hand (fake_loop_round); I/O operations
 * wait until the test completes them (fake_loop_complete).
 */
#ifndef TESTS_SUPPORT_FAKE_LOOP_H
#define TESTS_SUPPORT_FAKE_LOOP_H

#include <assert.h>
#include <string.h>
#include <sys/epoll.h>

#include "vmm/loop.h"

#define FAKE_LOOP_EVENTS 64
#define FAKE_LOOP_OPS	 1024
#define FAKE_LOOP_TIMERS 16

/* The clock: it stands still unless a test moves it. */
static uint64_t fake_loop_now_ns = 1;

struct loop {
	struct loop_event *events[FAKE_LOOP_EVENTS];
	bool ready[FAKE_LOOP_EVENTS];
	struct loop_deferred *deferred;
	struct loop_deferred **deferred_tail;
	struct loop_op *ops[FAKE_LOOP_OPS];
	unsigned op_count;
	struct loop_timer *timers[FAKE_LOOP_TIMERS];
	/* Set: calls behave as with a thread that runs the loop: WHILE_WAITING is called, and
	 * rounds are run, until the call is done. Not set: as with one that does not run. */
	bool running;
	void (*while_waiting)(struct loop *loop);
	bool current;
	bool refuse_events; /* loop_event_add fails */
	bool spins;	    /* rounds look at what is watched, until fake_loop_rest */
	struct loop_poll *polls;
};

static inline void fake_loop_init(struct loop *loop)
{
	memset(loop, 0, sizeof(*loop));
	loop->deferred_tail = &loop->deferred;
}

/* Descriptors here are eventfds: reading one tells whether it rang, and is ready for the next. */
static inline bool fake_loop_rang(int fd)
{
	uint64_t value;

	return read(fd, &value, sizeof(value)) == (ssize_t)sizeof(value);
}

static inline void fake_loop_run_deferred(struct loop *loop)
{
	struct loop_deferred *d;

	while ((d = loop->deferred)) {
		loop_defer_cancel(loop, d);
		d->fn(d);
	}
}

bool loop_poll_add(struct loop *loop, struct loop_poll *poll)
{
	if (loop->spins && !poll->watched) {
		poll->watched = true;
		poll->next = loop->polls;
		loop->polls = poll;
	}
	return loop->spins;
}

void loop_poll_del(struct loop *loop, struct loop_poll *poll)
{
	for (struct loop_poll **at = &loop->polls; *at; at = &(*at)->next) {
		if (*at != poll)
			continue;
		*at = poll->next;
		poll->watched = false;
		return;
	}
}

/* The loop is about to sleep. True when somebody has got work, and it does not. */
static inline bool fake_loop_rest(struct loop *loop)
{
	loop->spins = false;
	for (struct loop_poll *poll = loop->polls, *next; poll; poll = next) {
		next = poll->next;
		if (!poll->rest(poll))
			loop_poll_del(loop, poll);
	}
	return loop->polls;
}

static inline void fake_loop_look(struct loop *loop)
{
	for (struct loop_poll *poll = loop->polls, *next; poll; poll = next) {
		next = poll->next;
		if (!poll->look(poll))
			continue;
		loop_poll_del(loop, poll);
		poll->fn(poll);
	}
}

/* One round: what rang or can be seen, then what was deferred. */
static inline void fake_loop_round(struct loop *loop)
{
	loop->current = true;
	for (unsigned i = 0; i < FAKE_LOOP_EVENTS; i++) {
		struct loop_event *event = loop->events[i];
		bool ready = loop->ready[i];

		if (!event)
			continue;
		loop->ready[i] = false;
		if (fake_loop_rang(event->fd) || ready)
			event->fn(event, EPOLLIN);
	}
	fake_loop_look(loop);
	fake_loop_run_deferred(loop);
	loop->current = false;
}

/* Completes the oldest operation. */
static inline bool fake_loop_complete(struct loop *loop, int64_t result)
{
	struct loop_op *op = loop->ops[0];

	if (!loop->op_count)
		return false;
	loop->op_count--;
	memmove(loop->ops, loop->ops + 1, loop->op_count * sizeof(op));
	loop->current = true;
	op->done(op, result);
	fake_loop_run_deferred(loop);
	loop->current = false;
	return true;
}

int loop_create(struct loop **out, const struct loop_options *options)
{
	(void)options;
	*out = calloc(1, sizeof(**out));
	if (!*out)
		return -ENOMEM;
	fake_loop_init(*out);
	return 0;
}

void loop_destroy(struct loop *loop)
{
	free(loop);
}

const char *loop_engine_name(const struct loop *loop)
{
	(void)loop;
	return "fake";
}

int loop_run(struct loop *loop)
{
	(void)loop;
	return -ENOSYS;
}

void loop_stop(struct loop *loop)
{
	loop->running = false;
}

int loop_event_add(struct loop *loop, struct loop_event *event)
{
	for (uint32_t i = 0; i < FAKE_LOOP_EVENTS && !loop->refuse_events; i++) {
		if (loop->events[i])
			continue;
		loop->events[i] = event;
		loop->ready[i] = true;
		event->slot = i;
		return 0;
	}
	return -ENOSPC;
}

void loop_event_del(struct loop *loop, struct loop_event *event)
{
	for (unsigned i = 0; i < FAKE_LOOP_EVENTS; i++)
		if (loop->events[i] == event)
			loop->events[i] = NULL;
}

uint64_t loop_now_ns(void)
{
	return fake_loop_now_ns;
}

void loop_timer_arm(struct loop *loop, struct loop_timer *timer, uint64_t deadline_ns)
{
	unsigned i = 0;

	loop_timer_disarm(loop, timer);
	timer->deadline_ns = deadline_ns ? deadline_ns : 1;
	while (loop->timers[i])
		assert(++i < FAKE_LOOP_TIMERS);
	loop->timers[i] = timer;
}

void loop_timer_disarm(struct loop *loop, struct loop_timer *timer)
{
	timer->deadline_ns = 0;
	for (unsigned i = 0; i < FAKE_LOOP_TIMERS; i++)
		if (loop->timers[i] == timer)
			loop->timers[i] = NULL;
}

/* The timer that is due first, or NULL. */
static inline struct loop_timer *fake_loop_next_timer(const struct loop *loop)
{
	struct loop_timer *next = NULL;

	for (unsigned i = 0; i < FAKE_LOOP_TIMERS; i++)
		if (loop->timers[i] && (!next || loop->timers[i]->deadline_ns < next->deadline_ns))
			next = loop->timers[i];
	return next;
}

/*
 * Moves the clock to LATE_NS after the soonest timer's time and fires it. False, and nothing moves,
 * when that is after END_NS.
 */
static inline bool fake_loop_fire(struct loop *loop, uint64_t end_ns, uint64_t late_ns)
{
	struct loop_timer *timer = fake_loop_next_timer(loop);

	if (!timer || timer->deadline_ns + late_ns > end_ns)
		return false;
	if (timer->deadline_ns + late_ns > fake_loop_now_ns)
		fake_loop_now_ns = timer->deadline_ns + late_ns;
	loop_timer_disarm(loop, timer);
	loop->current = true;
	timer->fn(timer);
	fake_loop_run_deferred(loop);
	loop->current = false;
	return true;
}

void loop_defer(struct loop *loop, struct loop_deferred *deferred)
{
	if (deferred->queued)
		return;
	deferred->queued = true;
	deferred->next = NULL;
	*loop->deferred_tail = deferred;
	loop->deferred_tail = &deferred->next;
}

void loop_defer_cancel(struct loop *loop, struct loop_deferred *deferred)
{
	struct loop_deferred **at = &loop->deferred;

	if (!deferred->queued)
		return;
	while (*at != deferred)
		at = &(*at)->next;
	*at = deferred->next;
	if (!*at)
		loop->deferred_tail = at;
	deferred->queued = false;
}

static inline int fake_loop_submit(struct loop *loop, struct loop_op *op)
{
	if (loop->op_count == FAKE_LOOP_OPS)
		return -EBUSY;
	loop->ops[loop->op_count++] = op;
	return 0;
}

int loop_complete(struct loop *loop, struct loop_op *op, int64_t result)
{
	op->result = result;
	return fake_loop_submit(loop, op);
}

int loop_readv(struct loop *loop, struct loop_op *op, int fd, const struct iovec *iov,
	       unsigned iov_count, uint64_t offset)
{
	op->fd = fd;
	op->iov = iov;
	op->iov_count = iov_count;
	op->offset = offset;
	return fake_loop_submit(loop, op);
}

int loop_writev(struct loop *loop, struct loop_op *op, int fd, const struct iovec *iov,
		unsigned iov_count, uint64_t offset)
{
	return loop_readv(loop, op, fd, iov, iov_count, offset);
}

int loop_fdatasync(struct loop *loop, struct loop_op *op, int fd)
{
	return loop_readv(loop, op, fd, NULL, 0, 0);
}

int loop_fallocate(struct loop *loop, struct loop_op *op, int fd, int mode, uint64_t offset,
		   uint64_t len)
{
	op->fd = fd;
	op->mode = mode;
	op->offset = offset;
	op->len = len;
	return fake_loop_submit(loop, op);
}

void loop_register_fd(struct loop *loop, int fd)
{
	(void)loop;
	(void)fd;
}

void loop_unregister_fd(struct loop *loop, int fd)
{
	(void)loop;
	(void)fd;
}

void loop_call(struct loop *loop, struct loop_call *call)
{
	call->state = 0;
	loop->current = loop->running;
	call->fn(call);
	loop->current = false;
	while (!call->state) {
		assert(loop->running && loop->while_waiting);
		loop->while_waiting(loop);
		fake_loop_round(loop);
	}
}

void loop_call_done(struct loop_call *call)
{
	call->state = 1;
}

bool loop_is_current(const struct loop *loop)
{
	return loop->current;
}

void loop_get_stats(const struct loop *loop, struct loop_stats *stats)
{
	(void)loop;
	memset(stats, 0, sizeof(*stats));
}

#endif
