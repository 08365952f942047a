/*
 * The frame of the hostile cases: targets, honest drivers before and after, the second disk.
 */
#include "tests/guest/lib/hostile.h"

#include <linux/virtio_balloon.h>
#include <linux/virtio_console.h>

#include "tests/guest/lib/blk.h"
#include "tests/guest/lib/cpu.h"
#include "tests/guest/lib/net.h"

#define SECTOR	     512u
#define SETTLE_TICKS 1000000ull
#define BREAK_TICKS  VQ_PATIENCE
#define HOST_TICKS   (8 * VQ_TICKS)
#define CONSOLE_TEXT 65536u

uint8_t *hostile_scratch;

static struct blk second;
static bool second_runs;
static bool on_console; /* results are told at the end */
static char console_text[CONSOLE_TEXT];
static uint32_t console_len;
static uint64_t random_state = 0x9e3779b97f4a7c15ull;

uint64_t hostile_random_number(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

/* ---- honest drivers ---- */

static bool disk_works(struct blk *blk)
{
	static uint8_t out[SECTOR], in[SECTOR];
	static uint8_t seed;
	uint64_t sector = hostile_random_number() % 1024;

	memset(out, ++seed, sizeof(out));
	memset(in, 0, sizeof(in));
	return blk_do(blk, 0, VIRTIO_BLK_T_OUT, sector, out, sizeof(out)) == VIRTIO_BLK_S_OK &&
	       blk_do(blk, 0, VIRTIO_BLK_T_IN, sector, in, sizeof(in)) == VIRTIO_BLK_S_OK &&
	       !memcmp(in, out, sizeof(in));
}

static bool honest_blk(void)
{
	static struct blk blk;

	return blk_open(&blk, 0, HOSTILE_RINGS, VQ_POLLED) && disk_works(&blk);
}

static bool honest_rng(void)
{
	struct virtio_dev dev;
	struct vq vq;
	static uint8_t bytes[64];
	const struct vq_buf buf = { bytes, sizeof(bytes), true };
	uint32_t len;

	if (!virtio_find(&dev, VIRTIO_ID_RNG, 0) || !virtio_negotiate(&dev, HOSTILE_RINGS) ||
	    !vq_init(&vq, &dev, 0, 0, VQ_POLLED))
		return false;
	virtio_driver_ok(&dev);
	vq_add(&vq, &buf, 1);
	vq_kick(&vq);
	return vq_wait(&vq, &len) >= 0 && len > 0 && len <= sizeof(bytes);
}

static bool honest_net(void)
{
	static struct net net = { .ours = NET_ADDR(10, 9, 0, 2), .peer = NET_ADDR(10, 9, 0, 1) };

	/* The other side is the host's own network stack, which may drop a frame: once is not a
	 * verdict. */
	for (unsigned tries = 0; tries < 2; tries++) {
		if (net_open(&net, 0, HOSTILE_RINGS, VQ_POLLED) && net_arp(&net) &&
		    net_ping(&net, (uint16_t)hostile_random_number(), 100))
			return true;
		print("# an honest ping got no answer in try %d\n", tries + 1);
	}
	return false;
}

static bool balloon_do(struct vq *vq, const void *at, uint32_t len, bool write)
{
	const struct vq_buf buf = { at, len, write };

	vq_add(vq, &buf, 1);
	vq_kick(vq);
	return vq_wait(vq, NULL) >= 0;
}

static bool honest_balloon(void)
{
	static uint8_t pages[4][4096] __attribute__((aligned(4096)));
	static const unsigned queues[] = { 0, 1, 4 }; /* inflate, deflate, reports */
	const uint32_t pfn = (uint32_t)((uint64_t)pages[2] >> 12);
	volatile uint8_t *reported = pages[1], *inflated = pages[2];
	struct virtio_dev dev;
	static struct vq vq[3];

	if (!virtio_find(&dev, VIRTIO_ID_BALLOON, 0) ||
	    !virtio_negotiate(&dev, HOSTILE_RINGS | 1ull << VIRTIO_BALLOON_F_REPORTING))
		return false;
	for (unsigned i = 0; i < 3; i++)
		if (!vq_init(&vq[i], &dev, queues[i], 0, VQ_POLLED))
			return false;
	virtio_driver_ok(&dev);
	memset(pages, 1, sizeof(pages));
	return balloon_do(&vq[2], pages[1], 4096, true) && !*reported && *inflated &&
	       balloon_do(&vq[0], &pfn, sizeof(pfn), false) && !*inflated &&
	       balloon_do(&vq[1], &pfn, sizeof(pfn), false) && pages[0][4095] && pages[3][0];
}

static struct vq console_in, console_out;

static bool console_say(const char *text, uint32_t len)
{
	const struct vq_buf buf = { text, len, false };

	vq_add(&console_out, &buf, 1);
	vq_kick(&console_out);
	return vq_wait(&console_out, NULL) >= 0;
}

static bool console_open(bool typed_to)
{
	static struct virtio_dev dev;
	static uint8_t typed[64];
	const struct vq_buf buf = { typed, sizeof(typed), true };
	uint32_t len;

	if (!virtio_find(&dev, VIRTIO_ID_CONSOLE, 0) || !virtio_negotiate(&dev, HOSTILE_RINGS) ||
	    !vq_init(&console_in, &dev, 0, 0, VQ_POLLED) ||
	    !vq_init(&console_out, &dev, 1, 0, VQ_POLLED))
		return false;
	virtio_driver_ok(&dev);
	vq_add(&console_in, &buf, 1);
	vq_kick(&console_in);
	return console_say("\n", 1) && (!typed_to || (vq_wait(&console_in, &len) >= 0 && len > 0));
}

static bool honest_console(void)
{
	/* Somebody types all the time. */
	return console_open(true);
}

/* ---- targets ---- */

/* Asks the host for an answer, which goes into the receive queue. */
static void poke_receive(struct target *target)
{
	static uint8_t frame[NET_HDR_LEN + 60];
	const struct vq_buf buf = { frame, sizeof(frame), false };
	/* ARP: who has 10.9.0.1, tell 10.9.0.2. */
	static const uint8_t arp[] = {
		0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0,  0, 0, 0, 9, 8, 6, 0, 1, 8, 0,  6, 4, 0,
		1,    2,    0,	  0,	0,    0,    9, 10, 9, 0, 2, 0, 0, 0, 0, 0, 0, 10, 9, 0, 1
	};

	memcpy(frame + NET_HDR_LEN, arp, sizeof(arp));
	if (vq_add(&target->vq[1], &buf, 1) >= 0)
		vq_kick(&target->vq[1]);
}

struct target hostile_targets[] = {
	{ .name = "blk", .device_id = VIRTIO_ID_BLOCK, .eager = true, .honest = honest_blk },
	{ .name = "net receive",
	  .device_id = VIRTIO_ID_NET,
	  .honest = honest_net,
	  .poke = poke_receive },
	{ .name = "net send",
	  .device_id = VIRTIO_ID_NET,
	  .queue = 1,
	  .eager = true,
	  .honest = honest_net },
	{ .name = "net control",
	  .device_id = VIRTIO_ID_NET,
	  .queue = 2,
	  .eager = true,
	  .features = 1ull << 17, /* VIRTIO_NET_F_CTRL_VQ */
	  .honest = honest_net },
	{ .name = "rng", .device_id = VIRTIO_ID_RNG, .eager = true, .honest = honest_rng },
	{ .name = "console input", .device_id = VIRTIO_ID_CONSOLE, .honest = honest_console },
	{ .name = "console output",
	  .device_id = VIRTIO_ID_CONSOLE,
	  .queue = 1,
	  .eager = true,
	  .honest = honest_console },
	/* As Linux counts; the honest driver uses the specification's number. */
	{ .name = "balloon reports",
	  .device_id = VIRTIO_ID_BALLOON,
	  .queue = 2,
	  .eager = true,
	  .features = 1ull << VIRTIO_BALLOON_F_REPORTING,
	  .honest = honest_balloon },
	{ .name = "balloon inflate",
	  .device_id = VIRTIO_ID_BALLOON,
	  .eager = true,
	  .honest = honest_balloon },
	{ .name = "balloon deflate",
	  .device_id = VIRTIO_ID_BALLOON,
	  .queue = 1,
	  .eager = true,
	  .honest = honest_balloon },
	/* The other ports are as the console; and a lie on the relay's own ends the machine. */
	{ .name = "streams control in",
	  .device_id = VIRTIO_ID_CONSOLE,
	  .queue = 2,
	  .streams = true,
	  .features = 1ull << VIRTIO_CONSOLE_F_MULTIPORT,
	  .honest = hostile_honest_streams },
	{ .name = "streams control out",
	  .device_id = VIRTIO_ID_CONSOLE,
	  .queue = 3,
	  .eager = true,
	  .streams = true,
	  .features = 1ull << VIRTIO_CONSOLE_F_MULTIPORT,
	  .honest = hostile_honest_streams },
};
const unsigned hostile_target_count = sizeof(hostile_targets) / sizeof(hostile_targets[0]);

bool hostile_is_here(const struct target *target)
{
	return (target->device_id == VIRTIO_ID_CONSOLE) == on_console &&
	       target->streams == guest_cmdline_has("streams");
}

struct target *hostile_target_of(uint16_t device_id)
{
	for (unsigned i = 0; i < hostile_target_count; i++)
		if (hostile_targets[i].device_id == device_id)
			return &hostile_targets[i];
	guest_die("no such target");
}

bool hostile_open(struct target *target, uint64_t features, bool before_ok)
{
	if (!virtio_find(&target->dev, target->device_id, 0))
		guest_die("a device is missing");
	if (!virtio_negotiate(&target->dev, features | target->features))
		return false;
	target->queue_count = 0;
	for (unsigned i = 0; i < HOSTILE_QUEUES_MAX; i++) {
		unsigned flags = before_ok && i == target->queue ? VQ_NOT_ENABLED : VQ_POLLED;

		if (vq_init(&target->vq[i], &target->dev, i, 0, flags))
			target->queue_count = i + 1;
	}
	if (target->queue >= target->queue_count)
		guest_die("a queue is missing");
	if (!before_ok)
		virtio_driver_ok(&target->dev);
	return true;
}

bool hostile_settle(struct target *target)
{
	const struct vq *vq = &target->vq[target->queue];
	uint64_t start = rdtsc();

	while (rdtsc() - start < SETTLE_TICKS) {
		if (virtio_needs_reset(&target->dev))
			return true;
		if (*(volatile uint16_t *)&vq->used->idx)
			return false;
	}
	return false;
}

static void say(bool good, const char *name, const char *attack)
{
	check_failures += !good;
	if (!on_console) {
		print("%s hostile %s: %s\n", good ? "ok" : "FAIL", name, attack);
		return;
	}
	const char *parts[] = { good ? "ok hostile " : "FAIL hostile ", name, ": ", attack, "\n" };

	for (unsigned i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		for (const char *at = parts[i]; *at && console_len < CONSOLE_TEXT; at++)
			console_text[console_len++] = *at;
}

void hostile_verdict(struct target *target, const char *attack, bool already_bad)
{
	bool reset = virtio_reset(&target->dev);
	bool honest = reset && target->honest();
	bool others = !second_runs || disk_works(&second);

	say(!already_bad && reset && honest && others, target->name, attack);
	if (!reset || !honest || !others || already_bad)
		print("# reset %d, honest driver %d, second disk %d, in time %d\n", reset, honest,
		      others, !already_bad);
}

static bool breaks_in_time(struct target *target)
{
	uint64_t start = rdtsc();

	while (!virtio_needs_reset(&target->dev))
		if (rdtsc() - start > BREAK_TICKS)
			return false;
	return true;
}

void hostile_clear(const struct target *target)
{
	if (target->device_id == VIRTIO_ID_BALLOON)
		memset(hostile_scratch, 0, HOSTILE_SCRATCH_LEN);
}

void hostile_attack(struct target *target, const struct attack *attack)
{
	size_t mark = guest_alloc_mark();
	struct vq *vq = &target->vq[target->queue];
	bool bad = !hostile_open(target, attack->plain_only ? 0 : HOSTILE_RINGS, attack->before_ok);

	hostile_clear(target);
	attack->run(vq);
	if (attack->before_ok)
		virtio_driver_ok(&target->dev);
	vq_notify(vq);
	if (target->poke)
		target->poke(target);
	if (attack->breaks && target->eager)
		bad = bad || !breaks_in_time(target);
	else
		(void)hostile_settle(target);
	hostile_verdict(target, attack->name, bad);
	guest_alloc_back_to(mark);
}

/* ---- the host takes its measure ---- */

/* The host answers with a byte once it has read how much memory the monitor has. */
static void measure(void)
{
	if (on_console)
		return;
	print("measure\n");
	if (serial_get(HOST_TICKS) < 0)
		guest_die("the host does not answer");
}

void hostile_begin(void)
{
	size_t mark;

	on_console = guest_cmdline_has("console");
	/* All memory that will be used, and every device, once. */
	mark = guest_alloc_mark();
	(void)guest_alloc(GUEST_HEAP_LEN - mark - 4096, 1);
	guest_alloc_back_to(mark);
	hostile_scratch = guest_alloc(HOSTILE_SCRATCH_LEN, 4096);
	second_runs = blk_open(&second, on_console && !guest_cmdline_has("streams") ? 0 : 1,
			       HOSTILE_RINGS, VQ_POLLED);
	if (!second_runs || !disk_works(&second))
		guest_die("the second disk does not work");
	mark = guest_alloc_mark();
	for (unsigned i = 0; i < hostile_target_count; i++)
		if (hostile_is_here(&hostile_targets[i]) && !hostile_targets[i].honest())
			guest_die("a device does not work to begin with");
	guest_alloc_back_to(mark);
	measure();
}

void hostile_end(void)
{
	if (on_console) {
		if (!console_open(!guest_cmdline_has("streams")))
			guest_die("the console does not work any more");
		(void)console_say("\n", 1);
		(void)console_say(console_text, console_len);
	}
	measure();
}
