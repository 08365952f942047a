/*
 * What a user-mode network program may write on its socket: anything, in pieces of any size. The
 * first byte of each piece is its length. Checked: frames have lengths that frames can have, and
 * their bytes can be read.
 */
#include <assert.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/socket.h>

#include "devices/net/net_stream.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static int64_t receive_all(struct net_stream *stream)
{
	static volatile uint8_t sum;
	const uint8_t *frame;
	int64_t len;

	while ((len = net_stream_receive(stream, &frame)) >= 0) {
		assert(len >= NET_STREAM_FRAME_MIN && len <= NET_STREAM_FRAME_MAX);
		sum = (uint8_t)(sum + frame[0] + frame[len - 1]);
	}
	assert(len == -EAGAIN || len == -EPIPE);
	return len;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct net_stream stream;
	size_t at = 0;
	int fds[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) < 0 ||
	    net_stream_init(&stream, fds[0]) < 0)
		abort();
	while (at < len) {
		/* Long pieces too, so that the largest frames come together. */
		size_t piece = data[at] < 128 ? data[at] : (size_t)(data[at] - 127) * 512;

		at++;
		if (piece > len - at)
			piece = len - at;
		if (piece > 0 && write(fds[1], data + at, piece) < 0)
			break;
		at += piece;
		if (receive_all(&stream) == -EPIPE)
			break;
	}
	close(fds[1]);
	assert(receive_all(&stream) == -EPIPE);
	net_stream_fini(&stream);
	close(fds[0]);
	return 0;
}
