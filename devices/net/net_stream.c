/*
 * Framing on a stream socket. Called by the user-mode network on its loop's thread.
 *
 * One recv(2) takes as many frames as have arrived; one sendmsg(2) sends length and frame from
 * where they lie. What a full socket took only in part is copied and finished later, since a frame
 * cannot be taken back.
 */
#include "devices/net/net_stream.h"

#include <arpa/inet.h>
#include <assert.h>
#include <limits.h>
#include <string.h>
#include <sys/socket.h>

#include "devices/net/net_iov.h"

int net_stream_init(struct net_stream *stream, int fd)
{
	*stream = (struct net_stream){ .fd = fd };
	stream->in = malloc(NET_STREAM_ROOM);
	stream->out = malloc(NET_STREAM_PREFIX_LEN + NET_STREAM_FRAME_MAX);
	if (stream->in && stream->out)
		return 0;
	net_stream_fini(stream);
	return -ENOMEM;
}

void net_stream_fini(struct net_stream *stream)
{
	free(stream->in);
	free(stream->out);
	stream->in = NULL;
	stream->out = NULL;
}

void net_stream_restart(struct net_stream *stream, int fd)
{
	*stream = (struct net_stream){ .fd = fd, .in = stream->in, .out = stream->out };
}

static int stream_end(struct net_stream *stream)
{
	stream->ended = true;
	return -EPIPE;
}

/* Length of the frame at in_start, 0 while it is incomplete, -EPIPE for nonsense. */
static int64_t stream_parse(struct net_stream *stream)
{
	size_t have = stream->in_end - stream->in_start;
	uint32_t len;

	if (have < NET_STREAM_PREFIX_LEN)
		return 0;
	memcpy(&len, stream->in + stream->in_start, sizeof(len));
	len = ntohl(len);
	if (len < NET_STREAM_FRAME_MIN || len > NET_STREAM_FRAME_MAX)
		return stream_end(stream);
	return have - NET_STREAM_PREFIX_LEN >= len ? len : 0;
}

/* Reads more behind what is there. Bytes, or -errno. */
static int64_t stream_fill(struct net_stream *stream)
{
	ssize_t len;

	if (stream->in_start > 0) {
		memmove(stream->in, stream->in + stream->in_start,
			stream->in_end - stream->in_start);
		stream->in_end -= stream->in_start;
		stream->in_start = 0;
	}
	assert(stream->in_end < NET_STREAM_ROOM); /* an incomplete frame fills less than half */
	do {
		len = recv(stream->fd, stream->in + stream->in_end,
			   NET_STREAM_ROOM - stream->in_end, MSG_DONTWAIT);
	} while (len < 0 && errno == EINTR);
	if (len < 0 && errno == EAGAIN)
		return -EAGAIN;
	if (len <= 0)
		return stream_end(stream);
	stream->in_end += (size_t)len;
	return len;
}

int64_t net_stream_receive(struct net_stream *stream, const uint8_t **frame)
{
	int64_t len;

	if (stream->ended)
		return -EPIPE;
	while ((len = stream_parse(stream)) == 0) {
		len = stream_fill(stream);
		if (len < 0)
			return len;
	}
	if (len < 0)
		return len;
	*frame = stream->in + stream->in_start + NET_STREAM_PREFIX_LEN;
	stream->in_start += NET_STREAM_PREFIX_LEN + (size_t)len;
	return len;
}

/* Bytes sent, or -errno. */
static int64_t stream_write(struct net_stream *stream, struct iovec *iov, unsigned iov_count)
{
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = iov_count };
	ssize_t len;

	do {
		len = sendmsg(stream->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
	} while (len < 0 && errno == EINTR);
	if (len < 0)
		return errno == EAGAIN ? -EAGAIN : stream_end(stream);
	return len;
}

int net_stream_flush(struct net_stream *stream)
{
	if (stream->ended)
		return -EPIPE;
	while (stream->out_start < stream->out_end) {
		struct iovec rest = {
			.iov_base = stream->out + stream->out_start,
			.iov_len = stream->out_end - stream->out_start,
		};
		int64_t len = stream_write(stream, &rest, 1);

		if (len < 0)
			return (int)len;
		stream->out_start += (size_t)len;
	}
	return 0;
}

int net_stream_send(struct net_stream *stream, const struct iovec *iov, unsigned iov_count,
		    size_t len)
{
	struct iovec parts[NET_IOV_MAX];
	uint32_t prefix = htonl((uint32_t)len);
	int64_t sent;
	int ret = net_stream_flush(stream);

	if (ret < 0)
		return ret;
	if (len < NET_STREAM_FRAME_MIN || len > NET_STREAM_FRAME_MAX || iov_count >= NET_IOV_MAX)
		return -EMSGSIZE;
	parts[0] = (struct iovec){ .iov_base = &prefix, .iov_len = sizeof(prefix) };
	memcpy(parts + 1, iov, iov_count * sizeof(*iov));
	sent = stream_write(stream, parts, iov_count + 1);
	if (sent < 0)
		return (int)sent;
	stream->out_start = 0;
	stream->out_end = net_iov_read(parts, iov_count + 1, (size_t)sent, stream->out,
				       NET_STREAM_PREFIX_LEN + len - (size_t)sent);

	return 0;
}
