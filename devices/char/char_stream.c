/*
 * Streams between a guest's port and the host's descriptors; see char_stream.h. Loop's thread.
 *
 * Here are a stream's life and its port; input is in char_stream_in.c, output in char_stream_out.c.
 */
#include "devices/char/char_stream.h"

#include <string.h>

#include "devices/char/char_stream_parts.h"
#include "vmm/log.h"

#define STREAM_ROOM 65536u  /* what a pipe holds */
#define FILE_ROOM   262144u /* one operation */

static struct char_stream *to_stream(struct char_port *port)
{
	return container_of(port, struct char_stream, port);
}

void char_stream_hang_up(struct char_stream *stream)
{
	const struct char_front_ops *front = stream->port.front_ops;

	if (stream->hung_up)
		return;
	stream->hung_up = true;
	if (front && front->hangup)
		front->hangup(stream->port.front);
}

/* ---- the port ---- */

static size_t port_writev(struct char_port *port, const struct iovec *iov, unsigned iov_count)
{
	return char_stream_take(to_stream(port), iov, iov_count);
}

static size_t port_write(struct char_port *port, const uint8_t *data, size_t len)
{
	struct iovec iov = { (uint8_t *)data, len };

	return port_writev(port, &iov, 1);
}

static void port_input_ready(struct char_port *port)
{
	char_stream_pump(to_stream(port));
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
	char_fd_open(&stream->in, options->in_fd, false);
	char_fd_open(&stream->out, options->out_fd, true);
	char_stream_init_input(stream);
	char_stream_init_output(stream);
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
	if (stream_buffer_len(&stream->out_buffer) > 0 && !stream->out_op_busy) {
		struct iovec iov = { stream->out_buffer.data + stream->out_buffer.start,
				     stream_buffer_len(&stream->out_buffer) };

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

	char_stream_flush(stream);
	return all && !char_stream_is_busy(stream);
}

uint64_t char_stream_syscalls(const struct char_stream *stream)
{
	return stream->in.syscalls + stream->out.syscalls;
}
