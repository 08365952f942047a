/*
 * The server on the host that network rows talk to: the workload program's own; and a tap for
 * machines. Main thread.
 */
#ifndef VMM_COMPARE_SERVER_H
#define VMM_COMPARE_SERVER_H

#include "vmm/compare/child.h"
#include "vmm/compare/compare.h"

#define SERVER_TAP	   "vmm-compare"
#define SERVER_TAP_ADDRESS "198.18.93.1/30" /* of the range for benchmarks */
#define SERVER_TAP_GUEST   "198.18.93.2/30"
#define SERVER_TAP_GATEWAY "198.18.93.1"

struct server {
	struct child child;
	bool running;
};

/*
 * Starts it when a network row is selected, and makes the tap (compare->has_tap) when one of these
 * goes through it and we may. A server that does not start (the port is taken) is a warning: the
 * rows will say that nobody answers. 0 or -EINTR.
 */
int server_start(struct server *server, struct compare *compare) MUST_CHECK;
/* Ends the server and removes the tap. */
void server_stop(struct server *server, struct compare *compare);

#endif
