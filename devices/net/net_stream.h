/*
 * Ethernet frames on a stream socket, each preceded by its length as four bytes, big-endian: the
 * way passt and QEMU's stream network talk. The other side is another program: its lengths are
 * checked like a guest's. No descriptors but the one it is given; no locks.
 */
#ifndef DEVICES_NET_NET_STREAM_H
#define DEVICES_NET_NET_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "vmm/err.h"

#define NET_STREAM_PREFIX_LEN 4
#define NET_STREAM_FRAME_MIN  14
#define NET_STREAM_FRAME_MAX  (65535 + 14 + 4)
#define NET_STREAM_ROOM	      ((size_t)2 * (NET_STREAM_PREFIX_LEN + NET_STREAM_FRAME_MAX))

struct net_stream {
	int fd; /* borrowed; O_NONBLOCK */
	bool ended;
	uint8_t *in; /* NET_STREAM_ROOM bytes */
	size_t in_start;
	size_t in_end;
	uint8_t *out; /* the rest of a frame that was sent in part; PREFIX + FRAME_MAX bytes */
	size_t out_start;
	size_t out_end;
};

/* 0 or -ENOMEM. */
int net_stream_init(struct net_stream *stream, int fd) MUST_CHECK;
void net_stream_fini(struct net_stream *stream);
/* Begins anew on another socket; what was under way on the old one is forgotten. */
void net_stream_restart(struct net_stream *stream, int fd);

/*
 * The next frame that has arrived: its length, *FRAME points at it until the next call. -EAGAIN:
 * none is complete yet. -EPIPE: the other side is gone, or speaks nonsense; it stays so.
 */
int64_t net_stream_receive(struct net_stream *stream, const uint8_t **frame);

/*
 * Sends one frame, LEN bytes in IOV. 0: it is on its way. -EAGAIN: not taken, send it again after
 * net_stream_flush gave 0. -EMSGSIZE: no frame has this length. -EPIPE.
 */
int net_stream_send(struct net_stream *stream, const struct iovec *iov, unsigned iov_count,
		    size_t len);
/* Sends what is left of an earlier frame. 0, -EAGAIN, -EPIPE. */
int net_stream_flush(struct net_stream *stream);

#endif
