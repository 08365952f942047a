/*
 * A thread beside the caller's, on another CPU, that does one job after another: for calls at the
 * start that stay in the kernel for long.
 */
#ifndef VMM_BESIDE_H
#define VMM_BESIDE_H

#include <pthread.h>
#include <stdbool.h>

#include "vmm/err.h"
#include "vmm/log.h"

struct beside_job {
	int (*fn)(void *opaque);
	void *opaque;
	struct beside_job *next;
	bool given; /* and not joined */
	bool done;
	int result;
	struct log_held held; /* what went wrong, for who joins */
};

struct beside {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct beside_job *first; /* not done yet */
	pthread_t thread;
	bool started;
	bool ending;
};

/*
 * Starts the thread, which hears no signal, on any of our CPUs but this one. Where there is no
 * other, or no thread, a job is done when it is given.
 */
void beside_init(struct beside *beside);
/* Every job was joined or abandoned. */
void beside_fini(struct beside *beside);

/* Has FN(OPAQUE) done after the jobs given before. JOB, zeroed, stays where it is until it is
 * joined. */
void beside_do(struct beside *beside, struct beside_job *job, int (*fn)(void *opaque),
	       void *opaque);
/* Waits for it, and shows the error that it met. What FN returned, any number of times; 0 for a
 * job that was never given. */
int beside_join(struct beside *beside, struct beside_job *job);
/* The same where its result is not wanted any more: it may have failed of the same cause that was
 * shown already. */
void beside_abandon(struct beside *beside, struct beside_job *job);

#endif
