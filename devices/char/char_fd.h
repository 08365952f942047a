/*
 * A descriptor that somebody else gave us to read from or to write to: terminal, pipe, socket, file
 * or device. Never blocks where that can be had, and never changes O_NONBLOCK of an open file
 * description that others use, too. Loop's thread.
 */
#ifndef DEVICES_CHAR_CHAR_FD_H
#define DEVICES_CHAR_CHAR_FD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "vmm/err.h"

enum char_fd_kind {
	CHAR_FD_NONE,	/* closed: nothing to read, what is written is thrown away */
	CHAR_FD_STREAM, /* a loop says when it is ready; read and write at once */
	CHAR_FD_FILE,	/* always ready, but may wait for a disk: by a loop's operations, at the
			   file's own position (LOOP_OWN_POSITION) */
};

struct char_fd {
	enum char_fd_kind kind;
	int fd; /* our own */
	bool socket;
	bool cautious; /* no open file description of our own: ask first, and write little */
	uint64_t syscalls;
};

/* Takes FD (borrowed, may be closed or -1) into use, for output or for input. Setup. */
void char_fd_open(struct char_fd *file, int fd, bool output);
void char_fd_close(struct char_fd *file);

/* Reads what is there: bytes, 0 at the end, -EAGAIN, -errno. */
int64_t char_fd_read(struct char_fd *file, void *data, size_t len);
/* Writes what the other side takes now: bytes, -EAGAIN, -errno; -EPIPE without a signal where
 * SIGPIPE is ignored. */
int64_t char_fd_writev(struct char_fd *file, const struct iovec *iov, unsigned iov_count);

#endif
