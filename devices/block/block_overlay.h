/*
 * A disk that starts with an image's contents and forgets what is written to it when it is
 * destroyed. The image is only read, so that any number of machines may share it.
 */
#ifndef DEVICES_BLOCK_BLOCK_OVERLAY_H
#define DEVICES_BLOCK_BLOCK_OVERLAY_H

#include "devices/block/block.h"

/*
 * Opens OPTIONS->path for reading and makes a nameless file for what is written, in $TMPDIR or
 * /var/tmp. With read_only the guest is told that it cannot write. Setup. 0 or -errno, logged.
 */
int block_overlay_create(struct block **out, const struct block_options *options) MUST_CHECK;

#endif
