/*
 * virtio console device (virtio 1.2, section 5.3): hvc0, one port.
 */
#ifndef DEVICES_VIRTIO_VIRTIO_CONSOLE_H
#define DEVICES_VIRTIO_VIRTIO_CONSOLE_H

#include "devices/char/char.h"
#include "devices/virtio/virtio.h"
#include "vmm/err.h"

struct virtio_console;

/*
 * Makes the device the front end of PORT (borrowed, may be NULL: output is thrown away). LOOP is
 * the one that PORT's back end works on. Setup. 0 or -errno, logged.
 */
int virtio_console_create(struct virtio_console **out, const struct guest_mem *mem,
			  struct loop *loop, struct char_port *port) MUST_CHECK;
/* After its transport was destroyed. NULL is allowed. */
void virtio_console_destroy(struct virtio_console *console);

/* For the transport. */
struct virtio_device *virtio_console_device(struct virtio_console *console);

#endif
