/*
 * virtio block device (virtio 1.2, section 5.2). Built by machine.c; requests are handled on the
 * queues' loop threads, configuration space on vCPU threads.
 *
 * A request's life: popped into a slot; taken apart by blk_request_parse; submitted to the back
 * end, which reads or writes guest memory directly; answered in its status byte and pushed. A
 * request of several segments is submitted once for each. What the loop has no room for is held, in
 * order, and nothing more is popped until it is under way.
 *
 * Slots and their iovecs are reserved when the device is created, as many as a queue has
 * descriptors, and cost memory only once they have been used: a slot given back is the next one
 * taken, so that a guest that has n requests in flight uses n of them.
 */
#include "devices/virtio/virtio_blk.h"

#include <assert.h>
#include <endian.h>
#include <linux/virtio_blk.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "devices/virtio/blk_request.h"

#define HELD_RETRY_NS 1000000ull
#define SIZE_CHECK_NS 2000000000ull
#define IOV_MAX_BLK   VIRTQUEUE_SIZE_MAX
/* A header and a status byte need parts of their own. */
#define SEGMENTS_RESERVED 2
/* Up to and with write_zeroes_may_unmap and its padding. */
#define CONFIG_LEN offsetof(struct virtio_blk_config, max_secure_erase_sectors)

struct blk_queue;

struct blk_slot {
	struct block_request req;
	struct blk_queue *queue;
	struct blk_slot *next; /* free or held */
	struct blk_parsed parsed;
	unsigned segment; /* under way */
	uint32_t written; /* bytes of the chain that the driver may look at */
	uint16_t head;
	struct iovec iov[IOV_MAX_BLK];
};

struct blk_queue {
	struct virtio_blk *blk;
	struct virtio_queue *q;
	struct blk_slot *slots; /* a mapping of its own */
	unsigned fresh;		/* slots from here on were never used */
	struct blk_slot *free;
	struct blk_slot *held_head;
	struct blk_slot **held_tail;
	unsigned active; /* with the back end */
	struct loop_timer retry;
	struct log_limit limit;
};

struct virtio_blk {
	struct virtio_device dev;
	struct block *block;
	struct blk_queue *queues;
	struct loop_timer size_check;
	uint16_t queue_size;
	uint8_t wce;		   /* config space: what the driver wrote, or 1 */
	char id[BLK_ID_LEN];	   /* not terminated when it is full */
	char name[BLK_ID_LEN + 8]; /* "disk ID", for messages */
};

static struct virtio_blk *to_blk(struct virtio_device *dev)
{
	return container_of(dev, struct virtio_blk, dev);
}

/* ---- slots ---- */

static size_t slots_len(const struct virtio_blk *blk)
{
	return blk->queue_size * sizeof(struct blk_slot);
}

static struct blk_slot *slot_take(struct blk_queue *bq)
{
	struct blk_slot *slot = bq->free;

	if (slot) {
		bq->free = slot->next;
		return slot;
	}
	if (bq->fresh == bq->blk->queue_size)
		return NULL;
	slot = &bq->slots[bq->fresh++];
	slot->queue = bq;
	return slot;
}

static void slot_give(struct blk_slot *slot)
{
	slot->next = slot->queue->free;
	slot->queue->free = slot;
}

/* ---- answering ---- */

static void complete(struct blk_slot *slot, uint8_t status)
{
	if (slot->parsed.status_byte)
		*slot->parsed.status_byte = status;
	virtio_queue_push(slot->queue->q, slot->head, slot->written);
	slot_give(slot);
}

static uint8_t status_of(struct blk_slot *slot, int result)
{
	if (result == 0)
		return VIRTIO_BLK_S_OK;
	if (result == -EOPNOTSUPP)
		return VIRTIO_BLK_S_UNSUPP;
	/* The person whose disk is full or broken wants to know; the machine goes on. */
	log_guest(&slot->queue->limit, "%s: a request failed: %s", slot->queue->blk->name,
		  strerror(-result));
	return VIRTIO_BLK_S_IOERR;
}

/* ---- to the back end and back ---- */

static void request_done(struct block_request *req, int result);
static void take_requests(struct blk_queue *bq);

static void hold(struct blk_slot *slot)
{
	struct blk_queue *bq = slot->queue;

	slot->next = NULL;
	*bq->held_tail = slot;
	bq->held_tail = &slot->next;
}

static int submit(struct blk_slot *slot)
{
	struct blk_queue *bq = slot->queue;
	int ret = block_submit(bq->blk->block, bq->q->loop, &slot->req);

	if (ret == 0)
		bq->active++;
	return ret;
}

