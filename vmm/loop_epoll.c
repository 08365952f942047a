/*
 * The event loop's engine for hosts that refuse io_uring: epoll, and threads for operations on
 * files.
 *
 * Operations of a round go to the threads together, one lock and as many wake-ups as there are
 * operations or threads; a thread that finishes puts the operation on a list and rings an eventfd
 * only when the list was empty. Reads that the page cache can answer are done at once instead.
 *
 * The threads are started with the loop when a file was registered before, else by the first
 * operation.
 */
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "vmm/log.h"
#include "vmm/loop_engine.h"

#define POOL_THREADS	 4
#define POOL_STACK_LEN	 (64u << 10)
#define EVENTS_PER_ROUND 64

struct op_list {
	struct loop_op *head;
	struct loop_op **tail;
};

struct loop_epoll {
	struct loop loop;
	int epoll_fd;
	int done_fd; /* eventfd, rung by the threads, never read */
	struct loop_event done_event;
	bool no_pwait2;

	struct op_list queued; /* this round's operations for the threads */
	unsigned queued_count;

	pthread_t threads[POOL_THREADS];
	unsigned thread_count;
	bool want_threads;
	pthread_mutex_t lock; /* what follows */
	pthread_cond_t work;
	struct op_list todo;
	struct op_list done;
	unsigned idle_count;
	bool quit;
};

static struct loop_epoll *to_epoll(struct loop *loop)
{
	return container_of(loop, struct loop_epoll, loop);
}

/* ---- lists ---- */

static void list_init(struct op_list *list)
{
	list->head = NULL;
	list->tail = &list->head;
}

static void list_add(struct op_list *list, struct loop_op *op)
{
	op->next = NULL;
	*list->tail = op;
	list->tail = &op->next;
}

static struct loop_op *list_take(struct op_list *list)
{
	struct loop_op *op = list->head;

	if (op) {
		list->head = op->next;
		if (!list->head)
			list->tail = &list->head;
	}
	return op;
}

/* Appends all of FROM to TO and empties FROM. */
static void list_move(struct op_list *to, struct op_list *from)
{
	if (!from->head)
		return;
	*to->tail = from->head;
	to->tail = from->tail;
	list_init(from);
}

/* ---- threads ---- */

static void *pool_thread(void *arg)
{
	struct loop_epoll *ep = arg;
	struct loop_op *op;
	uint64_t one = 1;
	bool ring;

	pthread_mutex_lock(&ep->lock);
	for (;;) {
		while (!ep->todo.head && !ep->quit) {
			ep->idle_count++;
			pthread_cond_wait(&ep->work, &ep->lock);
			ep->idle_count--;
		}
		op = list_take(&ep->todo);
		if (!op)
			break;
		pthread_mutex_unlock(&ep->lock);
		loop_run_op(op);
		pthread_mutex_lock(&ep->lock);
		ring = !ep->done.head;
		list_add(&ep->done, op);
		if (ring) {
			ssize_t ignored = write(ep->done_fd, &one, sizeof(one));

			(void)ignored; /* fails only when it is ringing already */
		}
	}
	pthread_mutex_unlock(&ep->lock);
	return NULL;
}

static int pool_start(struct loop_epoll *ep)
{
	pthread_attr_t attr;
	sigset_t all, old;
	int ret = 0;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, POOL_STACK_LEN);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	while (ep->thread_count < POOL_THREADS && ret == 0) {
		ret = pthread_create(&ep->threads[ep->thread_count], &attr, pool_thread, ep);
		if (ret == 0)
			ep->thread_count++;
	}
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
	return ep->thread_count > 0 ? 0 : log_errno(ret, "start threads for disk I/O");
}

static void pool_stop(struct loop_epoll *ep)
{
	pthread_mutex_lock(&ep->lock);
	ep->quit = true;
	pthread_cond_broadcast(&ep->work);
	pthread_mutex_unlock(&ep->lock);
	for (unsigned i = 0; i < ep->thread_count; i++)
		pthread_join(ep->threads[i], NULL);
	ep->thread_count = 0;
	ep->quit = false;
}

/* ---- submitting ---- */

static int epoll_submit(struct loop *loop, struct loop_op *op)
{
	struct loop_epoll *ep = to_epoll(loop);

	if (loop_read_cached(loop, op)) {
		loop_finish(loop, op);
		return 0;
	}
	list_add(&ep->queued, op);
	ep->queued_count++;
	return 0;
}

static void hand_over(struct loop_epoll *ep)
{
	unsigned count = ep->queued_count;

	if (count == 0)
		return;
	if (ep->thread_count == 0 && pool_start(ep) < 0) {
		/* Nobody to do it: slowly is better than not at all. */
		struct loop_op *op;

		while ((op = list_take(&ep->queued))) {
			loop_run_op(op);
			loop_finish(&ep->loop, op);
		}
		ep->queued_count = 0;
		return;
	}
	pthread_mutex_lock(&ep->lock);
	list_move(&ep->todo, &ep->queued);
	if (count > ep->idle_count)
		count = ep->idle_count;
	while (count-- > 0)
		pthread_cond_signal(&ep->work);
	pthread_mutex_unlock(&ep->lock);
	ep->queued_count = 0;
}

static void done_arrived(struct loop_event *event, uint32_t events)
{
	struct loop_epoll *ep = container_of(event, struct loop_epoll, done_event);
	struct op_list batch;
	struct loop_op *op;

	(void)events;
	list_init(&batch);
	pthread_mutex_lock(&ep->lock);
	list_move(&batch, &ep->done);
	pthread_mutex_unlock(&ep->lock);
	while ((op = list_take(&batch)))
		loop_dispatch_op(&ep->loop, op, op->result);
}

