/*
 * A disk whose bytes are those of a file or a block device.
 */
#ifndef DEVICES_BLOCK_BLOCK_RAW_H
#define DEVICES_BLOCK_BLOCK_RAW_H

#include "devices/block/block.h"

/*
 * Opens and locks OPTIONS->path: one writer or any number of readers. Setup. 0 or -errno, logged.
 * block_destroy closes it.
 */
int block_raw_create(struct block **out, const struct block_options *options) MUST_CHECK;

#endif
