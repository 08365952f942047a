/*
 * virtio console device (virtio 1.2, section 5.3): hvc0, and named ports beside it.
 */
#ifndef DEVICES_VIRTIO_VIRTIO_CONSOLE_H
#define DEVICES_VIRTIO_VIRTIO_CONSOLE_H

#include "devices/char/char.h"
#include "devices/virtio/virtio.h"
#include "vmm/err.h"

struct virtio_console;

#define VIRTIO_CONSOLE_PORTS_MAX 8
#define VIRTIO_CONSOLE_NAME_MAX	 32

struct virtio_console_port {
	const char *name;	/* borrowed, at most NAME_MAX bytes; NULL: a console, hvcN */
	struct char_port *port; /* borrowed; NULL: output is thrown away */
	uint16_t in_size; /* of a named port: buffers for input at most, power of two; 0: 256 */
};

/*
 * Makes the device the front end of PORT_COUNT ports, of which the first is a console. With more
 * than one the driver is offered MULTIPORT; to one that does not take it only the first is there.
 * LOOP is the one that the back ends work on. Setup. 0 or -errno, logged.
 */
int virtio_console_create(struct virtio_console **out, const struct guest_mem *mem,
			  struct loop *loop, const struct virtio_console_port *ports,
			  unsigned port_count) MUST_CHECK;
/* After its transport was destroyed. NULL is allowed. */
void virtio_console_destroy(struct virtio_console *console);

/* For the transport. */
struct virtio_device *virtio_console_device(struct virtio_console *console);

#endif