/* As many of the held ones as there is room for. True when none is left. */
static bool submit_held(struct blk_queue *bq)
{
	struct blk_slot *slot;

	while ((slot = bq->held_head)) {
		int ret = submit(slot);

		if (ret == -EBUSY || ret == -ECANCELED) {
			/* When others have all the room no completion of ours comes to try again.
			 */
			if (bq->active == 0)
				loop_timer_arm(bq->q->loop, &bq->retry,
					       loop_now_ns() + HELD_RETRY_NS);
			return false;
		}
		bq->held_head = slot->next;
		if (!bq->held_head)
			bq->held_tail = &bq->held_head;
		if (ret < 0)
			complete(slot, status_of(slot, ret));
	}
	return true;
}

static void start(struct blk_slot *slot)
{
	hold(slot);
	/* Behind others it waits for its turn. */
	if (slot->queue->held_head == slot)
		(void)submit_held(slot->queue);
}

static void start_segment(struct blk_slot *slot)
{
	const struct blk_segment *segment = &slot->parsed.segments[slot->segment];

	slot->req.offset = segment->offset;
	slot->req.len = segment->len;
	slot->req.may_unmap = segment->may_unmap;
	start(slot);
}

static void request_done(struct block_request *req, int result)
{
	struct blk_slot *slot = container_of(req, struct blk_slot, req);
	struct blk_queue *bq = slot->queue;

	bq->active--;
	if (result == -EBUSY || result == -ECANCELED)
		hold(slot);
	else if (result == 0 && ++slot->segment < slot->parsed.segment_count)
		start_segment(slot);
	else
		complete(slot, status_of(slot, result));
	if (bq->held_head && submit_held(bq))
		take_requests(bq);
}

static void retry_fired(struct loop_timer *timer)
{
	struct blk_queue *bq = container_of(timer, struct blk_queue, retry);

	if (submit_held(bq))
		take_requests(bq);
}

/* ---- taking ---- */

static void answer_id(struct blk_slot *slot)
{
	struct iovec *iov = slot->parsed.iov;
	const char *id = slot->queue->blk->id;
	size_t left = BLK_ID_LEN;

	for (unsigned i = 0; i < slot->parsed.iov_count && left > 0; i++) {
		size_t part = iov[i].iov_len < left ? iov[i].iov_len : left;

		memcpy(iov[i].iov_base, id, part);
		id += part;
		left -= part;
	}
	complete(slot, VIRTIO_BLK_S_OK);
}

static void handle(struct blk_slot *slot)
{
	const struct blk_parsed *parsed = &slot->parsed;
	struct block_request *req = &slot->req;

	req->done = request_done;
	req->op = parsed->op;
	req->iov = parsed->iov;
	req->iov_count = parsed->iov_count;
	req->offset = parsed->offset;
	req->len = parsed->len;
	slot->segment = 0;
	switch (parsed->action) {
	case BLK_FLUSH_ALL:
		req->len = 0;
		start(slot);
		break;
	case BLK_TRANSFER:
		start(slot);
		break;
	case BLK_SEGMENTS:
		start_segment(slot);
		break;
	case BLK_GET_ID:
		answer_id(slot);
		break;
	case BLK_ANSWER:
	case BLK_DROP:
		complete(slot, parsed->status);
		break;
	}
}

static void take_requests(struct blk_queue *bq)
{
	struct virtio_blk *blk = bq->blk;
	const struct blk_limits limits = {
		.capacity = block_size(blk->block) / BLK_SECTOR_LEN,
		.read_only = blk->block->info.read_only,
		.discard = virtio_has_feature(&blk->dev, VIRTIO_BLK_F_DISCARD),
		.write_zeroes = virtio_has_feature(&blk->dev, VIRTIO_BLK_F_WRITE_ZEROES),
	};
	struct virtqueue_chain chain;
	struct blk_slot *slot;

	while (!bq->held_head && (slot = slot_take(bq))) {
		if (virtio_queue_pop(bq->q, slot->iov, IOV_MAX_BLK, &chain) <= 0) {
			slot_give(slot);
			return;
		}
		slot->head = chain.head;
		/* The status byte is the last one, so the driver must look at all. */
		slot->written = (uint32_t)chain.writable_len;
		blk_request_parse(&slot->parsed, slot->iov, &chain, &limits);
		handle(slot);
	}
}

static void blk_queue_kick(struct virtio_queue *q)
{
	take_requests(&to_blk(q->dev)->queues[q->index]);
}

