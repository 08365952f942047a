/*
 * What a machine runs, as guest-init has read it: plain values, nothing checked against the guest's
 * files yet. Only libc.
 */
#ifndef VMM_GUEST_WORKLOAD_H
#define VMM_GUEST_WORKLOAD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct workload {
	char **argv; /* ended by NULL; the command is looked for in the PATH of envp */
	char **envp; /* ended by NULL */
	char *cwd;
	uid_t uid;
	gid_t gid;
	bool terminal; /* one port behind a pseudo-terminal instead of three streams */
	uint16_t columns;
	uint16_t rows;
};

#endif
