/*
 * A file that lies in memory, as memory: a transfer is a copy between two parts of it and needs no
 * system call, which is what most of a short one's time would go to.
 *
 * Only files without holes are mapped, and no longer where holes were made since: a hole that is
 * read through a mapping takes memory for ever.
 */
#ifndef DEVICES_BLOCK_FILE_MAP_H
#define DEVICES_BLOCK_FILE_MAP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

struct file_map {
	uint8_t *base; /* NULL: not mapped */
	uint64_t len;
	uint64_t *holes; /* a bit for each region, atomic */
	bool read_only;
	bool off; /* atomic */
};

/*
 * Maps the first LEN bytes of FD, which is a file in memory. Whatever stands in the way leaves MAP
 * unmapped, which is no error. Setup.
 */
void file_map_open(struct file_map *map, int fd, uint64_t len, bool read_only);
void file_map_close(struct file_map *map);

/* There may be holes among LEN bytes from OFFSET on. Any thread. */
void file_map_has_hole(struct file_map *map, uint64_t offset, uint64_t len);
/* The file is not what it was: nothing is copied any more. Any thread. */
void file_map_disable(struct file_map *map);

/*
 * Copies LEN bytes, which IOV holds, from OFFSET of the file, or there with WRITE. False when it
 * cannot be done, or only in part because the file has become shorter or its file system is full:
 * read(2) or write(2) then says what is wrong. Any thread that does not block SIGBUS.
 */
bool file_map_copy(struct file_map *map, bool write, const struct iovec *iov, uint64_t offset,
		   uint64_t len);

#endif
