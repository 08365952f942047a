/*
 * One upper layer of an overlay put onto another: what was written last counts. Called by keep.c on
 * the main thread.
 */
#ifndef VMM_BOUNDARY_KEEP_MERGE_H
#define VMM_BOUNDARY_KEEP_MERGE_H

#include <stdbool.h>

#include "vmm/err.h"

/*
 * Moves all of FROM_FD into TO_FD, a directory of the same file system, by renames alone: FROM_FD
 * is empty when all is done. Directories are merged unless the new one is opaque; everything else
 * replaces what has its name, which goes to TRASH_FD. It is looked first whether it can be done. A
 * merge that was cut short is finished by doing it again. 0 or -errno, logged with NAME, which is
 * TO_FD's.
 */
int keep_merge(int from_fd, int to_fd, int trash_fd, const char *name, bool as_root) MUST_CHECK;

/* Removes NAME in DIR_FD with all that is in it, through no link. 0 or -errno, not logged. */
int keep_remove(int dir_fd, const char *name);

/* Whether the directory has no entry. */
bool keep_is_empty(int dir_fd);

#endif
