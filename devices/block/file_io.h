/*
 * One whole transfer between a file and memory: short transfers are resumed, interrupted ones
 * repeated, and the end of the file is an error. What every back end on a file is made of.
 */
#ifndef DEVICES_BLOCK_FILE_IO_H
#define DEVICES_BLOCK_FILE_IO_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "devices/block/file_map.h"
#include "vmm/err.h"
#include "vmm/loop.h"

struct file_io {
	/*
	 * On the loop's thread, never from file_io_start: 0, or -errno. With -ECANCELED (the loop
	 * is stopping) and -EBUSY the fields below describe what remains, to be started again.
	 */
	void (*done)(struct file_io *io, int result);
	struct loop *loop;
	int fd;
	int plain_fd; /* the same file for memory that O_DIRECT refuses on FD; -1: none */
	bool write;
	bool immediate; /* see struct loop_op, likewise the next */
	bool cached;
	struct file_map *map; /* of FD, perhaps not mapped; NULL: none */
	/* IOV covers LEN bytes or more; what is done is taken off its front, in place. */
	struct iovec *iov;
	unsigned iov_count;
	uint64_t offset;
	uint64_t len;
	/* file_io's own */
	struct loop_op op;
	uint64_t cut_len; /* bytes hidden at the end of the last entry, beyond LEN */
	unsigned cut_index;
	unsigned retries;
};

/* LEN is above 0. 0, or -EBUSY or -ECANCELED and nothing was started. */
int file_io_start(struct file_io *io) MUST_CHECK;

/* Takes COUNT bytes off the front of an iovec array, and entries that become empty. */
void file_io_advance(struct iovec **iov, unsigned *iov_count, uint64_t count);

#endif
