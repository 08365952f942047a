/*
 * Output of a stream; see char_stream.c. Large parts are written from where they lie in the guest's
 * memory, and what was not written stays with the front end; small parts are copied and written
 * together at the end of the round. Files are written by the loop's operations, from the copy: an
 * operation must not depend on what a guest does meanwhile. Loop's thread.
 */
#include <string.h>
#include <sys/epoll.h>

#include "devices/char/char_stream_parts.h"
#include "vmm/log.h"

/* From here on a system call costs less than the copy that spares it. */
#define DIRECT_LEN 8192u

bool char_stream_is_busy(const struct char_stream *stream)
{
	return stream_buffer_len(&stream->out_buffer) > 0 || stream->out_op_busy;
}

static void out_say_idle(struct char_stream *stream)
{
	const struct char_front_ops *front = stream->port.front_ops;

	if (stream->blocked) {
		stream->blocked = false;
		if (front && front->writable)
			front->writable(stream->port.front);
	}
	if (!char_stream_is_busy(stream) && stream->options.idle)
		stream->options.idle(stream->options.opaque);
}

static void out_lost(struct char_stream *stream, int err)
{
	if (err != -EPIPE && err != -EIO && err != -ECONNRESET && err != -ENXIO)
		log_errno(err, "write %s: output is lost from here on", stream->options.name);
	stream->out_gone = true;
	stream->out_buffer.start = stream->out_buffer.end = 0;
	char_stream_hang_up(stream);
}

/* Bytes written from IOV; whatever happens is noted. */
static size_t out_write(struct char_stream *stream, const struct iovec *iov, unsigned iov_count)
{
	int64_t done;

	if (!stream->out_ready)
		return 0;
	done = char_fd_writev(&stream->out, iov, iov_count);
	if (done >= 0)
		return (size_t)done;
	if (done == -EAGAIN)
		stream->out_ready = false;
	else
		out_lost(stream, (int)done);
	return 0;
}

static void out_submit(struct char_stream *stream)
{
	struct stream_buffer *buffer = &stream->out_buffer;
	int ret;

	if (stream->out_op_busy)
		return;
	stream->out_iov = (struct iovec){ buffer->data + buffer->start, stream_buffer_len(buffer) };
	ret = loop_writev(stream->loop, &stream->out_op, stream->out.fd, &stream->out_iov, 1,
			  LOOP_OWN_POSITION);
	stream->out_op_busy = ret == 0;
	if (ret == -EBUSY)
		out_lost(stream, ret); /* never: see in_submit */
}

void char_stream_flush(struct char_stream *stream)
{
	struct stream_buffer *buffer = &stream->out_buffer;

	while (stream_buffer_len(buffer) > 0) {
		struct iovec iov = { buffer->data + buffer->start, stream_buffer_len(buffer) };
		size_t done;

		if (stream->out.kind == CHAR_FD_FILE) {
			out_submit(stream);
			return;
		}
		done = out_write(stream, &iov, 1);
		if (done == 0)
			return;
		stream_buffer_take(buffer, done);
	}
}

static void on_flush(struct loop_deferred *deferred)
{
	struct char_stream *stream = container_of(deferred, struct char_stream, flush);

	char_stream_flush(stream);
	if (!char_stream_is_busy(stream))
		out_say_idle(stream);
}

static void out_op_done(struct loop_op *op, int64_t result)
{
	struct char_stream *stream = container_of(op, struct char_stream, out_op);

	stream->out_op_busy = false;
	if (result <= 0)
		out_lost(stream, result < 0 ? (int)result : -ENOSPC);
	else
		stream_buffer_take(&stream->out_buffer, (size_t)result);
	char_stream_flush(stream);
	if (!char_stream_is_busy(stream))
		out_say_idle(stream);
}

static void on_out_event(struct loop_event *event, uint32_t events)
{
	struct char_stream *stream = container_of(event, struct char_stream, out_event);

	stream->out_ready = true;
	/* Nobody reads any more: the guest learns of it before it writes. */
	if (events & EPOLLERR && !stream->out_gone)
		out_lost(stream, -EPIPE);
	char_stream_flush(stream);
	if (!char_stream_is_busy(stream))
		out_say_idle(stream);
}

/* Copies what has room. */
static size_t out_gather(struct char_stream *stream, const struct iovec *iov, unsigned iov_count)
{
	struct stream_buffer *buffer = &stream->out_buffer;
	size_t done = 0;

	for (unsigned i = 0; i < iov_count && !stream->out_op_busy; i++) {
		size_t part = buffer->room - buffer->end;

		if (part > iov[i].iov_len)
			part = iov[i].iov_len;
		memcpy(buffer->data + buffer->end, iov[i].iov_base, part);
		buffer->end += part;
		done += part;
		if (part < iov[i].iov_len)
			break;
	}
	if (done > 0 && stream->loop)
		loop_defer(stream->loop, &stream->flush);
	return done;
}

static size_t iov_len(const struct iovec *iov, unsigned iov_count)
{
	size_t len = 0;

	for (unsigned i = 0; i < iov_count; i++)
		len += iov[i].iov_len;
	return len;
}

size_t char_stream_take(struct char_stream *stream, const struct iovec *iov, unsigned iov_count)
{
	size_t len = iov_len(iov, iov_count);
	size_t taken;

	if (stream->out_gone || stream->out.kind == CHAR_FD_NONE || !stream->loop)
		return len;
	if (stream->out.kind == CHAR_FD_STREAM && len >= DIRECT_LEN) {
		char_stream_flush(stream); /* what came before goes before */
		taken = stream_buffer_len(&stream->out_buffer) > 0
				? 0
				: out_write(stream, iov, iov_count);
	} else {
		taken = out_gather(stream, iov, iov_count);
	}
	if (stream->out_gone)
		return len;
	stream->blocked |= taken < len;
	return taken;
}

void char_stream_init_output(struct char_stream *stream)
{
	stream->out_op.done = out_op_done;
	stream->flush.fn = on_flush;
	stream->out_ready = true;
	stream->out_event =
		(struct loop_event){ .fn = on_out_event, .fd = stream->out.fd, .events = EPOLLOUT };
}
