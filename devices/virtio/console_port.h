/*
 * One port of the console device and the device's insides; between the files that it consists of.
 */
#ifndef DEVICES_VIRTIO_CONSOLE_PORT_H
#define DEVICES_VIRTIO_CONSOLE_PORT_H

#include <linux/virtio_console.h>

#include "devices/virtio/virtio_console.h"

/* Messages that the driver is owed; each says what holds when it is sent. Lowest first: a port's
 * name appears when the rest is known (Linux shows it to programs then). */
#define CONSOLE_OWES_ADD     1u
#define CONSOLE_OWES_CONSOLE 2u
#define CONSOLE_OWES_OPEN    4u
#define CONSOLE_OWES_RESIZE  8u
#define CONSOLE_OWES_NAME    16u

struct console_port {
	struct virtio_console *console;
	const char *name; /* NULL: a console */
	struct char_port *port;
	struct virtio_queue *in;
	struct virtio_queue *out;
	/* All below belongs to the loop's thread. */
	bool ready;	 /* the driver knows it */
	bool guest_open; /* somebody in the guest has it open */
	uint8_t owed;	 /* CONSOLE_OWES_* */
	/* The output chain that the port could not take yet. */
	bool held;
	struct virtqueue_chain chain;
	struct iovec iov[VIRTQUEUE_SIZE_MAX];
	unsigned iov_next; /* first part with bytes left */
};

struct virtio_console {
	struct virtio_device dev;
	struct virtio_console_config config; /* under the device's config lock */
	struct log_limit limit;
	unsigned port_count;
	struct console_port *ports;
};

/* Queues (5.3.2): port 0's, the control queues, the other ports'. */
enum { CONSOLE_QUEUE_CONTROL_IN = 2, CONSOLE_QUEUE_CONTROL_OUT = 3 };

static inline bool console_is_multiport(const struct virtio_console *console)
{
	return virtio_has_feature(&console->dev, VIRTIO_CONSOLE_F_MULTIPORT);
}

extern const struct char_front_ops console_port_front_ops;

/* Queue IN or OUT of the port has something new, or stops. Loop's thread. */
void console_port_kick(struct console_port *port, struct virtio_queue *q);
void console_port_stop(struct console_port *port, struct virtio_queue *q);

/* The control queues: the same. */
void console_control_kick(struct virtio_console *console, struct virtio_queue *q);
void console_control_stop(struct virtio_console *console, struct virtio_queue *q);
/* The driver is owed MESSAGES (CONSOLE_OWES_*) about a port; sent as soon as there is a buffer.
 * Loop's thread. */
void console_control_owe(struct console_port *port, uint8_t messages);

#endif
