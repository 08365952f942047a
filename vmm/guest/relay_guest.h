/*
 * The guest's end of the relay: runs the workload's command and carries its streams, signals and
 * exit status between it and the monitor, over virtio-console ports. Only libc; one thread.
 *
 * guest-init: relay_guest_open, then mounts and network, then relay_guest_run, then what has to be
 * on disk, then relay_guest_exit. Where anything fails, relay_guest_fail.
 */
#ifndef VMM_GUEST_RELAY_GUEST_H
#define VMM_GUEST_RELAY_GUEST_H

#include <stdbool.h>
#include <stdint.h>

#include "vmm/guest/workload.h"

struct relay_guest {
	int control_fd;
	int in_fd;	    /* vmm.stdin or vmm.tty; -1: none */
	int out_fd;	    /* vmm.stdout, or the same as in_fd */
	int err_fd;	    /* vmm.stderr; -1: with a terminal */
	int keep_fd;	    /* vmm.keep; -1: unless asked for */
	uint64_t oom_kills; /* of the kernel before the command ran */
	bool out_of_memory; /* the kernel has killed since */
};

/*
 * Opens the ports (RELAY_PORT_*) under /sys/class/virtio-ports, waiting a few seconds for them to
 * appear. /sys must be mounted; DEV is a directory for device nodes, where they are made when there
 * is no devtmpfs. 0 or -errno; *WHAT is the name of what failed.
 */
int relay_guest_open(struct relay_guest *relay, bool terminal, const char *dev, const char **what);
/* The same for the port of what is kept, after it. */
int relay_guest_open_keep(struct relay_guest *relay, const char *dev, const char **what);

/*
 * Says that it begins, runs the command to its end, and returns when all that it wrote was handed
 * over: its exit status, 128+n for a signal, 127 when there is no such command, 126 when it cannot
 * be run. As process 1 it reaps whatever ends, and ends whatever is left when the command is gone.
 * Where the machine's own parts fail: -errno, with the text for the person in ERROR.
 */
int relay_guest_run(struct relay_guest *relay, const struct workload *workload, char *error,
		    unsigned error_len);

/*
 * Tells the monitor the command's status, or why it could not be run: the last words. The monitor
 * ends the machine when all output is out: these return only when it is gone.
 */
void relay_guest_exit(struct relay_guest *relay, int status);
void relay_guest_fail(struct relay_guest *relay, const char *text);

/* Between the files of the relay: says that the command is about to start; notes how often the
 * kernel has killed for want of memory, before the command and AFTER it. */
void relay_guest_ready(struct relay_guest *relay);
void relay_guest_note_memory(struct relay_guest *relay, bool after);

#endif
