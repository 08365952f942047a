/*
 * Memory that is given away while devices work with it: the second CPU reports pages free to the
 * balloon, again and again, that requests in flight read and write, or that hold the rings.
 */
#include <linux/virtio_balloon.h>

#include "tests/guest/lib/blk.h"
#include "tests/guest/lib/cpu.h"
#include "tests/guest/lib/hostile.h"

#define REPORTS	   4u /* the queue, by the specification's number */
#define PULL_TICKS 150000000ull
#define PART_LEN   65536u
#define PARTS	   (HOSTILE_SCRATCH_LEN / PART_LEN)
#define RINGS_LEN  (3 * 4096u)

static struct virtio_dev balloon;
static struct vq reports;
static volatile uint64_t reported; /* bytes from the start of hostile_scratch on */
static volatile unsigned answers;

/* On the second CPU. */
static void pull(void)
{
	const struct vq_buf buf = { hostile_scratch, (uint32_t)reported, true };

	vq_add(&reports, &buf, 1);
	vq_kick(&reports);
	if (vq_wait(&reports, NULL) >= 0)
		answers++;
}

static bool pull_begin(uint64_t len)
{
	if (!virtio_find(&balloon, VIRTIO_ID_BALLOON, 0) ||
	    !virtio_negotiate(&balloon, HOSTILE_RINGS | 1ull << VIRTIO_BALLOON_F_REPORTING) ||
	    !vq_init(&reports, &balloon, REPORTS, 0, VQ_POLLED))
		return false;
	virtio_driver_ok(&balloon);
	reported = len;
	answers = 0;
	hostile_beside(pull);
	return true;
}

/* True when the balloon answered all the time. */
static bool pull_end(void)
{
	hostile_beside(NULL);
	return answers > 0 && !virtio_needs_reset(&balloon) && virtio_reset(&balloon);
}

/* Reads and writes side by side, all within what is given away. False: one was not done. */
static bool transfers(struct blk *blk)
{
	struct vq *vq = &blk->vq[0];
	unsigned added = 0;
	bool good = true;

	for (; added < PARTS; added++)
		if (blk_add(blk, 0, added % 2 ? VIRTIO_BLK_T_OUT : VIRTIO_BLK_T_IN,
			    added * (PART_LEN / 512), hostile_scratch + PART_LEN * added, PART_LEN,
			    added % 2 == 0) < 0)
			break;
	vq_kick(vq);
	for (unsigned i = 0; i < added; i++) {
		int head = vq_wait(vq, NULL);

		good = good && head >= 0 && blk->status[0][head] == VIRTIO_BLK_S_OK;
	}
	return good && added > 0;
}

static void pull_disk_data(void)
{
	static struct blk blk;
	struct target *target = hostile_target_of(VIRTIO_ID_BLOCK);
	size_t mark = guest_alloc_mark();
	uint64_t start = rdtsc();
	bool good = virtio_find(&target->dev, VIRTIO_ID_BLOCK, 0) &&
		    blk_open(&blk, 0, HOSTILE_RINGS, VQ_POLLED) && pull_begin(HOSTILE_SCRATCH_LEN);

	while (good && rdtsc() - start < PULL_TICKS)
		good = transfers(&blk);
	good = pull_end() && good;
	hostile_verdict(target, "memory is pulled while a request is in flight", !good);
	guest_alloc_back_to(mark);
}

/* Chains as they come, of parts that are given away. */
static void pull_chains(struct target *target)
{
	struct vq *vq = &target->vq[target->queue];

	for (unsigned i = 0; i < 8; i++)
		vq_raw_desc(vq, i, (uint64_t)hostile_scratch + PART_LEN + 4096 * i, 1024,
			    target->queue ? 0 : VRING_DESC_F_WRITE, 0);
	for (unsigned i = 0; i < 8; i++)
		vq_raw_offer(vq, (uint16_t)i);
	vq_notify(vq);
	if (target->poke)
		target->poke(target);
}

static void pull_data(struct target *target)
{
	size_t mark = guest_alloc_mark();
	bool bad = !pull_begin(HOSTILE_SCRATCH_LEN);
	uint64_t start = rdtsc();

	memset(hostile_scratch, 0, HOSTILE_SCRATCH_LEN);
	while (rdtsc() - start < PULL_TICKS) {
		size_t again = guest_alloc_mark();

		bad = bad || !hostile_open(target, HOSTILE_RINGS, false);
		pull_chains(target);
		(void)hostile_settle(target);
		guest_alloc_back_to(again);
	}
	bad = !pull_end() || bad;
	hostile_verdict(target, "memory is pulled while it is in the ring", bad);
	guest_alloc_back_to(mark);
}

static void ring_in_scratch(struct vq *vq)
{
	const uint64_t at = (uint64_t)hostile_scratch;

	virtio_set(vq->dev, V_QUEUE_SELECT, vq->index);
	virtio_set(vq->dev, V_QUEUE_DESC_LOW, (uint32_t)at);
	virtio_set(vq->dev, V_QUEUE_AVAIL_LOW, (uint32_t)at + 4096);
	virtio_set(vq->dev, V_QUEUE_USED_LOW, (uint32_t)at + 8192);
	virtio_set(vq->dev, V_QUEUE_ENABLE, 1);
	vq->desc = (struct vring_desc *)at;
	vq->avail = (struct vring_avail *)(at + 4096);
	vq->used = (struct vring_used *)(at + 8192);
}

static void pull_rings(struct target *target)
{
	size_t mark = guest_alloc_mark();
	bool bad = !pull_begin(RINGS_LEN);
	uint64_t start = rdtsc();

	while (rdtsc() - start < PULL_TICKS) {
		size_t again = guest_alloc_mark();

		bad = bad || !hostile_open(target, HOSTILE_RINGS, true);
		ring_in_scratch(&target->vq[target->queue]);
		virtio_driver_ok(&target->dev);
		for (unsigned i = 0; i < 16; i++)
			pull_chains(target);
		guest_alloc_back_to(again);
	}
	bad = !pull_end() || bad;
	hostile_verdict(target, "rings are pulled while they are in use", bad);
	guest_alloc_back_to(mark);
}

void hostile_pull(void)
{
	pull_disk_data();
	for (unsigned i = 0; i < hostile_target_count; i++) {
		struct target *target = &hostile_targets[i];

		if (!hostile_is_here(target) || target->device_id == VIRTIO_ID_BALLOON)
			continue;
		pull_data(target);
		pull_rings(target);
	}
}
