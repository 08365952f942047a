/*
 * The virtio console: prints on hvc0, echoes a line that is typed, and tells the terminal's size.
 * On the serial port nothing is said, so that what comes out has come by virtio.
 */
#include <linux/virtio_console.h>

#include "tests/guest/lib/virtio.h"

#define LINE_MAX 128
#define LONG_LEN 65536

enum { INPUT, OUTPUT };

static struct virtio_dev dev;
static struct vq in, out;

static void say(const char *text, uint32_t len)
{
	const struct vq_buf buf = { text, len, false };

	if (vq_add(&out, &buf, 1) < 0)
		guest_die("the output queue is full");
	vq_kick(&out);
	if (vq_wait(&out, NULL) < 0)
		guest_die("output is not taken");
}

static void say_line(const char *text)
{
	say(text, (uint32_t)guest_strlen(text));
}

/* A line as it is typed, in buffers of 8 bytes. */
static unsigned read_line(char *line)
{
	static char buffers[4][8];
	unsigned len = 0;
	int head, which[VQ_SIZE_MAX];

	for (int i = 0; i < 4; i++) {
		const struct vq_buf buf = { buffers[i], sizeof(buffers[i]), true };

		head = vq_add(&in, &buf, 1);
		which[head] = i;
	}
	vq_kick(&in);
	for (;;) {
		uint32_t part;

		head = vq_wait(&in, &part);
		if (head < 0)
			guest_die("nothing is typed");
		if (part > sizeof(buffers[0]) || len + part > LINE_MAX)
			guest_die("more than the buffer holds");
		memcpy(line + len, buffers[which[head]], part);
		len += part;
		if (line[len - 1] == '\n')
			return len;
		const struct vq_buf buf = { buffers[which[head]], sizeof(buffers[0]), true };
		int i = which[head];

		head = vq_add(&in, &buf, 1);
		which[head] = i;
		vq_kick(&in);
	}
}

static void echo(void)
{
	char line[LINE_MAX];
	unsigned len;

	say_line("type\n");
	len = read_line(line);
	say_line("typed: ");
	say(line, len);
}

static void say_number(uint64_t value)
{
	char digits[21];
	unsigned at = sizeof(digits);

	do {
		digits[--at] = (char)('0' + value % 10);
		value /= 10;
	} while (value);
	say(digits + at, (uint32_t)sizeof(digits) - at);
}

static void say_size(void)
{
	say_line("size ");
	say_number(virtio_config(&dev, offsetof(struct virtio_console_config, cols), 2));
	say_line(" ");
	say_number(virtio_config(&dev, offsetof(struct virtio_console_config, rows), 2));
	say_line("\n");
}

/* Says the size, then again when the device says that it has changed. */
static void resize(volatile uint64_t *changes)
{
	uint64_t seen = *changes, start = rdtsc();
	uint32_t generation = virtio_get(&dev, V_GENERATION);

	say_size();
	while (virtio_get(&dev, V_GENERATION) == generation)
		if (rdtsc() - start > VQ_PATIENCE)
			guest_die("the size does not change");
	while (*changes == seen)
		if (rdtsc() - start > VQ_PATIENCE)
			guest_die("no interrupt tells of the change");
	say_size();
}

/* More than any buffer on the way holds, in requests as long as a driver may like. */
static void flood(void)
{
	char *text = guest_alloc(LONG_LEN, 8);

	for (unsigned i = 0; i < LONG_LEN; i++)
		text[i] = (char)(i % 64 == 63 ? '\n' : '0' + i % 64);
	for (int i = 0; i < 4; i++)
		say(text, LONG_LEN);
}

int guest_main(void)
{
	volatile uint64_t *changes;

	if (!virtio_find(&dev, VIRTIO_ID_CONSOLE, 0))
		guest_die("there is no console");
	if (!virtio_negotiate(&dev,
			      1ull << VIRTIO_CONSOLE_F_SIZE | 1ull << VIRTIO_RING_F_EVENT_IDX))
		guest_die("the console takes no features");
	changes = virtio_config_interrupt(&dev);
	if (!vq_init(&in, &dev, INPUT, 0, VQ_INTERRUPT) ||
	    !vq_init(&out, &dev, OUTPUT, 0, VQ_INTERRUPT))
		guest_die("the console has no queues");
	virtio_driver_ok(&dev);
	say_line("hello on hvc0\n");
	if (guest_cmdline_has("echo"))
		echo();
	if (guest_cmdline_has("flood"))
		flood();
	if (guest_cmdline_has("resize"))
		resize(changes);
	return 0;
}