static void blk_queue_stop(struct virtio_queue *q)
{
	struct blk_queue *bq = &to_blk(q->dev)->queues[q->index];
	struct blk_slot *slot = bq->held_head;

	loop_timer_disarm(q->loop, &bq->retry);
	bq->held_head = NULL;
	bq->held_tail = &bq->held_head;
	while (slot) {
		struct blk_slot *next = slot->next;

		complete(slot, VIRTIO_BLK_S_IOERR);
		slot = next;
	}
}

/* ---- configuration space ---- */

static uint8_t log2_of(uint32_t ratio)
{
	return ratio ? (uint8_t)__builtin_ctz(ratio) : 0;
}

static void fill_config(const struct virtio_blk *blk, struct virtio_blk_config *config)
{
	const struct block_info *info = &blk->block->info;
	uint32_t granularity =
		info->discard_granularity ? info->discard_granularity : BLK_SECTOR_LEN;

	*config = (struct virtio_blk_config){
		.capacity = htole64(block_size(blk->block) / BLK_SECTOR_LEN),
		.seg_max = htole32(blk->queue_size - SEGMENTS_RESERVED),
		.blk_size = htole32(info->logical_size),
		.physical_block_exp = log2_of(info->physical_size / info->logical_size),
		.min_io_size = htole16((uint16_t)(info->physical_size / info->logical_size)),
		.opt_io_size = htole32(info->optimal_size / info->logical_size),
		.wce = blk->wce,
		.num_queues = htole16(blk->dev.queue_count),
		.max_discard_sectors = htole32(BLK_SEGMENT_SECTORS_MAX),
		.max_discard_seg = htole32(BLK_SEGMENTS_MAX),
		.discard_sector_alignment = htole32(granularity / BLK_SECTOR_LEN),
		.max_write_zeroes_sectors = htole32(BLK_SEGMENT_SECTORS_MAX),
		.max_write_zeroes_seg = htole32(BLK_SEGMENTS_MAX),
		.write_zeroes_may_unmap = 1,
	};
}

static void blk_config_read(struct virtio_device *dev, uint32_t offset, void *data, uint32_t len)
{
	struct virtio_blk_config config;

	fill_config(to_blk(dev), &config);
	memcpy(data, (const char *)&config + offset, len);
}

static void apply_wce(struct virtio_blk *blk)
{
	bool writeback = virtio_has_feature(&blk->dev, VIRTIO_BLK_F_CONFIG_WCE)
				 ? blk->wce
				 : virtio_has_feature(&blk->dev, VIRTIO_BLK_F_FLUSH);

	/* A driver that cannot flush must find its writes durable (5.2.5.2). */
	block_set_writeback(blk->block, writeback);
}

static void blk_config_write(struct virtio_device *dev, uint32_t offset, const void *data,
			     uint32_t len)
{
	const uint32_t at = offsetof(struct virtio_blk_config, wce);
	struct virtio_blk *blk = to_blk(dev);

	if (offset > at || len <= at - offset || !virtio_has_feature(dev, VIRTIO_BLK_F_CONFIG_WCE))
		return;
	blk->wce = ((const uint8_t *)data)[at - offset] & 1;
	apply_wce(blk);
}

static int blk_activate(struct virtio_device *dev)
{
	apply_wce(to_blk(dev));
	return 0;
}

static void blk_reset(struct virtio_device *dev)
{
	struct virtio_blk *blk = to_blk(dev);

	blk->wce = 1;
	block_set_writeback(blk->block, true);
}

/*
 * A file has no event for a change of its size that does not also come with each write, so it is
 * looked at now and then: a system call every two seconds.
 */
static void check_size(struct loop_timer *timer)
{
	struct virtio_blk *blk = container_of(timer, struct virtio_blk, size_check);

	if (block_refresh(blk->block)) {
		log_info("%s: the host has changed its size to %llu bytes", blk->name,
			 (unsigned long long)block_size(blk->block));
		virtio_config_changed(&blk->dev);
	}
	loop_timer_arm(blk->dev.queues[0].loop, timer, loop_now_ns() + SIZE_CHECK_NS);
}

/* ---- life ---- */

static const struct virtio_device_ops blk_ops = {
	.name = "virtio-blk",
	.device_id = VIRTIO_ID_BLOCK,
	.pci_class = 0x018000, /* mass storage, other */
	.config_len = CONFIG_LEN,
	.config_read = blk_config_read,
	.config_write = blk_config_write,
	.activate = blk_activate,
	.reset = blk_reset,
	.queue_kick = blk_queue_kick,
	.queue_stop = blk_queue_stop,
};

