/*
 * --keep DIR: what a command writes is kept in DIR, in the form of overlayfs's upper layer, for the
 * next run to go on with. A container and the host have the overlay write there (process_root.h),
 * whose end brings it to the disk; a machine sends at its end what was written (vmm/guest/keep.h),
 * which is collected beside DIR and put into it when all of it has arrived and is on the disk. Main
 * thread, but for the collecting.
 */
#ifndef VMM_BOUNDARY_KEEP_H
#define VMM_BOUNDARY_KEEP_H

#include <stdbool.h>
#include <stdint.h>

#include "vmm/err.h"

struct keep;

/* For a run of its own: nobody else may use directory PATH until *FD is closed. 0 or -errno,
 * logged. Any boundary. */
int keep_lock(const char *path, int *fd) MUST_CHECK;

/*
 * Locks PATH, which is borrowed, finishes or removes what a killed run left beside it, makes an
 * image of what it has (IMAGE_FD, for the caller to close; -1: nothing yet) and begins to collect
 * from keep_get_fd on a thread: not more than a machine of MEMORY_LEN bytes can hold. 0 or -errno,
 * logged.
 */
int keep_create(struct keep **out, const char *path, uint64_t memory_len, int *image_fd) MUST_CHECK;

/* Where what the machine sends is written to; owned by KEEP. */
int keep_get_fd(const struct keep *keep);

/*
 * Waits for what is on its way, puts it into DIR when it is whole, and says what was not kept. RAN:
 * the command was started. NULL is allowed.
 */
void keep_destroy(struct keep *keep, bool ran);

#endif
