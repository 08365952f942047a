/*
 * User namespaces. For an ordinary user the ids that /etc/subuid and /etc/subgid grant are mapped
 * by newuidmap and newgidmap; without them only the user's own id, as root. Root's have all ids as
 * they are, so that files need no other owner: what it takes away is root's power over the rest of
 * the host, which the kernel asks for in its own namespace. Main thread of the parent.
 */
#ifndef VMM_BOUNDARY_PROCESS_IDS_H
#define VMM_BOUNDARY_PROCESS_IDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "vmm/err.h"

struct process_id_range {
	uint32_t first;
	uint32_t count; /* 0: none */
};

struct process_ids {
	bool needed; /* one is wanted; for an ordinary user it makes the rest possible */
	bool all;    /* root's: all ids as they are */
	struct process_id_range uids, gids;
};

/*
 * Finds the first range that TEXT (of /etc/subuid: NAME|ID:FIRST:COUNT lines) grants NAME or ID.
 * False: none. Pure.
 */
bool process_ids_parse(const char *text, size_t len, const char *name, uint32_t id,
		       struct process_id_range *range);

/* What the calling user needs and has. */
void process_ids_find(struct process_ids *ids);
/* Root's own wish. */
void process_ids_take_all(struct process_ids *ids);

/*
 * Has a child do WORK as the calling user and root over all that is his by those ids, or does it at
 * once where there are none. Descriptors that WORK opens are the caller's. What WORK returns, or a
 * negative number, logged.
 */
int process_ids_run(int (*work)(void *opaque), void *opaque) MUST_CHECK;

/* Maps them into the new user namespace of process PID. 0 or -errno, logged with the cure. */
int process_ids_map(const struct process_ids *ids, pid_t pid) MUST_CHECK;

#endif