static uint64_t features_of(const struct block *block, uint16_t queue_count)
{
	uint64_t features = 1ull << VIRTIO_BLK_F_SEG_MAX | 1ull << VIRTIO_BLK_F_BLK_SIZE |
			    1ull << VIRTIO_BLK_F_TOPOLOGY | 1ull << VIRTIO_BLK_F_FLUSH |
			    1ull << VIRTIO_BLK_F_CONFIG_WCE;

	if (queue_count > 1)
		features |= 1ull << VIRTIO_BLK_F_MQ;
	if (block->info.read_only)
		return features | 1ull << VIRTIO_BLK_F_RO;
	features |= 1ull << VIRTIO_BLK_F_WRITE_ZEROES;
	if (block->info.discard_granularity)
		features |= 1ull << VIRTIO_BLK_F_DISCARD;
	return features;
}

/* Calls FN once for each loop that has a queue. */
static void for_each_loop(struct virtio_blk *blk,
			  void (*fn)(struct block *block, struct loop *loop))
{
	for (uint16_t i = 0; i < blk->dev.queue_count; i++) {
		struct loop *loop = blk->dev.queues[i].loop;
		bool seen = false;

		for (uint16_t j = 0; j < i && !seen; j++)
			seen = blk->dev.queues[j].loop == loop;
		if (!seen)
			fn(blk->block, loop);
	}
}

static int queues_init(struct virtio_blk *blk, struct loop *const *loops, unsigned loop_count)
{
	blk->queues = calloc(blk->dev.queue_count, sizeof(*blk->queues));
	if (!blk->queues)
		return log_errno(ENOMEM, "virtio-blk: allocate");
	for (uint16_t i = 0; i < blk->dev.queue_count; i++) {
		struct blk_queue *bq = &blk->queues[i];

		blk->dev.queues[i].loop = loops[blk->block->single_loop ? 0 : i % loop_count];
		bq->blk = blk;
		bq->q = &blk->dev.queues[i];
		bq->held_tail = &bq->held_head;
		bq->retry.fn = retry_fired;
		bq->slots = mmap(NULL, slots_len(blk), PROT_READ | PROT_WRITE,
				 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		if (bq->slots == MAP_FAILED) {
			bq->slots = NULL;
			return log_errno(errno, "virtio-blk: allocate");
		}
	}
	return 0;
}

static void queues_fini(struct virtio_blk *blk, uint16_t queue_count)
{
	for (uint16_t i = 0; blk->queues && i < queue_count; i++)
		if (blk->queues[i].slots)
			munmap(blk->queues[i].slots, slots_len(blk));
	free(blk->queues);
}

int virtio_blk_create(struct virtio_blk **out, struct block *block, const struct guest_mem *mem,
		      struct loop *const *loops, unsigned loop_count, uint16_t queue_count,
		      uint16_t queue_size, const char *id)
{
	struct virtio_blk *blk = calloc(1, sizeof(*blk));
	int ret;

	if (!blk)
		return log_errno(ENOMEM, "virtio-blk: allocate");
	assert(queue_size > SEGMENTS_RESERVED && queue_size <= VIRTQUEUE_SIZE_MAX);
	blk->block = block;
	blk->queue_size = queue_size;
	blk->wce = 1;
	if (id)
		memcpy(blk->id, id, strnlen(id, sizeof(blk->id)));
	snprintf(blk->name, sizeof(blk->name), "disk %.*s", BLK_ID_LEN, id ? id : "without id");
	ret = virtio_device_init(&blk->dev, &blk_ops, mem, loops[0],
				 features_of(block, queue_count), queue_count, queue_size);
	if (ret < 0) {
		free(blk);
		return ret;
	}
	ret = queues_init(blk, loops, loop_count);
	if (ret < 0) {
		queues_fini(blk, queue_count);
		virtio_device_fini(&blk->dev);
		free(blk);
		return ret;
	}
	for_each_loop(blk, block_attach);
	blk->size_check.fn = check_size;
	loop_timer_arm(loops[0], &blk->size_check, loop_now_ns() + SIZE_CHECK_NS);
	*out = blk;
	return 0;
}

void virtio_blk_destroy(struct virtio_blk *blk)
{
	uint16_t queue_count;

	if (!blk)
		return;
	queue_count = blk->dev.queue_count;
	loop_timer_disarm(blk->dev.queues[0].loop, &blk->size_check);
	virtio_device_reset(&blk->dev);
	for_each_loop(blk, block_detach);
	virtio_device_fini(&blk->dev);
	queues_fini(blk, queue_count);
	free(blk);
}

struct virtio_device *virtio_blk_device(struct virtio_blk *blk)
{
	return &blk->dev;
}
