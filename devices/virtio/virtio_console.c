/*
 * virtio console device (virtio 1.2, section 5.3). Features: SIZE; MULTIPORT where there is more
 * than one port. Its ports are in console_port.c, the control queues in console_control.c. Create,
 * destroy and the config space are called on the main and the vCPU threads, all else on the loop's.
 */
#include "devices/virtio/virtio_console.h"

#include <assert.h>
#include <string.h>

#include "devices/virtio/console_port.h"

#define QUEUE_SIZE 256
/* Linux fills each input queue with pages: ports that few bytes go to must not cost megabytes. A
 * chain of output may have as many parts as a pipe has. */
#define CONSOLE_IN_SIZE	 32 /* a Linux guest keeps a page for each */
#define CONTROL_IN_SIZE	 16
#define CONTROL_OUT_SIZE 16
#define NAMED_OUT_SIZE	 64

static struct virtio_console *to_console(struct virtio_device *dev)
{
	return container_of(dev, struct virtio_console, dev);
}

static bool is_control(const struct virtio_queue *q)
{
	return q->index == CONSOLE_QUEUE_CONTROL_IN || q->index == CONSOLE_QUEUE_CONTROL_OUT;
}

static struct console_port *port_of(const struct virtio_queue *q)
{
	return &to_console(q->dev)->ports[q->index < 2 ? 0 : q->index / 2 - 1];
}

static void console_queue_kick(struct virtio_queue *q)
{
	if (is_control(q))
		console_control_kick(to_console(q->dev), q);
	else
		console_port_kick(port_of(q), q);
}

static void console_queue_stop(struct virtio_queue *q)
{
	if (is_control(q))
		console_control_stop(to_console(q->dev), q);
	else
		console_port_stop(port_of(q), q);
}

static void console_config_read(struct virtio_device *dev, uint32_t offset, void *data,
				uint32_t len)
{
	memcpy(data, (const uint8_t *)&to_console(dev)->config + offset, len);
}

static const struct virtio_device_ops console_ops = {
	.name = "virtio-console",
	.device_id = VIRTIO_ID_CONSOLE,
	.pci_class = 0x078000, /* communication controller, other */
	.config_len = sizeof(struct virtio_console_config),
	.config_read = console_config_read,
	.queue_kick = console_queue_kick,
	.queue_stop = console_queue_stop,
};

static void limit_queue(struct virtio_console *console, unsigned index, uint16_t size)
{
	virtqueue_init(&console->dev.queues[index].vq, console->dev.mem, size);
}

static void init_port(struct virtio_console *console, unsigned index,
		      const struct virtio_console_port *given)
{
	struct console_port *port = &console->ports[index];
	unsigned queue = index == 0 ? 0 : 2 + 2 * index;

	assert(!given->name == (index == 0));
	assert(!given->name || strlen(given->name) <= VIRTIO_CONSOLE_NAME_MAX);
	port->console = console;
	port->name = given->name;
	port->port = given->port;
	port->in = &console->dev.queues[queue];
	port->out = &console->dev.queues[queue + 1];
	if (port->name) {
		limit_queue(console, queue, given->in_size ? given->in_size : QUEUE_SIZE);
		limit_queue(console, queue + 1, NAMED_OUT_SIZE);
	} else {
		limit_queue(console, queue, CONSOLE_IN_SIZE);
	}
	if (port->port) {
		port->port->front = port;
		port->port->front_ops = &console_port_front_ops;
	}
}

static void init_config(struct virtio_console *console)
{
	uint16_t columns, rows;

	console->config.max_nr_ports = console->port_count;
	if (char_get_size(console->ports[0].port, &columns, &rows)) {
		console->config.cols = columns;
		console->config.rows = rows;
	}
}

int virtio_console_create(struct virtio_console **out, const struct guest_mem *mem,
			  struct loop *loop, const struct virtio_console_port *ports,
			  unsigned port_count)
{
	struct virtio_console *console = calloc(1, sizeof(*console));
	uint64_t features = 1ull << VIRTIO_CONSOLE_F_SIZE;
	unsigned queue_count = port_count > 1 ? 2 * (port_count + 1) : 2;
	int ret;

	assert(port_count >= 1 && port_count <= VIRTIO_CONSOLE_PORTS_MAX);
	if (console)
		console->ports = calloc(port_count, sizeof(*console->ports));
	if (!console || !console->ports) {
		free(console);
		return log_errno(ENOMEM, "virtio-console: allocate");
	}
	if (port_count > 1)
		features |= 1ull << VIRTIO_CONSOLE_F_MULTIPORT;
	ret = virtio_device_init(&console->dev, &console_ops, mem, loop, features,
				 (uint16_t)queue_count, QUEUE_SIZE);
	if (ret < 0) {
		free(console->ports);
		free(console);
		return ret;
	}
	console->port_count = port_count;
	for (unsigned i = 0; i < port_count; i++)
		init_port(console, i, &ports[i]);
	if (port_count > 1) {
		limit_queue(console, CONSOLE_QUEUE_CONTROL_IN, CONTROL_IN_SIZE);
		limit_queue(console, CONSOLE_QUEUE_CONTROL_OUT, CONTROL_OUT_SIZE);
	}
	init_config(console);
	*out = console;
	return 0;
}

void virtio_console_destroy(struct virtio_console *console)
{
	if (!console)
		return;
	for (unsigned i = 0; i < console->port_count; i++)
		if (console->ports[i].port)
			console->ports[i].port->front_ops = NULL;
	virtio_device_fini(&console->dev);
	free(console->ports);
	free(console);
}

struct virtio_device *virtio_console_device(struct virtio_console *console)
{
	return &console->dev;
}
