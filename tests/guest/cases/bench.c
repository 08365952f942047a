/*
 * Load for benchmarks. The host says on the serial port what to do, one line a measurement (below),
 * the guest answers "ready", waits for a line, does it for so many ticks of the time stamp counter,
 * and prints "end OPERATIONS KICKS INTERRUPTS". Around the measured time nothing is said or asked,
 * so that what the host counts is the load alone.
 *
 *   blk PATTERN SIZE DEPTH WAIT TICKS   PATTERN: 0 random read, 1 random write, 2 sequential read,
 *                                       3 sequential write, 4 flush, 5 write and flush
 *   send SIZE WAIT TICKS                frames to the host, as many as go
 *   receive WAIT TICKS                  frames from the host
 *   ping SIZE WAIT TICKS                a frame to the host, and one back
 *   quit
 *
 * SIZE in bytes; WAIT 0: completions are polled for, 1: interrupts. With the word flood=TICKS on
 * the command line there is no asking: bytes go to the virtio console for that long.
 */
#include <linux/virtio_console.h>
#include <linux/virtio_net.h>

#include "tests/guest/lib/blk.h"
#include "tests/guest/lib/cpu.h"

#define LINE_MAX    128
#define DEPTH_MAX   128
#define FRAME_MAX   65550
#define GSO_SEGMENT 1448
#define HEADER_LEN  54 /* Ethernet, IPv4, TCP */
/* Between two looks at the serial port: each is an exit. */
#define LOOK_TICKS (1u << 21)
/* After a measurement, for the host to stop counting. */
#define QUIET_TICKS (1u << 28)

enum { RANDOM_READ, RANDOM_WRITE, READ, WRITE, FLUSH, WRITE_AND_FLUSH };
enum { RECEIVE_QUEUE, SEND_QUEUE };

static uint64_t random_state = 88172645463325252ull;

