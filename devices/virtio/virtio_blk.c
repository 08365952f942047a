/*
 * virtio block device (virtio 1.2, section 5.2). Built by machine.c; requests are handled on the
 * queues' loop threads (blk_queue.c), configuration space on vCPU threads.
 */
#include "devices/virtio/virtio_blk.h"

#include <assert.h>
#include <endian.h>
#include <linux/virtio_blk.h>
#include <stdio.h>
#include <string.h>

#include "devices/virtio/blk_queue.h"

#define SIZE_CHECK_NS 2000000000ull
/* A header and a status byte need parts of their own. */
#define SEGMENTS_RESERVED 2
/* Up to and with write_zeroes_may_unmap and its padding. */
#define CONFIG_LEN offsetof(struct virtio_blk_config, max_secure_erase_sectors)

struct virtio_blk {
	struct virtio_device dev;
	struct block *block;
	struct blk_queue *queues;
	struct loop_timer size_check;
	uint16_t queue_size;
	uint8_t wce;		   /* config space: what the driver wrote, or 1 */
	char id[BLK_ID_LEN];	   /* not terminated when it is full */
	char name[BLK_ID_LEN + 8]; /* "disk ID" */
	const char *said_name;	   /* in messages: that, or its path */
};

static struct virtio_blk *to_blk(struct virtio_device *dev)
{
	return container_of(dev, struct virtio_blk, dev);
}

static void blk_kick(struct virtio_queue *q)
{
	blk_queue_take(&to_blk(q->dev)->queues[q->index]);
}

static void blk_stop(struct virtio_queue *q)
{
	blk_queue_drop_held(&to_blk(q->dev)->queues[q->index]);
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
		log_info("%s: the host has changed its size to %llu bytes", blk->said_name,
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
	.queue_kick = blk_kick,
	.queue_stop = blk_stop,
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
		int ret;

		blk->dev.queues[i].loop = loops[blk->block->single_loop ? 0 : i % loop_count];
		*bq = (struct blk_queue){
			.q = &blk->dev.queues[i],
			.block = blk->block,
			.id = blk->id,
			.name = blk->said_name,
			.size = blk->queue_size,
		};
		ret = blk_queue_init(bq);
		if (ret < 0)
			return ret;
	}
	return 0;
}

static void queues_fini(struct virtio_blk *blk, uint16_t queue_count)
{
	for (uint16_t i = 0; blk->queues && i < queue_count; i++)
		blk_queue_fini(&blk->queues[i]);
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
	blk->said_name = !id && block->path ? block->path : blk->name;
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

void virtio_blk_set_limit(struct virtio_blk *blk, struct limit *limit)
{
	for (uint16_t i = 0; i < blk->dev.queue_count; i++)
		blk_queue_set_limit(&blk->queues[i], limit);
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
