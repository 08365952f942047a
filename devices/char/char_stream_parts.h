/*
 * The insides of a stream, between the files that it consists of (char_stream*.c).
 */
#ifndef DEVICES_CHAR_CHAR_STREAM_PARTS_H
#define DEVICES_CHAR_CHAR_STREAM_PARTS_H

#include "devices/char/char_fd.h"
#include "devices/char/char_stream.h"

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

static inline size_t stream_buffer_len(const struct stream_buffer *buffer)
{
	return buffer->end - buffer->start;
}

static inline void stream_buffer_take(struct stream_buffer *buffer, size_t len)
{
	buffer->start += len;
	if (buffer->start == buffer->end)
		buffer->start = buffer->end = 0;
}

/* Tells the front end, once, that the host's side is gone. */
void char_stream_hang_up(struct char_stream *stream);

/* Input: prepares; offers what there is to the front end. */
void char_stream_init_input(struct char_stream *stream);
void char_stream_pump(struct char_stream *stream);

/* Output: prepares; takes parts from the front end, and how many bytes of them; writes what was
 * gathered. */
void char_stream_init_output(struct char_stream *stream);
size_t char_stream_take(struct char_stream *stream, const struct iovec *iov, unsigned iov_count);
void char_stream_flush(struct char_stream *stream);
/* True while output that was taken is not written yet. */
bool char_stream_is_busy(const struct char_stream *stream);

#endif
