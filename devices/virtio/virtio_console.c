/*
 * virtio console device (virtio 1.2, section 5.3). Features: SIZE. Everything but create, destroy
 * and the config space runs on the loop's thread.
 *
 * Output: each chain is handed to the port, which gathers what comes in one round and writes it
 * once. A chain that the port has no room for is held, with a note of how far it got; nothing is
 * popped meanwhile, so that the guest waits instead of losing output. A chain may name gigabytes,
 * the same ones many times over: TURN_LEN bytes are written before the loop does something else.
 *
 * Input: the port offers bytes and keeps what finds no buffer; the driver's next kick asks for it.
 */
#include "devices/virtio/virtio_console.h"

#include <linux/virtio_console.h>
#include <string.h>

#define QUEUE_SIZE 256
#define TURN_LEN   65536u

enum { QUEUE_INPUT, QUEUE_OUTPUT, QUEUE_COUNT };

struct virtio_console {
	struct virtio_device dev;
	struct char_port *port;
	struct virtio_console_config config; /* under the device's config lock */

	/* The output chain that the port could not take yet; output queue's loop. */
	bool held;
	struct virtqueue_chain chain;
	struct iovec iov[VIRTQUEUE_SIZE_MAX];
	unsigned iov_next; /* first part with bytes left */
};

static struct virtio_console *to_console(struct virtio_device *dev)
{
	return container_of(dev, struct virtio_console, dev);
}

/* ---- output ---- */

/* Gives the chain's bytes to the port, *TURN at most, and takes them off that. True when all were
 * taken. */
static bool write_chain(struct virtio_console *console, size_t *turn)
{
	while (console->iov_next < console->chain.readable_count) {
		struct iovec *part = &console->iov[console->iov_next];
		size_t len = part->iov_len < *turn ? part->iov_len : *turn;
		size_t taken = char_write(console->port, part->iov_base, len);

		*turn -= taken;
		if (taken < part->iov_len) {
			part->iov_base = (uint8_t *)part->iov_base + taken;
			part->iov_len -= taken;
			return false;
		}
		console->iov_next++;
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

static void output_kick(struct virtio_console *console, struct virtio_queue *q)
{
	size_t turn = TURN_LEN;

	while (console->held ||
	       virtio_queue_pop(q, console->iov, ARRAY_SIZE(console->iov), &console->chain) > 0) {
		if (!console->held)
			console->iov_next = 0;
		console->held = !write_chain(console, &turn);
		if (console->held && !turn)
			kick_again(q);
		if (console->held)
			return; /* the port says when it has room */
		virtio_queue_push(q, console->chain.head, 0);
	}
}

static void front_writable(void *front)
{
	struct virtio_console *console = front;

	if (console->held)
		output_kick(console, &console->dev.queues[QUEUE_OUTPUT]);
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
	struct virtio_console *console = front;
	struct virtio_queue *q = &console->dev.queues[QUEUE_INPUT];
	struct iovec iov[16]; /* Linux offers one part */
	struct virtqueue_chain chain;
	size_t taken = 0;

	while (taken < len && virtio_queue_pop(q, iov, ARRAY_SIZE(iov), &chain) > 0) {
		size_t part = fill_chain(iov + chain.readable_count, chain.writable_count,
					 data + taken, len - taken);

		taken += part;
		virtio_queue_push(q, chain.head, (uint32_t)part);
	}
	return taken;
}

static void front_resize(void *front, uint16_t columns, uint16_t rows)
{
	struct virtio_console *console = front;

	virtio_config_lock(&console->dev);
	console->config.cols = columns;
	console->config.rows = rows;
	virtio_config_changed(&console->dev);
	virtio_config_unlock(&console->dev);
}

/* ---- the device ---- */

static void console_queue_kick(struct virtio_queue *q)
{
	struct virtio_console *console = to_console(q->dev);

	if (q->index == QUEUE_OUTPUT) {
		output_kick(console, q);
		return;
	}
	/* A new buffer matters only to input that waits for one: popping for it asks again. */
	virtqueue_disable_notify(&q->vq);
	char_input_ready(console->port);
}

static void console_queue_stop(struct virtio_queue *q)
{
	struct virtio_console *console = to_console(q->dev);

	if (q->index != QUEUE_OUTPUT || !console->held)
		return;
	console->held = false;
	virtio_queue_push(q, console->chain.head, 0);
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

static const struct char_front_ops console_front_ops = {
	.input = front_input,
	.writable = front_writable,
	.resize = front_resize,
};

int virtio_console_create(struct virtio_console **out, const struct guest_mem *mem,
			  struct loop *loop, struct char_port *port)
{
	struct virtio_console *console = calloc(1, sizeof(*console));
	uint16_t columns, rows;
	int ret;

	if (!console)
		return log_errno(ENOMEM, "virtio-console: allocate");
	ret = virtio_device_init(&console->dev, &console_ops, mem, loop,
				 1ull << VIRTIO_CONSOLE_F_SIZE, QUEUE_COUNT, QUEUE_SIZE);
	if (ret < 0) {
		free(console);
		return ret;
	}
	console->port = port;
	console->config.max_nr_ports = 1;
	if (char_get_size(port, &columns, &rows)) {
		console->config.cols = columns;
		console->config.rows = rows;
	}
	if (port) {
		port->front = console;
		port->front_ops = &console_front_ops;
	}
	*out = console;
	return 0;
}

void virtio_console_destroy(struct virtio_console *console)
{
	if (!console)
		return;
	if (console->port)
		console->port->front_ops = NULL;
	virtio_device_fini(&console->dev);
	free(console);
}

struct virtio_device *virtio_console_device(struct virtio_console *console)
{
	return &console->dev;
}
