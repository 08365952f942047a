/*
 * A program that is run and watched: its streams by pipes, moments by the monotonic clock, and an
 * end to waiting. Main thread.
 */
#ifndef VMM_COMPARE_CHILD_H
#define VMM_COMPARE_CHILD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "vmm/err.h"

#define CHILD_OUT_MAX (1u << 20) /* what it says beyond is dropped */
#define CHILD_ERR_MAX 65536	 /* the end is kept */

struct child {
	pid_t pid; /* 0: none */
	int pid_fd;
	int in_fd;
	int out_fd;
	int err_fd;
	char *out; /* ends with NUL; owned */
	size_t out_len;
	char err[CHILD_ERR_MAX];
	size_t err_len;
	uint64_t start_ns;	/* just before the program is executed */
	uint64_t first_byte_ns; /* when its first byte of output came; 0: none yet */
	uint64_t end_ns;	/* when its end was seen */
	uint64_t work_max_ns;	/* see child_limit_work; 0: none */
	uint64_t work_began_ns;
	uint64_t outside_max_s; /* likewise */
	uint64_t outside_began_s;
	int status; /* as shells say it: 128+n for a signal */
	bool ended;
	bool interrupted; /* waiting ended since compare_stop was set */
};

/* Set by the signal handler: ends every wait early. */
extern volatile int compare_stop;

uint64_t child_now_ns(void);

/* Runs ARGV, found in PATH, in a process group of its own. 0 or -errno. child_fini in any case. */
int child_start(struct child *child, char *const argv[]) MUST_CHECK;
/*
 * Waits until its output holds TEXT ("": any byte). 0, -EPIPE when it ended or closed its output
 * without, -ETIMEDOUT, or -EINTR when compare_stop was set.
 */
int child_wait_text(struct child *child, const char *text, uint64_t timeout_ms) MUST_CHECK;
/* Reads until it ends. 0, -ETIMEDOUT, -EINTR. */
int child_wait_end(struct child *child, uint64_t timeout_ms) MUST_CHECK;
/*
 * For where the clock counts instructions, and so does not say that a program hangs: it runs ahead
 * while nobody works, and it creeps where a guest spins. From now on waiting for it ends, too
 * (-ETIMEDOUT), when the host has worked for MAX_NS of processor time, or when MAX_S seconds have
 * gone by on the clock of the machine below, which the lab's real-time clock shows.
 */
void child_limit_work(struct child *child, uint64_t max_ns, uint64_t max_s);
/* Whether that is so at BUSY_NS of the host's work and OUTSIDE_S of the other clock (proc.h). */
bool child_beyond_limit(const struct child *child, uint64_t busy_ns, uint64_t outside_s);
/* Sends a byte to its standard input. 0 or -errno. */
int child_poke(struct child *child) MUST_CHECK;
/* Ends its standard input. */
void child_close_input(struct child *child);
/* Ends it if it runs still (SIGTERM, SIGKILL after 5 s) and frees what it holds. */
void child_fini(struct child *child);
/* What it said last on its error output, vmm's own lines before others, or how it ended; a new
 * string.
 */
char *child_complaint(const struct child *child) MUST_CHECK;

#endif