static uint64_t random_next(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

static void idle(uint64_t ticks)
{
	uint64_t start = rdtsc();

	while (rdtsc() - start < ticks)
		cpu_relax();
}

/* ---- what the host says ---- */

static const char *line_read(void)
{
	static char line[LINE_MAX];
	unsigned len = 0;

	for (;;) {
		int byte = serial_get(0);

		if (byte < 0) {
			idle(LOOK_TICKS);
			continue;
		}
		if (byte == '\n' || len == sizeof(line) - 1)
			break;
		line[len++] = (char)byte;
	}
	line[len] = '\0';
	return line;
}

/* Numbers behind the first word; those that are missing are 0. */
static void line_numbers(const char *line, uint64_t *numbers, unsigned count)
{
	while (*line && *line != ' ')
		line++;
	for (unsigned i = 0; i < count; i++) {
		while (*line == ' ')
			line++;
		numbers[i] = *line ? guest_number(line, &line) : 0;
	}
}

static bool line_is(const char *line, const char *word)
{
	size_t len = guest_strlen(word);

	for (size_t i = 0; i < len; i++)
		if (line[i] != word[i])
			return false;
	return line[len] == '\0' || line[len] == ' ';
}

struct measure {
	uint64_t start;
	uint64_t ticks;
	uint64_t operations;
	uint64_t kicks;
	uint64_t interrupts;
};

static uint64_t interrupt_count(void)
{
	uint64_t count = 0;

	for (unsigned i = CPU_VECTOR_FIRST; i < CPU_VECTOR_FIRST + CPU_VECTOR_COUNT; i++)
		count += cpu_interrupts[i];
	return count;
}

static void measure_start(struct measure *m, uint64_t ticks)
{
	print("ready\n");
	line_read();
	*m = (struct measure){ .start = rdtsc(), .ticks = ticks, .interrupts = interrupt_count() };
}

static bool measure_goes_on(const struct measure *m)
{
	return rdtsc() - m->start < m->ticks;
}

static void measure_end(const struct measure *m)
{
	print("end %lu %lu %lu\n", m->operations, m->kicks, interrupt_count() - m->interrupts);
	idle(QUIET_TICKS);
}

/* What is done next. */
static int take(struct vq *vq)
{
	int head = vq_wait(vq, NULL);

	if (head < 0)
		guest_die("the device does not answer");
	return head;
}

/* ---- disk ---- */

struct blk_load {
	struct blk blk;
	uint64_t pattern;
	uint32_t size;
	uint64_t next; /* sector of a sequential request */
	bool flush_next;
	uint8_t *buffers;
	unsigned buffer_of[VQ_SIZE_MAX]; /* by head */
};

static void blk_submit(struct blk_load *load, unsigned buffer)
{
	uint32_t sectors = load->size / 512;
	uint64_t places = load->blk.sectors / sectors;
	bool random = load->pattern == RANDOM_READ || load->pattern == RANDOM_WRITE ||
		      load->pattern == WRITE_AND_FLUSH;
	uint64_t place = random ? random_next() % places : load->next++ % places;
	bool read = load->pattern == RANDOM_READ || load->pattern == READ;
	bool flush = load->pattern == FLUSH || load->flush_next;
	uint32_t type = read ? VIRTIO_BLK_T_IN : VIRTIO_BLK_T_OUT;
	int head = blk_add(&load->blk, 0, flush ? VIRTIO_BLK_T_FLUSH : type,
			   flush ? 0 : place * sectors, load->buffers + (size_t)buffer * load->size,
			   flush ? 0 : load->size, read);

	if (head < 0)
		guest_die("the ring is full");
	load->buffer_of[head] = buffer;
	load->flush_next = load->pattern == WRITE_AND_FLUSH && !flush;
}

/* Keeps DEPTH requests in flight; what finishes together is replaced together. */
static void blk_measure(const char *line)
{
	static struct blk_load load;
	uint64_t n[5];
	struct measure m;
	size_t mark = guest_alloc_mark();
	uint64_t features = 1ull << VIRTIO_RING_F_EVENT_IDX | 1ull << VIRTIO_RING_F_INDIRECT_DESC;

	line_numbers(line, n, 5);
	if (!n[1] || n[1] % 512 || !n[2] || n[2] > DEPTH_MAX)
		guest_die("no such load");
	load = (struct blk_load){ .pattern = n[0], .size = (uint32_t)n[1] };
	load.buffers = guest_alloc(n[1] * n[2], 4096);
	if (!blk_open(&load.blk, 0, features, n[3] ? VQ_INTERRUPT : VQ_POLLED))
		guest_die("there is no disk");
	measure_start(&m, n[4]);
	for (unsigned i = 0; i < n[2]; i++)
		blk_submit(&load, i);
	vq_kick(&load.blk.vq[0]);
	for (uint64_t inflight = n[2]; inflight;) {
		int head = take(&load.blk.vq[0]);
		bool more = measure_goes_on(&m);

		do {
			if (load.blk.status[0][head] != VIRTIO_BLK_S_OK)
				guest_die("a request failed");
			m.operations++;
			if (more)
				blk_submit(&load, load.buffer_of[head]);
			else
				inflight--;
			head = vq_take(&load.blk.vq[0], NULL);
		} while (head >= 0);
		vq_kick(&load.blk.vq[0]);
	}
	m.kicks = load.blk.vq[0].kicks;
	measure_end(&m);
	virtio_reset(&load.blk.dev);
	guest_alloc_back_to(mark);
}

/* ---- network ---- */

struct net_load {
	struct virtio_dev dev;
	struct vq receive, send;
	uint8_t *receive_buffers;
	uint32_t receive_len;
};

#define NET_HEADER_LEN sizeof(struct virtio_net_hdr_mrg_rxbuf)

static void put16(uint8_t *at, unsigned value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

/*
 * A frame of SIZE bytes with its virtio header: up to 1514 of an experimental Ethernet type for
 * nobody; larger ones are TCP, to be segmented.
 */
static uint8_t *frame_make(uint32_t size)
{
	uint8_t *buffer = guest_alloc(NET_HEADER_LEN + FRAME_MAX, 64);
	uint8_t *frame = buffer + NET_HEADER_LEN, *ip = frame + 14;
	struct virtio_net_hdr *header = (struct virtio_net_hdr *)buffer;

	memcpy(frame, "\x02\x00\x00\x00\x00\x01\x02\x00\x00\x00\x00\x02\x88\xb5", 14);
	if (size <= 1514)
		return buffer;
	header->flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
	header->gso_type = VIRTIO_NET_HDR_GSO_TCPV4;
	header->hdr_len = HEADER_LEN;
	header->gso_size = GSO_SEGMENT;
	header->csum_start = 34;
	header->csum_offset = 16;
	put16(frame + 12, 0x0800);
	ip[0] = 0x45;
	put16(ip + 2, size - 14);
	ip[8] = 64;
	ip[9] = 6;
	ip[20 + 12] = 0x50;
	return buffer;
}

static void net_give(struct net_load *load, unsigned i)
{
	struct vq_buf buf = { load->receive_buffers + (size_t)i * load->receive_len,
			      load->receive_len, true };

	if (vq_add(&load->receive, &buf, 1) < 0)
		guest_die("the receive ring is full");
}

static void net_open(struct net_load *load, bool wait)
{
	uint64_t wanted = 1ull << VIRTIO_RING_F_EVENT_IDX | 1ull << VIRTIO_NET_F_CSUM |
			  1ull << VIRTIO_NET_F_HOST_TSO4 | 1ull << VIRTIO_NET_F_MRG_RXBUF |
			  1ull << VIRTIO_NET_F_GUEST_CSUM | 1ull << VIRTIO_NET_F_GUEST_TSO4;
	unsigned flags = wait ? VQ_INTERRUPT : VQ_POLLED;

	*load = (struct net_load){ .receive_len = 2048 };
	if (!virtio_find(&load->dev, VIRTIO_ID_NET, 0) || !virtio_negotiate(&load->dev, wanted) ||
	    !vq_init(&load->receive, &load->dev, RECEIVE_QUEUE, 0, flags) ||
	    !vq_init(&load->send, &load->dev, SEND_QUEUE, 0, flags))
		guest_die("there is no network card");
	load->receive_buffers = guest_alloc((size_t)load->receive_len * load->receive.size, 64);
	virtio_driver_ok(&load->dev);
	/* Heads of single descriptors come in order, so that a buffer can be known by its head. */
	for (unsigned i = 0; i < load->receive.size; i++)
		net_give(load, i);
	vq_kick(&load->receive);
}

static void net_start(struct net_load *load, struct measure *m, uint64_t ticks)
{
	measure_start(m, ticks);
	load->send.kicks = load->receive.kicks = 0;
}

static void net_begin(struct net_load *load, bool wait, struct measure *m, uint64_t ticks)
{
	net_open(load, wait);
	net_start(load, m, ticks);
}

/* A frame of LEN bytes behind its header, to be sent. */
static struct vq_buf net_frame(uint64_t len, uint64_t max)
{
	if (len < 14 || len > max)
		guest_die("no such frame");
	return (struct vq_buf){ frame_make((uint32_t)len), (uint32_t)(len + NET_HEADER_LEN),
				false };
}

static void net_end(struct net_load *load, struct measure *m)
{
	m->kicks = load->send.kicks + load->receive.kicks;
	measure_end(m);
	virtio_reset(&load->dev);
}

static void send_measure(const char *line)
{
	static struct net_load load;
	uint64_t n[3];
	struct measure m;
	size_t mark = guest_alloc_mark();
	struct vq_buf buf;

	line_numbers(line, n, 3);
	buf = net_frame(n[0], FRAME_MAX);
	net_begin(&load, n[1], &m, n[2]);
	while (measure_goes_on(&m)) {
		/* Half a ring at a time, as a busy driver with a queue of its own behind it. */
		while (load.send.free_count > load.send.size / 2)
			vq_add(&load.send, &buf, 1);
		vq_kick(&load.send);
		take(&load.send);
		m.operations++;
		while (vq_take(&load.send, NULL) >= 0)
			m.operations++;
	}
	net_end(&load, &m);
	guest_alloc_back_to(mark);
}

/* A frame that came, in one buffer or several, is looked at no further. */
static void net_give_back(struct net_load *load, int head)
{
	const struct virtio_net_hdr_mrg_rxbuf *header =
		(const void *)(load->receive_buffers + (size_t)head * load->receive_len);

	for (unsigned more = header->num_buffers; more > 1; more--)
		net_give(load, (unsigned)take(&load->receive));
	net_give(load, (unsigned)head);
}

/* What a flood has left in the host's queue is in the way of answers, which the host drops when
 * that is full. */
static void net_drain(struct net_load *load)
{
	uint64_t since = rdtsc();

	while (rdtsc() - since < QUIET_TICKS) {
		int head = vq_take(&load->receive, NULL);

		if (head < 0)
			continue;
		net_give_back(load, head);
		vq_kick(&load->receive);
		since = rdtsc();
	}
}

static void receive_measure(const char *line)
{
	static struct net_load load;
	uint64_t n[2];
	struct measure m;
	size_t mark = guest_alloc_mark();

	line_numbers(line, n, 2);
	net_begin(&load, n[0], &m, n[1]);
	while (measure_goes_on(&m)) {
		int head = take(&load.receive);

		do {
			net_give_back(&load, head);
			m.operations++;
			head = vq_take(&load.receive, NULL);
		} while (head >= 0);
		vq_kick(&load.receive);
	}
	net_end(&load, &m);
	guest_alloc_back_to(mark);
}

/* Frame NUMBER; older ones, which were still on the way, would only keep the wire full. */
static void ping_await(struct net_load *load, uint32_t number)
{
	for (bool seen = false; !seen;) {
		int head = take(&load->receive);
		const uint8_t *frame =
			load->receive_buffers + (size_t)head * load->receive_len + NET_HEADER_LEN;

		seen = *(const volatile uint32_t *)(frame + 14) == number;
		net_give_back(load, head);
		vq_kick(&load->receive);
	}
}

static void ping_measure(const char *line)
{
	static struct net_load load;
	uint64_t n[3];
	struct measure m;
	size_t mark = guest_alloc_mark();
	struct vq_buf buf;

	line_numbers(line, n, 3);
	buf = net_frame(n[0], 1514);
	net_open(&load, n[1]);
	net_drain(&load);
	net_start(&load, &m, n[2]);
	while (measure_goes_on(&m)) {
		uint32_t *number = (uint32_t *)((uint8_t *)buf.at + NET_HEADER_LEN + 14);

		while (vq_take(&load.send, NULL) >= 0)
			;
		++*number;
		vq_add(&load.send, &buf, 1);
		vq_kick(&load.send);
		ping_await(&load, *number);
		m.operations++;
	}
	net_end(&load, &m);
	guest_alloc_back_to(mark);
}

/* ---- console ---- */

static void console_flood(uint64_t ticks)
{
	static struct virtio_dev dev;
	static struct vq out;
	struct measure m = { .start = rdtsc(), .ticks = ticks };
	const uint32_t len = 4096;
	char *text = guest_alloc(len, 64);
	struct vq_buf buf = { text, len, false };

	memset(text, 'x', len);
	for (unsigned i = 79; i < len; i += 80)
		text[i] = '\n';
	if (!virtio_find(&dev, VIRTIO_ID_CONSOLE, 0) ||
	    !virtio_negotiate(&dev, 1ull << VIRTIO_RING_F_EVENT_IDX) ||
	    !vq_init(&out, &dev, 1, 0, VQ_POLLED))
		guest_die("there is no console");
	virtio_driver_ok(&dev);
	while (measure_goes_on(&m)) {
		while (out.free_count > out.size / 2)
			vq_add(&out, &buf, 1);
		vq_kick(&out);
		take(&out);
		while (vq_take(&out, NULL) >= 0)
			;
	}
	while (out.free_count < out.size)
		take(&out);
}

int guest_main(void)
{
	uint64_t ticks = guest_cmdline_number("flood=", 0);

	if (ticks) {
		console_flood(ticks);
		return 0;
	}
	print("bench\n");
	for (;;) {
		const char *line = line_read();

		if (line_is(line, "blk"))
			blk_measure(line);
		else if (line_is(line, "send"))
			send_measure(line);
		else if (line_is(line, "receive"))
			receive_measure(line);
		else if (line_is(line, "ping"))
			ping_measure(line);
		else if (line_is(line, "quit"))
			return 0;
		else
			guest_die("what is that?");
	}
}
