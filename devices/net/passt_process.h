/*
 * A running passt, and the socket to it.
 */
#ifndef DEVICES_NET_PASST_PROCESS_H
#define DEVICES_NET_PASST_PROCESS_H

#include <stdint.h>
#include <sys/types.h>

#include "devices/net/net_passt.h"
#include "vmm/err.h"

#define PASST_SAID_LEN_MAX 1024

struct passt_process {
	int fd;	     /* frames, as net_stream has them; -1: it does not run */
	int said_fd; /* what it writes on stderr */
	pid_t pid;
};

#define PASST_PROCESS_NONE ((struct passt_process){ .fd = -1, .said_fd = -1 })

/*
 * -errno when the port cannot be bound: passt itself would go on without it, and say nothing. The
 * second one logs it, with the cure.
 */
int passt_publish_try(const struct net_passt_publish *publish) MUST_CHECK;
int passt_publish_check(const struct net_passt_publish *publish) MUST_CHECK;

/* Starts passt; PROCESS is PASST_PROCESS_NONE before, and when it fails. 0 or -errno, not logged.
 */
int passt_process_start(struct passt_process *process, uint16_t mtu_len,
			const struct net_passt_publish *publish, unsigned publish_count) MUST_CHECK;
/* Logs what passt_process_start returned, with the cure; returns it. */
int passt_process_explain(int err);
/* Ends it, if it runs, and waits for its end. */
void passt_process_end(struct passt_process *process);

/*
 * The last line that passt wrote and that could say why it ended, or "". TEXT has room for
 * PASST_SAID_LEN_MAX + 1 bytes.
 */
const char *passt_process_last_said(struct passt_process *process, char *text);

#endif
