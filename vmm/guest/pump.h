/*
 * One direction of a stream between two descriptors that do not block: bytes as they come, in large
 * pieces, with an end that is passed on. For a loop around poll(2). Only libc; one thread.
 */
#ifndef VMM_GUEST_PUMP_H
#define VMM_GUEST_PUMP_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PUMP_ROOM 65536

struct pump {
	int from; /* -1 when it has ended, as is to where the pump closes it */
	int to;
	bool splice;	 /* from a pipe: pages change hands without a copy */
	bool closes_to;	 /* passes the end on by closing */
	bool wants_room; /* TO took less than there is */
	bool ended;
	uint8_t *data; /* NULL until needed */
	size_t start;
	size_t end;
};

/* Takes FROM over, and TO when CLOSES_TO. SPLICE: FROM is a pipe. */
void pump_init(struct pump *pump, int from, int to, bool splice, bool closes_to);
/* Carries nothing more. */
void pump_end(struct pump *pump);

/* What to wait for; FDS are for poll(2), and unused ones are -1. */
void pump_poll(const struct pump *pump, struct pollfd fds[2]);
/* Carries what can be carried after a poll(2) that filled FDS in. */
void pump_step(struct pump *pump, const struct pollfd fds[2]);

#endif
