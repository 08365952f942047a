/*
 * One function carried out beside the caller, on another CPU: for calls at the start that stay in
 * the kernel for long.
 */
#ifndef VMM_BESIDE_H
#define VMM_BESIDE_H

#include <pthread.h>
#include <stdbool.h>

#include "vmm/err.h"
#include "vmm/log.h"

struct beside {
	int (*fn)(void *opaque);
	void *opaque;
	pthread_t thread;
	bool started;
	int result;
	struct log_held held; /* what went wrong, for who joins */
};

/*
 * Begins FN(OPAQUE) on a thread that hears no signal, on any of our CPUs but this one; where there
 * is no other, or no thread, FN is done when this returns. BESIDE may be zeroed for "none".
 */
void beside_start(struct beside *beside, int (*fn)(void *opaque), void *opaque);
/* Waits for it, and shows the error that it met. What FN returned; 0 for none. Any number of times,
 * by one thread at a time. */
int beside_join(struct beside *beside);
/* The same where its result is not wanted any more: it may have failed of the same cause that was
 * shown already. */
void beside_abandon(struct beside *beside);

#endif
