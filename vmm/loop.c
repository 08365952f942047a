/*
 * The event loop, apart from what differs between io_uring and epoll (vmm/loop_uring.c,
 * vmm/loop_epoll.c): events in slots, timers, deferred work, and the round itself. Operations on
 * files are in vmm/loop_op.c, calls from other threads in vmm/loop_call.c.
 *
 * A descriptor's arrivals name a slot and a generation, never a pointer: an arrival that was
 * already under way when its event was deleted, or its slot reused, finds another generation and
 * is dropped.
 *
 * Stopping: no new operations are taken, rounds go on until those in flight are done, so that the
 * kernel writes into no buffer after loop_run has returned.
 */
#include <assert.h>
#include <errno.h>
#include <linux/major.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#include "vmm/log.h"
#include "vmm/loop.h"
#include "vmm/loop_engine.h"

#define LOOP_ENTRIES_DEFAULT 1024
#define LOOP_SLOTS_FIRST     32
#define NS_PER_S	     1000000000ull

static void wake_arrived(struct loop_event *event, uint32_t events)
{
	/* Being awake is all that was wanted; the round looks at the stop flag and the calls. */
	(void)event;
	(void)events;
}

static int create_engine(struct loop **out, const struct loop_options *options)
{
	int ret;

	if (options->engine == LOOP_ENGINE_EPOLL)
		return loop_epoll_create(out, options);
	ret = loop_uring_create(out, options);
	if (ret == 0)
		return 0;
	if (options->engine == LOOP_ENGINE_IO_URING)
		return log_errno(
			ret, "set up io_uring (allow it by sysctl kernel.io_uring_disabled=0 and "
			     "in the container's seccomp profile, or use --io-engine epoll)");
	log_debug("io_uring is refused (%s): using epoll and threads", strerror(-ret));
	return loop_epoll_create(out, options);
}

static int init_common(struct loop *loop)
{
	loop->slot_free = LOOP_NO_SLOT;
	loop->ready_head = LOOP_NO_SLOT;
	loop->deferred_tail = &loop->deferred_head;
	loop->finished_tail = &loop->finished_head;
	loop->call_tail = &loop->call_head;
	loop->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (loop->wake_fd < 0)
		return log_errno(errno, "create an eventfd for the event loop");
	loop->wake_event.fn = wake_arrived;
	loop->wake_event.fd = loop->wake_fd;
	loop->wake_event.events = EPOLLIN;
	return loop_event_add(loop, &loop->wake_event);
}

int loop_create(struct loop **out, const struct loop_options *options)
{
	struct loop_options opt = *options;
	struct loop *loop;
	int ret;

	if (opt.entries == 0)
		opt.entries = LOOP_ENTRIES_DEFAULT;
	ret = create_engine(&loop, &opt);
	if (ret < 0)
		return ret;
	loop->options = opt;
	loop->wake_fd = -1;
	pthread_mutex_init(&loop->call_lock, NULL);
	ret = init_common(loop);
	if (ret < 0) {
		loop_destroy(loop);
		return ret;
	}
	*out = loop;
	return 0;
}

void loop_destroy(struct loop *loop)
{
	if (!loop)
		return;
	assert(!loop->running);
	if (loop->wake_fd >= 0) {
		loop_event_del(loop, &loop->wake_event);
		close(loop->wake_fd);
	}
	pthread_mutex_destroy(&loop->call_lock);
	free(loop->slots);
	loop->ops->destroy(loop);
}

const char *loop_engine_name(const struct loop *loop)
{
	return loop->ops->name;
}

void loop_wake(struct loop *loop)
{
	uint64_t one = 1;
	/* It can fail only when full, and then the loop is being woken already. */
	ssize_t ignored = write(loop->wake_fd, &one, sizeof(one));

	(void)ignored;
}

void loop_stop(struct loop *loop)
{
	int saved = errno;

	__atomic_store_n(&loop->stop, true, __ATOMIC_SEQ_CST);
	loop_wake(loop);
	errno = saved;
}

