/*
 * A machine from its first start to its end, resets included.
 */
#ifndef VMM_RUN_H
#define VMM_RUN_H

#include <stdbool.h>

#include "vmm/config.h"
#include "vmm/end.h"
#include "vmm/machine.h"
#include "vmm/timeline.h"

/*
 * Whoever runs a machine for the sake of a command in it: lends ports beside the console, has the
 * signals that are meant for the command, and says how it ended. All on the main thread or the main
 * loop; the pointers are borrowed.
 */
struct run_owner {
	struct machine_ports ports;
	/* Before the machine is built: LOOP will run, END is where the end is said. 0 or -errno,
	 * logged. */
	int (*attach)(void *opaque, struct loop *loop, struct end *end, struct timeline *timeline);
	/* The loop has ended and the machine is gone; also after a failure. */
	void (*detach)(void *opaque);
	/* SIGNAL arrived. False: it is dealt with as if there were no owner. */
	bool (*signal)(void *opaque, int signal);
	/* The machine ended without the owner's saying so, and not by a fault: the exit status, and
	 * a line that says why. */
	int (*ended)(void *opaque);
	void *opaque;
};

/* Runs the machine that CONFIG (complete) describes on the calling thread. Returns the process's
 * exit status. */
int run_machine(const struct config *config, struct timeline *timeline) MUST_CHECK;
/* The same for OWNER. A machine that resets is not started again. */
int run_machine_for(const struct config *config, struct timeline *timeline,
		    const struct run_owner *owner) MUST_CHECK;

#endif
