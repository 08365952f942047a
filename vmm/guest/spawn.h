/*
 * Starts a workload's command as the user, in the directory and with the streams that it is to
 * have. Only libc.
 */
#ifndef VMM_GUEST_SPAWN_H
#define VMM_GUEST_SPAWN_H

#include <sys/types.h>

#include "vmm/guest/workload.h"

/* In the new process: the command's exit status when it cannot be run, after a line on its standard
 * error; "ours", not found, not executable. */
#define SPAWN_STATUS_FAILED	    125
#define SPAWN_STATUS_NOT_EXECUTABLE 126
#define SPAWN_STATUS_NOT_FOUND	    127

struct spawn_streams {
	int in, out, err; /* with a terminal: its slave, three times */
};

/*
 * The command in a session of its own, with TERMINAL as its controlling terminal when the workload
 * has one; every other descriptor is close-on-exec already. Its process, which leads its group, or
 * -errno.
 */
pid_t spawn_command(const struct workload *workload, const struct spawn_streams *streams);

#endif
