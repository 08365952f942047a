/*
 * The loops that carry devices' I/O: the main thread's own, and with --io-threads N further ones,
 * each on a thread of its own. They outlive a reset of the machine.
 */
#ifndef VMM_IO_THREADS_H
#define VMM_IO_THREADS_H

#include <pthread.h>
#include <stdbool.h>

#include "vmm/loop.h"

#define IO_THREADS_MAX 16

struct io_threads {
	struct loop *main_loop; /* runs on the main thread */
	struct loop
		*loops[IO_THREADS_MAX]; /* where queues go; with no extra thread just main_loop */
	unsigned loop_count;		/* at least 1 */
	pthread_t threads[IO_THREADS_MAX];
	unsigned thread_count; /* threads started */
	bool extra;	       /* loops[] are not main_loop */
};

/* Creates main_loop and THREAD_COUNT further loops; no thread runs yet. 0 or -errno, logged. */
int io_threads_create(struct io_threads *io, const struct loop_options *options,
		      unsigned thread_count) MUST_CHECK;
/* Starts the threads of the further loops. 0 or -errno, logged. */
int io_threads_start(struct io_threads *io) MUST_CHECK;
/* Stops and joins them; devices may then be destroyed on the main thread. */
void io_threads_stop(struct io_threads *io);
void io_threads_destroy(struct io_threads *io);

#endif