/* ---- events ---- */

static int slots_grow(struct loop *loop)
{
	uint32_t count = loop->slot_count ? loop->slot_count * 2 : LOOP_SLOTS_FIRST;
	struct loop_slot *slots = reallocarray(loop->slots, count, sizeof(*slots));

	if (!slots)
		return log_errno(ENOMEM, "grow the event loop's table");
	memset(slots + loop->slot_count, 0, (count - loop->slot_count) * sizeof(*slots));
	for (uint32_t i = count; i-- > loop->slot_count;) {
		slots[i].next_free = loop->slot_free;
		loop->slot_free = i;
	}
	loop->slots = slots;
	loop->slot_count = count;
	return 0;
}

/* Files without a wait queue: disks, directories, /dev/null and its like. */
static bool is_always_ready(int fd)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return false;
	return S_ISREG(st.st_mode) || S_ISDIR(st.st_mode) || S_ISBLK(st.st_mode) ||
	       (S_ISCHR(st.st_mode) && major(st.st_rdev) == MEM_MAJOR);
}

static void queue_ready(struct loop *loop, uint32_t index)
{
	struct loop_slot *slot = &loop->slots[index];

	if (slot->ready_queued)
		return;
	slot->ready_queued = true;
	slot->next_ready = loop->ready_head;
	loop->ready_head = index;
}

static void run_ready(struct loop *loop)
{
	while (loop->ready_head != LOOP_NO_SLOT) {
		uint32_t index = loop->ready_head;
		struct loop_slot *slot = &loop->slots[index];

		loop->ready_head = slot->next_ready;
		slot->ready_queued = false;
		if (slot->event && slot->always_ready)
			loop_dispatch_event(loop, index, slot->generation, slot->event->events);
	}
}

int loop_event_add(struct loop *loop, struct loop_event *event)
{
	struct loop_slot *slot;
	uint32_t index;
	int ret;

	if (loop->slot_free == LOOP_NO_SLOT) {
		ret = slots_grow(loop);
		if (ret < 0)
			return ret;
	}
	index = loop->slot_free;
	slot = &loop->slots[index];
	event->slot = index;
	/* Zero never names an owner, so that a zeroed event is one that was not added. */
	event->generation = ++slot->generation ? slot->generation : ++slot->generation;
	slot->event = event;
	slot->always_ready = is_always_ready(event->fd);
	if (slot->always_ready) {
		queue_ready(loop, index);
	} else {
		ret = loop->ops->event_add(loop, index);
		if (ret < 0) {
			slot->event = NULL;
			event->generation = 0;
			return ret;
		}
	}
	loop->slot_free = slot->next_free;
	return 0;
}

void loop_event_del(struct loop *loop, struct loop_event *event)
{
	struct loop_slot *slot;

	if (event->generation == 0 || event->slot >= loop->slot_count)
		return;
	slot = &loop->slots[event->slot];
	if (slot->event != event || slot->generation != event->generation)
		return;
	if (!slot->always_ready)
		loop->ops->event_del(loop, event->slot);
	slot->event = NULL;
	slot->next_free = loop->slot_free;
	loop->slot_free = event->slot;
	event->generation = 0;
}

void loop_dispatch_event(struct loop *loop, uint32_t slot, uint32_t generation, uint32_t events)
{
	struct loop_event *event;

	if (slot >= loop->slot_count)
		return;
	event = loop->slots[slot].event;
	if (!event || loop->slots[slot].generation != generation)
		return;
	loop_count(&loop->stats.events, 1);
	event->fn(event, events);
}

/* ---- timers ---- */

uint64_t loop_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

void loop_timer_arm(struct loop *loop, struct loop_timer *timer, uint64_t deadline_ns)
{
	struct loop_timer **at = &loop->timers;

	loop_timer_disarm(loop, timer);
	timer->deadline_ns = deadline_ns ? deadline_ns : 1;
	while (*at && (*at)->deadline_ns <= timer->deadline_ns)
		at = &(*at)->next;
	timer->next = *at;
	timer->prev = at;
	if (timer->next)
		timer->next->prev = &timer->next;
	*at = timer;
}

