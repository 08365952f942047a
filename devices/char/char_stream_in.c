/*
 * Input of a stream; see char_stream.c. A descriptor that can be waited for is read when it is
 * ready, a file by the loop's operations. What the guest has no room for is kept, and nothing more
 * is read. Loop's thread.
 */
#include <sys/epoll.h>

#include "devices/char/char_stream_parts.h"
#include "vmm/log.h"

static void in_end(struct char_stream *stream, int64_t result)
{
	if (result < 0 && result != -EIO && result != -ECANCELED)
		log_errno((int)result, "read %s: it ends here", stream->options.name);
	stream->in_ended = true;
}

static bool in_read(struct char_stream *stream)
{
	struct stream_buffer *buffer = &stream->in_buffer;
	int64_t len;

	if (!stream->in_ready)
		return false;
	len = char_fd_read(&stream->in, buffer->data, buffer->room);
	if (len > 0) {
		buffer->end = (size_t)len;
		return true;
	}
	if (len == -EAGAIN)
		stream->in_ready = false;
	else
		in_end(stream, len);
	return false;
}

/* Asks for more of a file. */
static void in_submit(struct char_stream *stream)
{
	int ret;

	if (stream->in_op_busy || stream->in_failed)
		return;
	stream->in_iov = (struct iovec){ stream->in_buffer.data, stream->in_buffer.room };
	ret = loop_readv(stream->loop, &stream->in_op, stream->in.fd, &stream->in_iov, 1,
			 LOOP_OWN_POSITION);
	stream->in_op_busy = ret == 0;
	stream->in_failed = ret == -ECANCELED;
	if (ret == -EBUSY)
		stream->in_ended = true; /* never: the loop has room for far more streams */
}

/* True when there are bytes to offer. */
static bool in_fill(struct char_stream *stream)
{
	if (stream_buffer_len(&stream->in_buffer) > 0)
		return true;
	if (stream->in_ended)
		return false;
	if (stream->in.kind == CHAR_FD_STREAM)
		return in_read(stream);
	if (stream->in.kind == CHAR_FD_FILE)
		in_submit(stream);
	else
		stream->in_ended = true;
	return false;
}

void char_stream_pump(struct char_stream *stream)
{
	const struct char_front_ops *front = stream->port.front_ops;
	struct stream_buffer *buffer = &stream->in_buffer;

	if (!stream->loop || stream->options.in_fd < 0 || stream->in_op_busy)
		return;
	while (in_fill(stream)) {
		size_t taken = 0;

		if (front && front->input)
			taken = front->input(stream->port.front, buffer->data + buffer->start,
					     stream_buffer_len(buffer));
		stream_buffer_take(buffer, taken);
		if (stream_buffer_len(buffer) > 0)
			return; /* input_ready follows */
	}
	if (stream->in_ended)
		char_stream_hang_up(stream);
}

static void in_op_done(struct loop_op *op, int64_t result)
{
	struct char_stream *stream = container_of(op, struct char_stream, in_op);

	stream->in_op_busy = false;
	if (result > 0)
		stream->in_buffer.end = (size_t)result;
	else
		in_end(stream, result);
	char_stream_pump(stream);
}

static void on_in_event(struct loop_event *event, uint32_t events)
{
	struct char_stream *stream = container_of(event, struct char_stream, in_event);

	(void)events;
	stream->in_ready = true;
	char_stream_pump(stream);
}

void char_stream_init_input(struct char_stream *stream)
{
	stream->in_op.done = in_op_done;
	stream->in_event =
		(struct loop_event){ .fn = on_in_event, .fd = stream->in.fd, .events = EPOLLIN };
}
