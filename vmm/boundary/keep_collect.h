/*
 * The stream of what a machine's command wrote (vmm/guest/keep.h), made into files in a directory
 * of its own. Called by keep.c on a thread of its own; blocks.
 */
#ifndef VMM_BOUNDARY_KEEP_COLLECT_H
#define VMM_BOUNDARY_KEEP_COLLECT_H

#include <stdbool.h>
#include <stdint.h>

#include "vmm/err.h"

struct keep_limits {
	uint64_t bytes_max; /* of content; what the machine holds in memory is not more */
	uint64_t entries_max;
	bool as_root; /* owners are set; else all is the caller's, and readable to him */
};

struct keep_result {
	bool begun;
	bool complete;
	char why[300]; /* when it is not: a text for the person; empty: the stream just ended */
	/* Files that were to have set-user-ID or set-group-ID bits or capabilities. */
	uint64_t identity_count;
	uint64_t device_count;	/* device nodes, which are left out */
	uint64_t refused_count; /* extended attributes that cannot be set here */
	char refused[300];	/* the first of them, for the person */
};

/*
 * Reads records from IN_FD until the stream ends, and makes files of them in the empty directory
 * DIR_FD, which nobody else changes. All names are checked; nothing is opened or made outside of
 * DIR_FD. What is read after an error or after the end is thrown away, so that the writer is not
 * held up.
 */
void keep_collect(int in_fd, int dir_fd, const struct keep_limits *limits,
		  struct keep_result *result);

/* The attribute that hides the layers below a directory; of those that an overlay in a user
 * namespace has (userxattr), for whoever keeps. */
#define KEEP_OPAQUE_NAME "user.overlay.opaque"

#endif
