/*
 * One port of the console device: two queues and a back end (virtio 1.2, 5.3.6). Everything runs on
 * the loop's thread.
 *
 * Output: each chain is handed to the back end, which gathers what comes in one round and writes it
 * once. A chain that it has no room for is held, with a note of how far it got; nothing is popped
 * meanwhile, so that the guest waits instead of losing output. A chain may name gigabytes, the same
 * ones many times over: a turn's bytes are written before the loop does something else.
 *
 * Input: the back end offers bytes and keeps what finds no buffer; the driver's next kick asks for
 * it. A named port takes input only while the guest has it open: Linux throws away what comes
 * before.
 */
#include "devices/virtio/console_port.h"

#include <string.h>

/* Bytes a turn: through a console, which looks at each of them, and through a stream. */
#define CONSOLE_TURN_LEN 65536u
#define STREAM_TURN_LEN	 1048576u

/* ---- output ---- */

/* Takes LEN bytes off the chain. */
static void advance(struct console_port *port, size_t len)
{
	while (port->iov_next < port->chain.readable_count) {
		struct iovec *part = &port->iov[port->iov_next];

		if (len < part->iov_len) {
			part->iov_base = (uint8_t *)part->iov_base + len;
			part->iov_len -= len;
			return;
		}
		len -= part->iov_len;
		port->iov_next++;
	}
}

/* Offers what is left of the chain in one go, MAX bytes at most; how many were taken. */
static size_t offer_parts(struct console_port *port, size_t max)
{
	struct iovec *first = &port->iov[port->iov_next];
	unsigned count = 0;
	size_t len = 0, cut = 0, taken;

	while (port->iov_next + count < port->chain.readable_count && len < max)
		len += first[count++].iov_len;
	if (len > max)
		cut = len - max;
	first[count - 1].iov_len -= cut;
	taken = port->port->ops->writev(port->port, first, count);
	first[count - 1].iov_len += cut;
	return taken;
}

/* Gives the chain's bytes to the back end, *TURN at most, and takes them off that. True when all
 * were taken. */
static bool write_chain(struct console_port *port, size_t *turn)
{
	bool parts = port->port && port->port->ops->writev;

	while (port->iov_next < port->chain.readable_count) {
		struct iovec *part = &port->iov[port->iov_next];
		unsigned before = port->iov_next;
		size_t len = part->iov_len < *turn ? part->iov_len : *turn;
		size_t taken = !*turn  ? 0
			       : parts ? offer_parts(port, *turn)
				       : char_write(port->port, part->iov_base, len);

		*turn -= taken;
		advance(port, taken);
		/* Less than a part was taken: the back end is full, or the turn is over. */
		if (port->iov_next == before)
			return false;
	}
	return true;
}

/* Comes back to the queue in the next round. */
static void kick_again(struct virtio_queue *q)
{
	static const uint64_t one = 1;

	if (write(q->kick_fd, &one, sizeof(one)) < 0) {
		/* EAGAIN: the counter is full, and the write that filled it has rung. */
	}
}

static void output_kick(struct console_port *port)
{
	bool stream = port->port && port->port->ops->writev;
	size_t turn = stream ? STREAM_TURN_LEN : CONSOLE_TURN_LEN;

	while (port->held ||
	       virtio_queue_pop(port->out, port->iov, ARRAY_SIZE(port->iov), &port->chain) > 0) {
		if (!port->held)
			port->iov_next = 0;
		port->held = !write_chain(port, &turn);
		if (port->held && !turn)
			kick_again(port->out);
		if (port->held)
			return; /* the back end says when it has room */
		virtio_queue_push(port->out, port->chain.head, 0);
	}
}

static void front_writable(void *front)
{
	struct console_port *port = front;

	if (port->held)
		output_kick(port);
}

static bool front_drain(void *front)
{
	struct console_port *port = front;

	output_kick(port);
	if (!port->out->running || port->out->stopping ||
	    virtio_get_status(port->out->dev) & VIRTIO_CONFIG_S_NEEDS_RESET)
		return true;
	return !port->held && !virtqueue_has_work(&port->out->vq);
}

/* ---- input ---- */

static size_t fill_chain(const struct iovec *iov, unsigned iov_count, const uint8_t *data,
			 size_t len)
{
	size_t done = 0;

	for (unsigned i = 0; i < iov_count && done < len; i++) {
		size_t part = iov[i].iov_len < len - done ? iov[i].iov_len : len - done;

		memcpy(iov[i].iov_base, data + done, part);
		done += part;
	}
	return done;
}

static size_t front_input(void *front, const uint8_t *data, size_t len)
{
	struct console_port *port = front;
	struct iovec iov[16]; /* Linux offers one part */
	struct virtqueue_chain chain;
	size_t taken = 0;

	if (console_is_multiport(port->console) && !port->guest_open)
		return 0;
	while (taken < len && virtio_queue_pop(port->in, iov, ARRAY_SIZE(iov), &chain) > 0) {
		size_t part = fill_chain(iov + chain.readable_count, chain.writable_count,
					 data + taken, len - taken);

		taken += part;
		virtio_queue_push(port->in, chain.head, (uint32_t)part);
	}
	return taken;
}

static void front_hangup(void *front)
{
	console_control_owe(front, CONSOLE_OWES_OPEN);
}

/* The config space tells of the first console alone, and not to who knows several. */
static void front_resize(void *front, uint16_t columns, uint16_t rows)
{
	struct console_port *port = front;
	struct virtio_console *console = port->console;

	if (port != &console->ports[0])
		return;
	virtio_config_lock(&console->dev);
	console->config.cols = columns;
	console->config.rows = rows;
	virtio_config_changed(&console->dev);
	virtio_config_unlock(&console->dev);
	console_control_owe(port, CONSOLE_OWES_RESIZE);
}

const struct char_front_ops console_port_front_ops = {
	.input = front_input,
	.writable = front_writable,
	.resize = front_resize,
	.hangup = front_hangup,
	.drain = front_drain,
};

/* ---- the queues ---- */

void console_port_kick(struct console_port *port, struct virtio_queue *q)
{
	if (q == port->out) {
		output_kick(port);
		return;
	}
	/* A new buffer matters only to input that waits for one: popping for it asks again. */
	virtqueue_disable_notify(&q->vq);
	char_input_ready(port->port);
}

void console_port_stop(struct console_port *port, struct virtio_queue *q)
{
	if (q != port->out || !port->held)
		return;
	port->held = false;
	virtio_queue_push(q, port->chain.head, 0);
}
