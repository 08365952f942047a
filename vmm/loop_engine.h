/*
 * Between the files that the loop consists of; nobody else includes it. The loop keeps what is the
 * same for both (slots of events, timers, deferred work, calls from other threads); an engine
 * waits, arms descriptors and carries operations out. All of it runs on the loop's thread, or
 * before there is one.
 */
#ifndef VMM_LOOP_ENGINE_H
#define VMM_LOOP_ENGINE_H

#include <pthread.h>

#include "vmm/loop.h"

#define LOOP_NO_SLOT UINT32_MAX
#define LOOP_FOREVER UINT64_MAX

enum loop_opcode {
	LOOP_OP_READ = 1,
	LOOP_OP_WRITE,
	LOOP_OP_FDATASYNC,
	LOOP_OP_FALLOCATE,
};

struct loop_engine_ops {
	const char *name;
	/* The calling thread is the loop's from now on. 0 or -errno, logged. */
	int (*start)(struct loop *loop);
	/* The loop's thread leaves; no operation is in flight. */
	void (*finish)(struct loop *loop);
	void (*destroy)(struct loop *loop);
	/* Nothing but deferred work is left of this round. NULL: of no interest. */
	void (*round_ends)(struct loop *loop);
	/*
	 * Submits what was queued, waits at most TIMEOUT_NS (0: not at all, LOOP_FOREVER) for
	 * something to arrive, and calls back for all that did. 0 or -errno, logged.
	 */
	int (*wait)(struct loop *loop, uint64_t timeout_ns);
	/* SLOT is filled in. */
	int (*event_add)(struct loop *loop, uint32_t slot);
	/* SLOT is still filled in, and is freed afterwards. */
	void (*event_del)(struct loop *loop, uint32_t slot);
	/* 0 or -EBUSY. */
	int (*submit)(struct loop *loop, struct loop_op *op);
	void (*register_fd)(struct loop *loop, int fd);
	void (*unregister_fd)(struct loop *loop, int fd);
};

struct loop_slot {
	struct loop_event *event; /* NULL: free */
	uint32_t generation;	  /* counts the owners a slot has had, to tell stale arrivals */
	uint32_t next_free;
	uint32_t next_ready; /* list of plain files to report */
	uint32_t next_arm;   /* the engine's list of polls to arm */
	bool ready_queued;
	bool arm_queued;
	bool always_ready; /* a plain file: the engine knows nothing of it */
};

struct loop {
	const struct loop_engine_ops *ops;
	struct loop_options options;
	unsigned inflight;	       /* operations */
	struct loop_op *finished_head; /* carried out, to be reported */
	struct loop_op **finished_tail;

	struct loop_slot *slots;
	uint32_t slot_count;
	uint32_t slot_free;
	uint32_t ready_head; /* plain files that are to be called back */

	struct loop_timer *timers; /* soonest first */
	struct loop_deferred *deferred_head;
	struct loop_deferred **deferred_tail;
	struct loop_poll *polls;     /* what is watched in memory */
	struct loop_poll *poll_next; /* where a walk along them goes on */
	bool spins;		     /* the next wait begins by spinning */

	int wake_fd; /* eventfd; rung by other threads, never read */
	struct loop_event wake_event;
	bool stop;     /* atomic; set anywhere */
	bool draining; /* stopping: no new operations */

	pthread_mutex_t call_lock;
	struct loop_call *call_head; /* atomic, for a look without the lock */
	struct loop_call **call_tail;
	bool running;	 /* atomic, written under call_lock */
	uintptr_t owner; /* atomic: the pthread_t inside loop_run, 0: none */

	struct loop_stats stats; /* written by the loop's thread with relaxed stores */
};

/* Allocates the engine's own struct, whose first member is struct loop. 0 or -errno, not logged. */
int loop_uring_create(struct loop **out, const struct loop_options *options) MUST_CHECK;
/* 0 or -errno, logged. */
int loop_epoll_create(struct loop **out, const struct loop_options *options) MUST_CHECK;

/* Calls back the event in SLOT unless it has another owner by now. */
void loop_dispatch_event(struct loop *loop, uint32_t slot, uint32_t generation, uint32_t events);
/* Carries OP out on this thread; its result is in op->result. */
void loop_run_op(struct loop_op *op);
/* Carries out a read when all of it is in the page cache; false when not. */
bool loop_read_cached(struct loop *loop, struct loop_op *op);
/* OP was carried out on this thread: it is reported in this round, or the next one. */
void loop_finish(struct loop *loop, struct loop_op *op);
/* Reports OP done. */
void loop_dispatch_op(struct loop *loop, struct loop_op *op, int64_t result);

/* Reports what loop_finish was called for. */
void loop_run_finished(struct loop *loop);
/* Runs what other threads have handed over. */
void loop_run_calls(struct loop *loop);
/* True when work can be seen. */
bool loop_poll_look(struct loop *loop);
/* Calls back for all work that can be seen. */
void loop_poll_run(struct loop *loop);
/* Before a sleep: nobody is watched any more, but who got work meanwhile. True when there is one.
 */
bool loop_poll_rest(struct loop *loop);
/* Makes the loop's thread begin a round. Any thread, and signal handlers. */
void loop_wake(struct loop *loop);

static inline void loop_count(uint64_t *counter, uint64_t add)
{
	__atomic_store_n(counter, *counter + add, __ATOMIC_RELAXED);
}

#endif
