/*
 * What contains a command that runs in a root directory: a machine, a container, or nothing but the
 * host. One const table a boundary; only boundary.c knows that there are several. Main thread.
 */
#ifndef VMM_BOUNDARY_BOUNDARY_H
#define VMM_BOUNDARY_BOUNDARY_H

#include "vmm/config.h"
#include "vmm/timeline.h"

struct boundary_ops {
	const char *name;
	/* One line and -EINVAL for what this boundary cannot do, naming the one that can; else 0.
	 */
	int (*refuse)(const struct config *config);
	/* Prepares, starts, relays streams and signals, waits. The process's exit status. */
	int (*run)(const struct config *config, struct timeline *timeline);
	/* Removes what a killed run left behind; quick when there is nothing. 0 or -errno, logged.
	 */
	int (*sweep)(void);
	/* Stops (or, FROZEN being false, continues) the one that runs by NAME. NULL: cannot be. 0
	 * or -errno, logged. */
	int (*freeze)(const char *name, bool frozen);
};

extern const struct boundary_ops boundary_machine;
extern const struct boundary_ops boundary_container;
extern const struct boundary_ops boundary_host;

/* Exit statuses beside those of vmm/end.h: a shell's. */
#define BOUNDARY_STATUS_NOT_EXECUTABLE 126
#define BOUNDARY_STATUS_NOT_FOUND      127
#define BOUNDARY_STATUS_SIGNAL	       128 /* plus its number */

/* Runs the command of CONFIG (complete, with a rootfs) as CONFIG says: refuse, sweep, run. Returns
 * the process's exit status. */
int boundary_run(const struct config *config, struct timeline *timeline) MUST_CHECK;

/* Freezes or thaws what runs by NAME. Returns the process's exit status. */
int boundary_freeze(const char *name, bool frozen) MUST_CHECK;

#endif
