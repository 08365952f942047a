/*
 * A sparse file without a name: gone when its descriptor is closed, however the process ends.
 */
#ifndef DEVICES_BLOCK_NAMELESS_FILE_H
#define DEVICES_BLOCK_NAMELESS_FILE_H

#include <stdint.h>

#include "vmm/err.h"

/* One of LEN bytes in $TMPDIR or /var/tmp, in which holes can be punched. Main thread. Its
 * descriptor or -errno, logged with the cure. */
int nameless_file_make(uint64_t len) MUST_CHECK;

#endif
