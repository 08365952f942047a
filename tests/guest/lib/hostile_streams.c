/*
 * An honest driver of a console with several ports (virtio 1.2, 5.3.6): learns of them, opens the
 * command's input and output, and uses both. The host's end of the input never runs dry.
 */
#include <linux/virtio_console.h>

#include "tests/guest/lib/hostile.h"

enum { CONTROL_IN = 2, CONTROL_OUT = 3, STDIN_QUEUE = 6, STDOUT_QUEUE = 9 };
enum { STDIN_PORT = 2, STDOUT_PORT = 3 };

struct driver {
	struct virtio_dev dev;
	struct vq control_in, control_out, in, out;
};

static bool tell(struct driver *d, uint32_t id, uint16_t event)
{
	static struct virtio_console_control control;
	const struct vq_buf buf = { &control, sizeof(control), false };

	control = (struct virtio_console_control){ id, event, 1 };
	vq_add(&d->control_out, &buf, 1);
	vq_kick(&d->control_out);
	return vq_wait(&d->control_out, NULL) >= 0;
}

static bool open_device(struct driver *d)
{
	if (!virtio_find(&d->dev, VIRTIO_ID_CONSOLE, 0) ||
	    !virtio_negotiate(&d->dev, HOSTILE_RINGS | 1ull << VIRTIO_CONSOLE_F_MULTIPORT) ||
	    !vq_init(&d->control_in, &d->dev, CONTROL_IN, 0, VQ_POLLED) ||
	    !vq_init(&d->control_out, &d->dev, CONTROL_OUT, 0, VQ_POLLED) ||
	    !vq_init(&d->in, &d->dev, STDIN_QUEUE, 0, VQ_POLLED) ||
	    !vq_init(&d->out, &d->dev, STDOUT_QUEUE, 0, VQ_POLLED))
		return false;
	virtio_driver_ok(&d->dev);
	return true;
}

/* The first message is about the first port. */
static bool learn(struct driver *d)
{
	static struct virtio_console_control messages[8];
	uint32_t len;

	for (unsigned i = 0; i < 8; i++) {
		const struct vq_buf buf = { &messages[i], sizeof(messages[i]), true };

		vq_add(&d->control_in, &buf, 1);
	}
	vq_kick(&d->control_in);
	return tell(d, 0, VIRTIO_CONSOLE_DEVICE_READY) && vq_wait(&d->control_in, &len) >= 0 &&
	       len == sizeof(messages[0]) && messages[0].event == VIRTIO_CONSOLE_PORT_ADD;
}

static bool open_ports(struct driver *d)
{
	return tell(d, STDIN_PORT, VIRTIO_CONSOLE_PORT_READY) &&
	       tell(d, STDIN_PORT, VIRTIO_CONSOLE_PORT_OPEN) &&
	       tell(d, STDOUT_PORT, VIRTIO_CONSOLE_PORT_READY) &&
	       tell(d, STDOUT_PORT, VIRTIO_CONSOLE_PORT_OPEN);
}

static bool carry(struct driver *d)
{
	static char typed[64];
	const struct vq_buf in = { typed, sizeof(typed), true };
	const struct vq_buf out = { "said\n", 5, false };
	uint32_t len;

	vq_add(&d->in, &in, 1);
	vq_kick(&d->in);
	if (vq_wait(&d->in, &len) < 0 || len == 0 || len > sizeof(typed))
		return false;
	vq_add(&d->out, &out, 1);
	vq_kick(&d->out);
	return vq_wait(&d->out, NULL) >= 0;
}

bool hostile_honest_streams(void)
{
	static struct driver driver;

	return open_device(&driver) && learn(&driver) && open_ports(&driver) && carry(&driver);
}
