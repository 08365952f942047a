/*
 * Streams between a guest's port and the host's descriptors; see char_stream.h. Loop's thread.
 *
 * Descriptors that can be waited for are read and written as soon as they are ready, files by the
 * loop's operations, one a direction at a time. Input is kept while the guest has no room, and not
 * read on. Output in large parts is written from where it lies and what was not written stays with
 * the front end; small parts are copied and written together at the end of the round.
 */
#include "devices/char/char_stream.h"

#include <string.h>
#include <sys/epoll.h>

#include "devices/char/char_fd.h"
#include "vmm/log.h"

#define STREAM_ROOM 65536u  /* what a pipe holds */
#define FILE_ROOM   262144u /* one operation */
/* From here on a system call costs less than the copy that spares it. */
#define DIRECT_LEN 8192u

struct stream_buffer {
	uint8_t *data;
	size_t room;
	size_t start;
	size_t end;
};

struct char_stream {
	struct char_port port;
	struct char_stream_options options;
	struct loop *loop;

	struct char_fd in;
	struct stream_buffer in_buffer;
	struct loop_event in_event;
	struct loop_op in_op;
	struct iovec in_iov;
	bool in_op_busy;
	bool in_ready; /* there may be something to read */
	bool in_ended;
	bool in_failed; /* file operations cannot be submitted any more */

	struct char_fd out;
	struct stream_buffer out_buffer;
	struct loop_event out_event;
	struct loop_deferred flush;
	struct loop_op out_op;
	struct iovec out_iov;
	bool out_op_busy;
	bool out_ready; /* may take something */
	bool out_gone;
	bool blocked; /* the front end was refused room */

	bool hung_up;
};

static struct char_stream *to_stream(struct char_port *port)
{
	return container_of(port, struct char_stream, port);
}

static size_t buffer_len(const struct stream_buffer *buffer)
{
	return buffer->end - buffer->start;
}

static void buffer_take(struct stream_buffer *buffer, size_t len)
{
	buffer->start += len;
	if (buffer->start == buffer->end)
		buffer->start = buffer->end = 0;
}

static void hang_up(struct char_stream *stream)
{
	const struct char_front_ops *front = stream->port.front_ops;

	if (stream->hung_up)
		return;
	stream->hung_up = true;
	if (front && front->hangup)
		front->hangup(stream->port.front);
}

/* ---- input ---- */

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
	if (buffer_len(&stream->in_buffer) > 0)
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

static void in_pump(struct char_stream *stream)
{
	const struct char_front_ops *front = stream->port.front_ops;
	struct stream_buffer *buffer = &stream->in_buffer;

	if (!stream->loop || stream->options.in_fd < 0 || stream->in_op_busy)
		return;
	while (in_fill(stream)) {
		size_t taken = 0;

		if (front && front->input)
			taken = front->input(stream->port.front, buffer->data + buffer->start,
					     buffer_len(buffer));
		buffer_take(buffer, taken);
		if (buffer_len(buffer) > 0)
			return; /* input_ready follows */
	}
	if (stream->in_ended)
		hang_up(stream);
}

static void in_op_done(struct loop_op *op, int64_t result)
{
	struct char_stream *stream = container_of(op, struct char_stream, in_op);

	stream->in_op_busy = false;
	if (result > 0)
		stream->in_buffer.end = (size_t)result;
	else
		in_end(stream, result);
	in_pump(stream);
}

static void on_in_event(struct loop_event *event, uint32_t events)
{
	struct char_stream *stream = container_of(event, struct char_stream, in_event);

	(void)events;
	stream->in_ready = true;
	in_pump(stream);
}

/* ---- output ---- */

static bool out_is_busy(const struct char_stream *stream)
{
	return buffer_len(&stream->out_buffer) > 0 || stream->out_op_busy;
}

static void out_say_idle(struct char_stream *stream)
{
	const struct char_front_ops *front = stream->port.front_ops;

	if (stream->blocked) {
		stream->blocked = false;
		if (front && front->writable)
			front->writable(stream->port.front);
	}
	if (!out_is_busy(stream) && stream->options.idle)
		stream->options.idle(stream->options.opaque);
}

static void out_lost(struct char_stream *stream, int err)
{
	if (err != -EPIPE && err != -EIO && err != -ECONNRESET && err != -ENXIO)
		log_errno(err, "write %s: output is lost from here on", stream->options.name);
	stream->out_gone = true;
	stream->out_buffer.start = stream->out_buffer.end = 0;
	hang_up(stream);
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
	stream->out_iov = (struct iovec){ buffer->data + buffer->start, buffer_len(buffer) };
	ret = loop_writev(stream->loop, &stream->out_op, stream->out.fd, &stream->out_iov, 1,
			  LOOP_OWN_POSITION);
	stream->out_op_busy = ret == 0;
	if (ret == -EBUSY)
		out_lost(stream, ret); /* never: see in_submit */
}

static void out_flush(struct char_stream *stream)
{
	struct stream_buffer *buffer = &stream->out_buffer;

	while (buffer_len(buffer) > 0) {
		struct iovec iov = { buffer->data + buffer->start, buffer_len(buffer) };
		size_t done;

		if (stream->out.kind == CHAR_FD_FILE) {
			out_submit(stream);
			return;
		}
		done = out_write(stream, &iov, 1);
		if (done == 0)
			return;
		buffer_take(buffer, done);
	}
}

