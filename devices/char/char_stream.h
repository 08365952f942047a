/*
 * A guest's port as a stream of bytes between it and descriptors of the host, binary and in both
 * directions or one. Everything runs on the loop's thread.
 *
 * Output goes straight from guest memory where there is enough of it; little is gathered for a
 * round. A host that does not take it makes the guest wait. When the host's side of output is gone,
 * output is thrown away and the guest is told (char_front_ops.hangup), and so it is at the end of
 * input, when all of it was taken.
 */
#ifndef DEVICES_CHAR_CHAR_STREAM_H
#define DEVICES_CHAR_CHAR_STREAM_H

#include <stdbool.h>
#include <stdint.h>

#include "devices/char/char.h"
#include "vmm/loop.h"

struct char_stream;

struct char_stream_options {
	const char *name; /* for messages; borrowed */
	/* Borrowed, of any kind, or closed; -1: the stream has no such direction. */
	int in_fd;
	int out_fd;
	/* All output that was taken is written, or thrown away. NULL: not needed. */
	void (*idle)(void *opaque);
	void *opaque;
};

/* 0 or -errno, logged. Setup. */
int char_stream_create(struct char_stream **out,
		       const struct char_stream_options *options) MUST_CHECK;
/* Tries once to write what is left. The loop has ended. NULL is allowed. */
void char_stream_destroy(struct char_stream *stream);

/* Begins to work on LOOP; setup, or its thread. 0 or -errno, logged. */
int char_stream_attach(struct char_stream *stream, struct loop *loop) MUST_CHECK;

/* For the front end. Owned by the stream. */
struct char_port *char_stream_port(struct char_stream *stream);

/* Takes and writes what the guest has said so far. True when nothing of it is left; else idle is
 * called, and is no promise: ask again. */
bool char_stream_drain(struct char_stream *stream);

/* Reads and writes that were made, without the loop's own. */
uint64_t char_stream_syscalls(const struct char_stream *stream);

#endif
