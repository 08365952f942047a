/*
 * An opened disk image, file or block device: checked, locked, measured.
 */
#ifndef DEVICES_BLOCK_BLOCK_FILE_H
#define DEVICES_BLOCK_BLOCK_FILE_H

#include <stdbool.h>
#include <sys/types.h>

#include "devices/block/block.h"
#include "vmm/err.h"

struct block_file {
	int fd; /* for I/O; may be registered with loops */
	/*
	 * A second description of the same file, never O_DIRECT and never registered: it carries
	 * the lock, and what O_DIRECT refuses. A registered description may outlive the process for
	 * a moment, in the hands of the kernel, and the lock must not.
	 */
	int plain_fd;
	bool direct;
	bool is_device; /* a block device */
	bool in_memory; /* reading and writing waits for no device */
	struct block_info info;
};

/* Whether FD is on a file system that has no device behind it. */
bool block_file_is_in_memory(int fd);

/* Opens OPTIONS->path for writing unless read_only. 0 or -errno, logged. */
int block_file_open(struct block_file *file, const struct block_options *options) MUST_CHECK;
void block_file_close(struct block_file *file);

/* The size now, in whole logical blocks; the last known one when it cannot be asked for. */
uint64_t block_file_size(const struct block_file *file);

#endif
