/*
 * The server on the host that network rows talk to: the workload program's own. Main thread.
 */
#ifndef VMM_COMPARE_SERVER_H
#define VMM_COMPARE_SERVER_H

#include "vmm/compare/child.h"
#include "vmm/compare/compare.h"

struct server {
	struct child child;
	bool running;
};

/*
 * Starts it when a network row is selected. One that does not start (the port is taken) is a
 * warning: the rows will say that nobody answers. 0 or -EINTR.
 */
int server_start(struct server *server, const struct compare *compare) MUST_CHECK;
void server_stop(struct server *server);

#endif
