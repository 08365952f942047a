/*
 * The event loop: kicks, timers, readiness and I/O completions all arrive here, on one thread.
 *
 * Two engines behind one interface: io_uring (one ring; one io_uring_enter(2) submits a round's
 * work and waits for the next), and epoll with a small thread pool where io_uring is refused.
 * Callbacks run on the loop's thread, one at a time; unless said otherwise functions are called on
 * that thread only, or before the thread runs.
 *
 * A round: wait; call back for everything that arrived; run what was deferred, once each; submit;
 * wait again.
 */
#ifndef VMM_LOOP_H
#define VMM_LOOP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "vmm/err.h"

struct loop;

enum loop_engine {
	LOOP_ENGINE_AUTO, /* io_uring, else epoll with the reason logged at debug level */
	LOOP_ENGINE_IO_URING,
	LOOP_ENGINE_EPOLL,
};

struct loop_options {
	enum loop_engine engine;
	unsigned entries;   /* operations that may be in flight at once; 0: 1024 */
	unsigned poll_usec; /* spin for up to this long before sleeping, while work keeps coming; 0:
			       never; io_uring only */
};

/*
 * Creates a loop; nothing runs yet. With LOOP_ENGINE_IO_URING a refused ring is an error, logged
 * with its cure; with AUTO it is epoll. The ring's single issuer is the thread that calls loop_run.
 * 0 or -errno.
 */
int loop_create(struct loop **out, const struct loop_options *options) MUST_CHECK;
/* After loop_run has returned, or if it never ran. NULL is allowed. */
void loop_destroy(struct loop *loop);

/* "io_uring" or "epoll". */
const char *loop_engine_name(const struct loop *loop);

/* Runs rounds on the calling thread until loop_stop. 0, or -errno when waiting itself failed
 * (logged). */
int loop_run(struct loop *loop) MUST_CHECK;
/*
 * Makes loop_run return after the current round, and once the operations in flight are done; new
 * ones are refused with -ECANCELED meanwhile. Any thread, and signal handlers. The loop may be run
 * again, also on another thread.
 */
void loop_stop(struct loop *loop);

/*
 * Readiness of a descriptor, edge-triggered: after FN was called it is called again only when
 * something new arrives, so FN reads until EAGAIN (descriptors are O_NONBLOCK), or remembers by
 * itself that it stopped early. An eventfd that only rings need not be read at all. A plain file is
 * always ready: FN is called once. A descriptor can be added once to a loop.
 */
struct loop_event {
	void (*fn)(struct loop_event *event,
		   uint32_t events); /* EPOLLIN, EPOLLOUT, EPOLLHUP, EPOLLERR */
	int fd;			     /* borrowed */
	uint32_t events;	     /* what was asked for */
	uint32_t slot;		     /* the loop's */
	uint32_t generation;
};

/* FN and FD and EVENTS are set by the caller. FN may be called once at the start without cause. 0
 * or -errno, logged. */
int loop_event_add(struct loop *loop, struct loop_event *event) MUST_CHECK;
/* After it returned FN is not called again and EVENT may be freed or reused. Not added: no effect.
 */
void loop_event_del(struct loop *loop, struct loop_event *event);

/* A one-shot timer on CLOCK_MONOTONIC. Zero-initialise and set FN. */
struct loop_timer {
	void (*fn)(struct loop_timer *timer);
	uint64_t deadline_ns; /* 0: not armed */
	struct loop_timer *next;
	struct loop_timer **prev;
};

/* CLOCK_MONOTONIC in ns. Any thread. */
uint64_t loop_now_ns(void);
/* (Re)arms for an absolute time; exact to the kernel's timer slack. Never fails. */
void loop_timer_arm(struct loop *loop, struct loop_timer *timer, uint64_t deadline_ns);
void loop_timer_disarm(struct loop *loop, struct loop_timer *timer);

/*
 * Work to do once at the end of the round, however often it is asked for: storing a used index,
 * raising an interrupt. Zero-initialise and set FN. FN may defer again (it then runs in the same
 * round, after the others).
 */
struct loop_deferred {
	void (*fn)(struct loop_deferred *deferred);
	struct loop_deferred *next;
	bool queued;
};

void loop_defer(struct loop *loop, struct loop_deferred *deferred);
/* Takes DEFERRED off the list when it is on it. */
void loop_defer_cancel(struct loop *loop, struct loop_deferred *deferred);

