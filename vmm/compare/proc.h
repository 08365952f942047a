/*
 * What the host knows of processes and memory, from /proc. Main thread.
 */
#ifndef VMM_COMPARE_PROC_H
#define VMM_COMPARE_PROC_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "vmm/err.h"

#define PROC_PIDS_MAX 2048

struct proc_list {
	pid_t pids[PROC_PIDS_MAX];
	unsigned count;
};

/* ROOT and all processes below it as they are now; what orphans became ours counts as below us. */
void proc_below(struct proc_list *list, pid_t root);
/* The sum of their proportional set sizes, bytes. 0 or -errno (-EACCES: another user's). */
int proc_pss(const struct proc_list *list, uint64_t *pss) MUST_CHECK;
/* Processor time their threads have had, ns. */
uint64_t proc_busy_ns(const struct proc_list *list);
/* Whether one of them goes by NAME. */
bool proc_has(const struct proc_list *list, const char *name);
/* The host's MemAvailable, bytes; 0 when it does not say. */
uint64_t proc_available(void);
/* Processor time that the host has spent on anything, since it is up, ns; as fine as its ticks. */
uint64_t proc_host_busy_ns(void);
/* Seconds of the real-time clock, which the lab keeps at the pace of the machine below; 0: none. */
uint64_t proc_outside_s(void);

#endif