/* ---- readiness ---- */

static int epoll_event_add(struct loop *loop, uint32_t index)
{
	struct loop_epoll *ep = to_epoll(loop);
	struct loop_slot *slot = &loop->slots[index];
	struct epoll_event ev = {
		.events = slot->event->events | EPOLLET,
		.data.u64 = (uint64_t)slot->generation << 32 | index,
	};

	if (epoll_ctl(ep->epoll_fd, EPOLL_CTL_ADD, slot->event->fd, &ev) == 0)
		return 0;
	return log_errno(errno, "wait for events of a descriptor");
}

static void epoll_event_del(struct loop *loop, uint32_t slot)
{
	(void)epoll_ctl(to_epoll(loop)->epoll_fd, EPOLL_CTL_DEL, loop->slots[slot].event->fd, NULL);
}

/* ---- waiting ---- */

static int wait_ms(const struct loop_epoll *ep, struct epoll_event *events, uint64_t timeout_ns)
{
	uint64_t ms = timeout_ns / 1000000u + (timeout_ns % 1000000u != 0);

	return epoll_wait(ep->epoll_fd, events, EVENTS_PER_ROUND,
			  timeout_ns == LOOP_FOREVER ? -1
			  : ms > INT_MAX	     ? INT_MAX
						     : (int)ms);
}

static int wait_events(struct loop_epoll *ep, struct epoll_event *events, uint64_t timeout_ns)
{
	struct timespec ts = {
		.tv_sec = (time_t)(timeout_ns / 1000000000u),
		.tv_nsec = (long)(timeout_ns % 1000000000u),
	};
	int ret;

	loop_count(&ep->loop.stats.syscalls, 1);
	/* Only a timer needs more than milliseconds. */
	if (timeout_ns == LOOP_FOREVER || timeout_ns == 0 || ep->no_pwait2)
		return wait_ms(ep, events, timeout_ns);
	ret = epoll_pwait2(ep->epoll_fd, events, EVENTS_PER_ROUND, &ts, NULL);
	if (ret < 0 && (errno == ENOSYS || errno == EPERM)) {
		ep->no_pwait2 = true;
		return wait_ms(ep, events, timeout_ns);
	}
	return ret;
}

static int epoll_wait_round(struct loop *loop, uint64_t timeout_ns)
{
	struct loop_epoll *ep = to_epoll(loop);
	struct epoll_event events[EVENTS_PER_ROUND];
	int count;

	hand_over(ep);
	if (loop->finished_head)
		timeout_ns = 0;
	count = wait_events(ep, events, timeout_ns);
	if (count < 0 && errno != EINTR)
		return log_errno(errno, "wait for events by epoll");
	for (int i = 0; i < count; i++)
		loop_dispatch_event(loop, (uint32_t)events[i].data.u64,
				    (uint32_t)(events[i].data.u64 >> 32), events[i].events);
	return 0;
}

/* ---- life ---- */

static void epoll_register_fd(struct loop *loop, int fd)
{
	struct loop_epoll *ep = to_epoll(loop);

	(void)fd;
	ep->want_threads = true;
}

static void epoll_unregister_fd(struct loop *loop, int fd)
{
	(void)loop;
	(void)fd;
}

static int epoll_start(struct loop *loop)
{
	struct loop_epoll *ep = to_epoll(loop);
	int ret;

	if (ep->done_event.generation == 0) {
		ret = loop_event_add(loop, &ep->done_event);
		if (ret < 0)
			return ret;
	}
	return ep->want_threads && ep->thread_count == 0 ? pool_start(ep) : 0;
}

static void epoll_finish(struct loop *loop)
{
	pool_stop(to_epoll(loop));
}

static void epoll_destroy(struct loop *loop)
{
	struct loop_epoll *ep = to_epoll(loop);

	if (ep->epoll_fd >= 0)
		close(ep->epoll_fd);
	if (ep->done_fd >= 0)
		close(ep->done_fd);
	pthread_cond_destroy(&ep->work);
	pthread_mutex_destroy(&ep->lock);
	free(ep);
}

static const struct loop_engine_ops epoll_ops = {
	.name = "epoll",
	.start = epoll_start,
	.finish = epoll_finish,
	.destroy = epoll_destroy,
	.wait = epoll_wait_round,
	.event_add = epoll_event_add,
	.event_del = epoll_event_del,
	.submit = epoll_submit,
	.register_fd = epoll_register_fd,
	.unregister_fd = epoll_unregister_fd,
};

int loop_epoll_create(struct loop **out, const struct loop_options *options)
{
	struct loop_epoll *ep = calloc(1, sizeof(*ep));

	(void)options;
	if (!ep)
		return log_errno(ENOMEM, "create the event loop");
	ep->loop.ops = &epoll_ops;
	list_init(&ep->queued);
	list_init(&ep->todo);
	list_init(&ep->done);
	pthread_mutex_init(&ep->lock, NULL);
	pthread_cond_init(&ep->work, NULL);
	ep->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	ep->done_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (ep->epoll_fd < 0 || ep->done_fd < 0) {
		int err = errno;

		epoll_destroy(&ep->loop);
		return log_errno(err, "create the event loop's descriptors");
	}
	ep->done_event.fn = done_arrived;
	ep->done_event.fd = ep->done_fd;
	ep->done_event.events = EPOLLIN;
	*out = &ep->loop;
	return 0;
}