/*
 * Work that can be seen in memory, which a loop that spins (options.poll_usec) looks at instead of
 * being rung for. Zero-initialise and set the functions. Watched from loop_poll_add on until FN is
 * called, or REST has been called and was false.
 */
struct loop_poll {
	/* True when there is work. Called over and over: a look and nothing else. */
	bool (*look)(struct loop_poll *poll);
	/* The loop is about to sleep: asks to be rung for from now on. True when work came
	 * meanwhile. */
	bool (*rest)(struct loop_poll *poll);
	/* There is work. */
	void (*fn)(struct loop_poll *poll);
	struct loop_poll *next;
	bool watched;
};

/* False when the loop does not spin now: whoever brings work has to ring. */
bool loop_poll_add(struct loop *loop, struct loop_poll *poll);
/* Takes POLL off the list when it is on it. */
void loop_poll_del(struct loop *loop, struct loop_poll *poll);

/*
 * One asynchronous operation. The caller embeds it, sets DONE, and keeps it and every buffer and
 * iovec array alive until DONE is called with a count of bytes or -errno. Submitted at the end of
 * the round, all in one system call. Never calls DONE from within the submitting function. Short
 * transfers are reported as they are. Returns 0; -EBUSY when more than options.entries are in
 * flight (the caller keeps the request and tries after the next completion); -ECANCELED while the
 * loop is being stopped (likewise).
 *
 * IMMEDIATE is for files in memory, where handing work over costs more than the work: the operation
 * is carried out within the submitting function; DONE is called later in the round all the same.
 * CACHED says that a file is read through the page cache, so that it is worth asking whether the
 * bytes are there before waiting for them in any dearer way.
 */
struct loop_op {
	void (*done)(struct loop_op *op, int64_t result);
	struct loop_op *next; /* the loop's, as is all below but the two flags */
	uint8_t opcode;
	bool immediate; /* these two are set by the caller before submission, or false; see above */
	bool cached;
	int fd;
	uint64_t offset;
	union {
		struct {
			const struct iovec *iov;
			unsigned iov_count;
		};
		struct {
			uint64_t len;
			int mode;
		};
	};
	int64_t result;
};

/* As OFFSET: where the file stands, which moves on with it. */
#define LOOP_OWN_POSITION UINT64_MAX

int loop_readv(struct loop *loop, struct loop_op *op, int fd, const struct iovec *iov,
	       unsigned iov_count, uint64_t offset) MUST_CHECK;
int loop_writev(struct loop *loop, struct loop_op *op, int fd, const struct iovec *iov,
		unsigned iov_count, uint64_t offset) MUST_CHECK;
/* What the caller has done by itself: DONE is called with RESULT, later in the round. */
int loop_complete(struct loop *loop, struct loop_op *op, int64_t result) MUST_CHECK;
/* fdatasync(2) */
int loop_fdatasync(struct loop *loop, struct loop_op *op, int fd) MUST_CHECK;
/* fallocate(2) with MODE */
int loop_fallocate(struct loop *loop, struct loop_op *op, int fd, int mode, uint64_t offset,
		   uint64_t len) MUST_CHECK;

/*
 * Registers FD so that operations on it spare the kernel a table look-up; without effect where the
 * engine has no such thing. Setup, or the loop's thread, or while it does not run. Operations keep
 * naming the plain FD. Unregister before closing FD. The kernel may hold a registered file for a
 * moment after the process has ended: not for files whose being closed others wait for.
 */
void loop_register_fd(struct loop *loop, int fd);
void loop_unregister_fd(struct loop *loop, int fd);

/*
 * Work handed to the loop's thread from another one. The caller owns CALL and waits: loop_call
 * returns when loop_call_done(call) was called, by FN itself or later (for work that ends with an
 * I/O completion). When the loop is stopped or not yet running FN runs at once on the calling
 * thread. Not from the loop's own thread: use FN directly.
 */
struct loop_call {
	void (*fn)(struct loop_call *call);
	struct loop_call *next;
	uint32_t state; /* futex word */
};

void loop_call(struct loop *loop, struct loop_call *call);
void loop_call_done(struct loop_call *call);
/* True on the thread that is inside loop_run of LOOP. */
bool loop_is_current(const struct loop *loop);

/* Counts since the start, for statistics; read on any thread, may be slightly stale. */
struct loop_stats {
	uint64_t rounds;
	uint64_t syscalls; /* made by the engine itself */
	uint64_t events;
	uint64_t ops;
};
void loop_get_stats(const struct loop *loop, struct loop_stats *stats);

#endif
