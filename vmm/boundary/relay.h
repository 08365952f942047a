/*
 * The monitor's end of the relay: the streams, signals and exit status of a command that runs in a
 * machine. Lends the machine its ports and is its owner (vmm/run.h). Main thread and main loop.
 */
#ifndef VMM_BOUNDARY_RELAY_H
#define VMM_BOUNDARY_RELAY_H

#include <stdbool.h>

#include "vmm/err.h"
#include "vmm/run.h"

struct relay;

struct relay_options {
	bool terminal; /* in_fd is a terminal, to be given to the command: one port instead of three
			  streams */
	/* Normally 0, 1, 2; of any kind, or closed. Borrowed. */
	int in_fd;
	int out_fd;
	int err_fd;
	bool keeps;	     /* what was written comes out of a port of its own, to keep_fd */
	int keep_fd;	     /* borrowed */
	uint64_t memory_len; /* the machine's, for the line that says that it was too little */
};

/*
 * Puts the terminal into raw mode where there is one. Call early, before guest memory is mapped: a
 * process is forked that gives it back should the monitor die. 0 or -errno, logged.
 */
int relay_create(struct relay **out, const struct relay_options *options) MUST_CHECK;
/* Gives the terminal back. After run_machine_for. NULL is allowed. */
void relay_destroy(struct relay *relay);

/* For run_machine_for. Borrowed from RELAY. */
const struct run_owner *relay_owner(struct relay *relay);

/* Whether the command was started. */
bool relay_has_started(const struct relay *relay);

/* The terminal's size in characters; false when there is none. */
bool relay_get_size(struct relay *relay, uint16_t *columns, uint16_t *rows);

#endif