static void on_flush(struct loop_deferred *deferred)
{
	struct char_stream *stream = container_of(deferred, struct char_stream, flush);

	out_flush(stream);
	if (!out_is_busy(stream))
		out_say_idle(stream);
}

static void out_op_done(struct loop_op *op, int64_t result)
{
	struct char_stream *stream = container_of(op, struct char_stream, out_op);

	stream->out_op_busy = false;
	if (result <= 0)
		out_lost(stream, result < 0 ? (int)result : -ENOSPC);
	else
		buffer_take(&stream->out_buffer, (size_t)result);
	out_flush(stream);
	if (!out_is_busy(stream))
		out_say_idle(stream);
}

static void on_out_event(struct loop_event *event, uint32_t events)
{
	struct char_stream *stream = container_of(event, struct char_stream, out_event);

	stream->out_ready = true;
	/* Nobody reads any more: the guest learns of it before it writes. */
	if (events & EPOLLERR && !stream->out_gone)
		out_lost(stream, -EPIPE);
	out_flush(stream);
	if (!out_is_busy(stream))
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

static size_t port_writev(struct char_port *port, const struct iovec *iov, unsigned iov_count)
{
	struct char_stream *stream = to_stream(port);
	size_t len = iov_len(iov, iov_count);
	size_t taken;

	if (stream->out_gone || stream->out.kind == CHAR_FD_NONE || !stream->loop)
		return len;
	if (stream->out.kind == CHAR_FD_STREAM && len >= DIRECT_LEN) {
		out_flush(stream); /* what came before goes before */
		taken = buffer_len(&stream->out_buffer) > 0 ? 0 : out_write(stream, iov, iov_count);
	} else {
		taken = out_gather(stream, iov, iov_count);
	}
	if (stream->out_gone)
		return len;
	stream->blocked |= taken < len;
	return taken;
}

static size_t port_write(struct char_port *port, const uint8_t *data, size_t len)
{
	struct iovec iov = { (uint8_t *)(uintptr_t)data, len };

	return port_writev(port, &iov, 1);
}

/* ---- the port ---- */

static void port_input_ready(struct char_port *port)
{
	in_pump(to_stream(port));
}

static bool port_hung_up(struct char_port *port)
{
	return to_stream(port)->hung_up;
}

static const struct char_port_ops stream_ops = {
	.write = port_write,
	.input_ready = port_input_ready,
	.writev = port_writev,
	.hung_up = port_hung_up,
};

/* ---- life ---- */

static bool buffer_init(struct stream_buffer *buffer, const struct char_fd *file)
{
	if (file->kind == CHAR_FD_NONE)
		return true;
	buffer->room = file->kind == CHAR_FD_FILE ? FILE_ROOM : STREAM_ROOM;
	buffer->data = malloc(buffer->room);
	return buffer->data != NULL;
}

int char_stream_create(struct char_stream **out, const struct char_stream_options *options)
{
	struct char_stream *stream = calloc(1, sizeof(*stream));

	if (!stream)
		return log_errno(ENOMEM, "set up %s", options->name);
	stream->options = *options;
	stream->port.ops = &stream_ops;
	stream->in_op.done = in_op_done;
	stream->out_op.done = out_op_done;
	stream->flush.fn = on_flush;
	stream->out_ready = true;
	char_fd_open(&stream->in, options->in_fd, false);
	char_fd_open(&stream->out, options->out_fd, true);
	if (!buffer_init(&stream->in_buffer, &stream->in) ||
	    !buffer_init(&stream->out_buffer, &stream->out)) {
		char_stream_destroy(stream);
		return log_errno(ENOMEM, "set up %s", options->name);
	}
	*out = stream;
	return 0;
}

int char_stream_attach(struct char_stream *stream, struct loop *loop)
{
	int ret = 0;

	stream->loop = loop;
	stream->in_event =
		(struct loop_event){ .fn = on_in_event, .fd = stream->in.fd, .events = EPOLLIN };
	stream->out_event =
		(struct loop_event){ .fn = on_out_event, .fd = stream->out.fd, .events = EPOLLOUT };
	if (stream->in.kind == CHAR_FD_STREAM)
		ret = loop_event_add(loop, &stream->in_event);
	if (ret == 0 && stream->out.kind == CHAR_FD_STREAM)
		ret = loop_event_add(loop, &stream->out_event);
	return ret;
}

void char_stream_destroy(struct char_stream *stream)
{
	if (!stream)
		return;
	if (stream->loop) {
		loop_event_del(stream->loop, &stream->in_event);
		loop_event_del(stream->loop, &stream->out_event);
		loop_defer_cancel(stream->loop, &stream->flush);
	}
	if (buffer_len(&stream->out_buffer) > 0 && !stream->out_op_busy) {
		struct iovec iov = { stream->out_buffer.data + stream->out_buffer.start,
				     buffer_len(&stream->out_buffer) };

		(void)char_fd_writev(&stream->out, &iov, 1);
	}
	char_fd_close(&stream->in);
	char_fd_close(&stream->out);
	free(stream->in_buffer.data);
	free(stream->out_buffer.data);
	free(stream);
}

struct char_port *char_stream_port(struct char_stream *stream)
{
	return &stream->port;
}

bool char_stream_drain(struct char_stream *stream)
{
	const struct char_front_ops *front = stream->port.front_ops;
	bool all = !front || !front->drain || front->drain(stream->port.front);

	out_flush(stream);
	return all && !out_is_busy(stream);
}

uint64_t char_stream_syscalls(const struct char_stream *stream)
{
	return stream->in.syscalls + stream->out.syscalls;
}
