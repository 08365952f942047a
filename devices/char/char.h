/*
 * Where a guest's console bytes go and come from: the terminal, a file, a pseudo-terminal, nothing.
 *
 * A front end (serial, virtio-console) holds one char_port; the back end calls its ops on the
 * loop's thread. char_write may be called on vCPU threads (serial) as well as on the loop: the port
 * has its own lock. Output never blocks the caller.
 */
#ifndef DEVICES_CHAR_CHAR_H
#define DEVICES_CHAR_CHAR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "vmm/err.h"

struct char_port;

struct char_front_ops {
	/* Bytes typed by the person; returns how many were taken. The rest is offered again after
	 * char_input_ready. */
	size_t (*input)(void *front, const uint8_t *data, size_t len);
	/* The back end can take output again after it had taken less than it was offered. NULL: not
	 * needed. */
	void (*writable)(void *front);
	/* The terminal's size, in characters. NULL: not needed. */
	void (*resize)(void *front, uint16_t columns, uint16_t rows);
	/* The other side is gone, or has no more to say and all of it was taken; hung_up is true
	 * from now on. NULL: not needed. */
	void (*hangup)(void *front);
	/* Takes what the guest has said so far, as far as the back end has room. False: there is
	 * more. NULL: nothing is ever left. */
	bool (*drain)(void *front);
};

struct char_port_ops {
	/* Takes up to LEN bytes; returns how many. 0: full, char_front_ops.writable follows. */
	size_t (*write)(struct char_port *port, const uint8_t *data, size_t len);
	/* The front end has room for input again. */
	void (*input_ready)(struct char_port *port);
	/* Last known size; false when there is none. */
	bool (*get_size)(struct char_port *port, uint16_t *columns, uint16_t *rows);
	/* As write, from several parts. NULL: write is used. Guest memory: it may change meanwhile.
	 */
	size_t (*writev)(struct char_port *port, const struct iovec *iov, unsigned iov_count);
	/* See char_front_ops.hangup. NULL: never. */
	bool (*hung_up)(struct char_port *port);
};

struct char_port {
	const struct char_port_ops *ops;
	const struct char_front_ops *front_ops; /* NULL: no front end attached */
	void *front;
};

static inline size_t char_write(struct char_port *port, const uint8_t *data, size_t len)
{
	return port ? port->ops->write(port, data, len) : len;
}

static inline void char_input_ready(struct char_port *port)
{
	if (port && port->ops->input_ready)
		port->ops->input_ready(port);
}

static inline bool char_get_size(struct char_port *port, uint16_t *columns, uint16_t *rows)
{
	return port && port->ops->get_size && port->ops->get_size(port, columns, rows);
}

static inline bool char_hung_up(struct char_port *port)
{
	return port && port->ops->hung_up && port->ops->hung_up(port);
}

#endif
