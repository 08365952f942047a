/*
 * The host's end of a console: a pair of descriptors and a bounded buffer of output between them
 * and the guest. One struct serves the terminal, a file, a pseudo-terminal and nothing at all; they
 * differ in how it is opened.
 *
 * Not thread-safe: the console hub calls everything here under its lock. Nothing blocks.
 */
#ifndef DEVICES_CHAR_CHAR_SINK_H
#define DEVICES_CHAR_CHAR_SINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/err.h"

#define CHAR_SINK_ROOM 65536

struct char_sink {
	const char *name; /* for messages; borrowed */
	int in_fd;	  /* -1: no input */
	int out_fd;	  /* -1: output is thrown away */
	bool in_owned;
	bool out_owned;
	bool in_socket;
	bool out_socket;
	bool out_pollable;  /* EPOLLOUT says when there is room again */
	bool out_may_block; /* no descriptor of our own: poll, then write little */
	bool drop_unread;   /* pseudo-terminal: without a reader output is thrown away */
	bool failing;	    /* a file: said once; output goes on when it can be written again */
	int gone;	    /* errno with which the other side went: output is thrown away */
	uint8_t *room;	    /* CHAR_SINK_ROOM bytes, circular */
	size_t start;
	size_t len;
	uint8_t last; /* last byte given out, to know whether the cursor is at a line's start */
};

/* A sink without descriptors: it takes everything and keeps nothing. 0 or -ENOMEM. */
int char_sink_init(struct char_sink *sink, const char *name) MUST_CHECK;
/* Writes out what is left, waiting a second at most, and closes what is owned. */
void char_sink_fini(struct char_sink *sink);

/* Bytes from FD, and to FD (borrowed): standard streams of any kind. A private open file
 * description is made where one is needed for O_NONBLOCK. Main thread. */
void char_sink_set_input(struct char_sink *sink, int fd);
void char_sink_set_output(struct char_sink *sink, int fd);
/* Appends to the file PATH, made when missing. 0 or -errno, logged. */
int char_sink_open_file(struct char_sink *sink, const char *path) MUST_CHECK;
/* Opens a pseudo-terminal and says its name. 0 or -errno, logged. */
int char_sink_open_pty(struct char_sink *sink) MUST_CHECK;

/* Takes up to LEN bytes into the buffer; returns how many. Makes room by writing when it is full.
 */
size_t char_sink_put(struct char_sink *sink, const void *data, size_t len);
/* Writes as much as the host takes now; sets sink->gone when the other side is gone for good. */
void char_sink_flush(struct char_sink *sink);
/* Reads what is there: bytes, 0 at the end, -EAGAIN, -errno. */
int64_t char_sink_read(struct char_sink *sink, void *data, size_t len);

#endif
