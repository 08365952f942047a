/*
 * Between the files of the io_uring engine; nobody else includes it. On the loop's thread.
 */
#ifndef VMM_LOOP_URING_H
#define VMM_LOOP_URING_H

#include <liburing.h>
#include <sys/types.h>

#include "vmm/loop_engine.h"

#define FILES_MAX    32
#define FILES_FD_MAX 1024

/* How long to spin before sleeping, see wait_polling(). */
struct loop_spin {
	uint64_t ns;
	unsigned slept; /* waits since it was 0 */
};

struct loop_uring {
	struct loop loop;
	struct io_uring ring;
	uint32_t arm_head; /* slots whose poll is to be submitted */
	bool started;
	pid_t issuer;	       /* the thread that started it */
	struct loop_op *lone;  /* the round's only operation so far, a read that may be cached */
	struct loop_op *early; /* asked for while the loop did not run, last one first */
	int files[FILES_MAX];  /* the table of registered files as it should be; -1: free */
	uint8_t file_index[FILES_FD_MAX]; /* by descriptor: index in the table + 1, or 0 */
	bool files_stale;		  /* the ring does not have the table yet */
	bool have_table;
	struct loop_spin spins[2]; /* with nothing in flight, and with something */
	unsigned batch_skip;	   /* waits that are not to gather completions, see gather() */
	unsigned batch_skip_next;  /* how many after the next that is in vain */
};

/*
 * Submits what is queued and waits for up to TIMEOUT_NS until something has arrived, perhaps for
 * some more of it. 0, or -errno, logged.
 */
int loop_uring_sleep(struct loop_uring *ur, uint64_t timeout_ns) MUST_CHECK;
/* One io_uring_enter(2): submits all, waits for COUNT completions unless the timeout is 0. */
int loop_uring_enter(struct loop_uring *ur, unsigned count, uint64_t timeout_ns) MUST_CHECK;

/* The kernel holds completions back until it is entered. */
static inline bool loop_uring_must_enter(const struct loop_uring *ur)
{
	return IO_URING_READ_ONCE(*ur->ring.sq.kflags) &
	       (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW);
}

#endif