void loop_timer_disarm(struct loop *loop, struct loop_timer *timer)
{
	(void)loop;
	if (timer->deadline_ns == 0)
		return;
	*timer->prev = timer->next;
	if (timer->next)
		timer->next->prev = timer->prev;
	timer->deadline_ns = 0;
}

static void run_timers(struct loop *loop)
{
	struct loop_timer *timer;
	uint64_t now;

	if (!loop->timers)
		return;
	/* One look at the clock: a timer that arms itself for now waits for the next round. */
	now = loop_now_ns();
	while ((timer = loop->timers) && timer->deadline_ns <= now) {
		loop_timer_disarm(loop, timer);
		timer->fn(timer);
	}
}

static uint64_t timeout_ns(const struct loop *loop)
{
	uint64_t now;

	if (!loop->timers)
		return LOOP_FOREVER;
	now = loop_now_ns();
	return loop->timers->deadline_ns > now ? loop->timers->deadline_ns - now : 0;
}

/* ---- deferred work ---- */

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
	struct loop_deferred **at = &loop->deferred_head;

	if (!deferred->queued)
		return;
	while (*at != deferred)
		at = &(*at)->next;
	*at = deferred->next;
	if (!*at)
		loop->deferred_tail = at;
	deferred->queued = false;
}

static void run_deferred(struct loop *loop)
{
	struct loop_deferred *deferred;

	if (loop->ops->round_ends)
		loop->ops->round_ends(loop);
	loop_run_finished(loop);
	while ((deferred = loop->deferred_head)) {
		loop_defer_cancel(loop, deferred);
		deferred->fn(deferred);
		loop_run_finished(loop);
	}
}

/* ---- the round ---- */

static int start(struct loop *loop)
{
	int ret;

	pthread_mutex_lock(&loop->call_lock);
	assert(!loop->running);
	ret = loop->ops->start(loop);
	if (ret == 0) {
		loop->running = true;
		__atomic_store_n(&loop->owner, (uintptr_t)pthread_self(), __ATOMIC_RELAXED);
	}
	pthread_mutex_unlock(&loop->call_lock);
	return ret;
}

/* False when a call came in at the last moment. */
static bool finish(struct loop *loop)
{
	bool idle;

	pthread_mutex_lock(&loop->call_lock);
	idle = !loop->call_head;
	if (idle) {
		loop->ops->finish(loop);
		loop->running = false;
		__atomic_store_n(&loop->owner, 0, __ATOMIC_RELAXED);
		__atomic_store_n(&loop->stop, false, __ATOMIC_RELAXED);
		loop->draining = false;
	}
	pthread_mutex_unlock(&loop->call_lock);
	return idle;
}

int loop_run(struct loop *loop)
{
	int ret = start(loop);

	if (ret < 0)
		return ret;
	for (;;) {
		run_timers(loop);
		loop_run_calls(loop);
		run_ready(loop);
		run_deferred(loop);
		if (__atomic_load_n(&loop->stop, __ATOMIC_SEQ_CST)) {
			loop->draining = true;
			if (loop->inflight == 0 && finish(loop))
				return 0;
		}
		loop_count(&loop->stats.rounds, 1);
		ret = loop->ops->wait(loop, timeout_ns(loop));
		if (ret < 0)
			break;
	}
	loop->draining = true;
	while (!finish(loop))
		loop_run_calls(loop);
	return ret;
}

void loop_get_stats(const struct loop *loop, struct loop_stats *stats)
{
	stats->rounds = __atomic_load_n(&loop->stats.rounds, __ATOMIC_RELAXED);
	stats->syscalls = __atomic_load_n(&loop->stats.syscalls, __ATOMIC_RELAXED);
	stats->events = __atomic_load_n(&loop->stats.events, __ATOMIC_RELAXED);
	stats->ops = __atomic_load_n(&loop->stats.ops, __ATOMIC_RELAXED);
}
