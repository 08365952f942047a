/*
 * The console device's control queues (virtio 1.2, 5.3.6.2): how a driver learns of ports, and both
 * sides say when they open and close them. On the loop's thread.
 *
 * What the driver is owed is a bit a message and a port, not a queue of messages: whatever the
 * guest does, and however slowly it gives buffers, nothing grows; two changes in a row become one
 * message with the last value.
 */
#include <endian.h>
#include <string.h>

#include "devices/virtio/console_port.h"

/* The longest message: a name. */
struct message {
	struct virtio_console_control control;
	uint8_t rest[VIRTIO_CONSOLE_NAME_MAX];
};

/* ---- to the driver ---- */

/* Makes a message of one bit of what PORT is owed; its length. */
static size_t make_message(struct console_port *port, uint8_t bit, struct message *message)
{
	struct virtio_console *console = port->console;
	uint16_t event, value = 1;
	size_t rest = 0;
	uint16_t size[2];

	switch (bit) {
	case CONSOLE_OWES_ADD:
		event = VIRTIO_CONSOLE_PORT_ADD;
		break;
	case CONSOLE_OWES_CONSOLE:
		event = VIRTIO_CONSOLE_CONSOLE_PORT;
		break;
	case CONSOLE_OWES_OPEN:
		event = VIRTIO_CONSOLE_PORT_OPEN;
		value = !char_hung_up(port->port);
		break;
	case CONSOLE_OWES_RESIZE:
		event = VIRTIO_CONSOLE_RESIZE;
		size[0] = htole16(console->config.cols);
		size[1] = htole16(console->config.rows);
		rest = sizeof(size);
		memcpy(message->rest, size, rest);
		break;
	default:
		event = VIRTIO_CONSOLE_PORT_NAME;
		rest = strlen(port->name);
		memcpy(message->rest, port->name, rest);
		break;
	}
	message->control = (struct virtio_console_control){
		.id = htole32((uint32_t)(port - console->ports)),
		.event = htole16(event),
		.value = htole16(value),
	};
	return sizeof(message->control) + rest;
}

/* Writes to the chain's parts; what has no room is cut off. */
static uint32_t write_parts(const struct iovec *iov, unsigned iov_count, const void *data,
			    size_t len)
{
	size_t done = 0;

	for (unsigned i = 0; i < iov_count && done < len; i++) {
		size_t part = iov[i].iov_len < len - done ? iov[i].iov_len : len - done;

		memcpy(iov[i].iov_base, (const uint8_t *)data + done, part);
		done += part;
	}
	return (uint32_t)done;
}

/* False when there is no buffer. */
static bool send_one(struct console_port *port, uint8_t bit)
{
	struct virtio_queue *q = &port->console->dev.queues[CONSOLE_QUEUE_CONTROL_IN];
	struct iovec iov[16];
	struct virtqueue_chain chain;
	struct message message;
	size_t len;

	if (virtio_queue_pop(q, iov, ARRAY_SIZE(iov), &chain) <= 0)
		return false;
	len = make_message(port, bit, &message);
	virtio_queue_push(
		q, chain.head,
		write_parts(iov + chain.readable_count, chain.writable_count, &message, len));
	return true;
}

static void send_owed(struct virtio_console *console)
{
	for (unsigned i = 0; i < console->port_count; i++) {
		struct console_port *port = &console->ports[i];

		while (port->owed) {
			uint8_t bit = (uint8_t)(port->owed & -port->owed);

			if (!send_one(port, bit))
				return;
			port->owed = (uint8_t)(port->owed & ~bit);
		}
	}
}

void console_control_owe(struct console_port *port, uint8_t messages)
{
	/* A driver that does not know the port yet is told everything when it does. */
	if (!port->ready)
		return;
	port->owed |= messages;
	send_owed(port->console);
}

/* ---- from the driver ---- */

static void device_ready(struct virtio_console *console, bool good)
{
	for (unsigned i = 0; good && i < console->port_count; i++)
		console->ports[i].owed |= CONSOLE_OWES_ADD;
	if (!good)
		log_guest(&console->limit, "virtio-console: the driver cannot use the device");
}

static void port_ready(struct console_port *port, bool good)
{
	port->ready = good;
	port->owed = 0;
	if (!good) {
		log_guest(&port->console->limit, "virtio-console: the driver cannot use port %s",
			  port->name ? port->name : "hvc");
		return;
	}
	port->owed = CONSOLE_OWES_OPEN;
	if (port->name)
		port->owed |= CONSOLE_OWES_NAME;
	else
		port->owed |= CONSOLE_OWES_CONSOLE | CONSOLE_OWES_RESIZE;
}

static void port_open(struct console_port *port, bool open)
{
	port->guest_open = open;
	if (open)
		char_input_ready(port->port);
}

static void handle(struct virtio_console *console, const struct virtio_console_control *control)
{
	uint32_t id = le32toh(control->id);
	bool value = control->value != 0;

	if (le16toh(control->event) == VIRTIO_CONSOLE_DEVICE_READY) {
		device_ready(console, value);
		return;
	}
	if (id >= console->port_count) {
		log_guest(&console->limit, "virtio-console: a message about port %u of %u", id,
			  console->port_count);
		return;
	}
	switch (le16toh(control->event)) {
	case VIRTIO_CONSOLE_PORT_READY:
		port_ready(&console->ports[id], value);
		break;
	case VIRTIO_CONSOLE_PORT_OPEN:
		port_open(&console->ports[id], value);
		break;
	default:
		log_guest(&console->limit, "virtio-console: message %u is not for the device",
			  le16toh(control->event));
		break;
	}
}

static size_t read_parts(const struct iovec *iov, unsigned iov_count, void *data, size_t len)
{
	size_t done = 0;

	for (unsigned i = 0; i < iov_count && done < len; i++) {
		size_t part = iov[i].iov_len < len - done ? iov[i].iov_len : len - done;

		memcpy((uint8_t *)data + done, iov[i].iov_base, part);
		done += part;
	}
	return done;
}

static void receive(struct virtio_console *console, struct virtio_queue *q)
{
	struct virtio_console_control control;
	struct virtqueue_chain chain;
	struct iovec iov[16];

	while (virtio_queue_pop(q, iov, ARRAY_SIZE(iov), &chain) > 0) {
		size_t len = read_parts(iov, chain.readable_count, &control, sizeof(control));

		if (len == sizeof(control))
			handle(console, &control);
		else
			log_guest(&console->limit, "virtio-console: a message of %zu bytes", len);
		virtio_queue_push(q, chain.head, 0);
	}
}

/* ---- the queues ---- */

void console_control_kick(struct virtio_console *console, struct virtio_queue *q)
{
	if (!console_is_multiport(console))
		return;
	if (q->index == CONSOLE_QUEUE_CONTROL_OUT)
		receive(console, q);
	else
		virtqueue_disable_notify(&q->vq); /* popping for a message asks again */
	send_owed(console);
}

/* The driver that said these things is gone, or says them anew. */
void console_control_stop(struct virtio_console *console, struct virtio_queue *q)
{
	for (unsigned i = 0; q->index == CONSOLE_QUEUE_CONTROL_OUT && i < console->port_count;
	     i++) {
		console->ports[i].ready = false;
		console->ports[i].guest_open = false;
		console->ports[i].owed = 0;
	}
}
