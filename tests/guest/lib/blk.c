#include "tests/guest/lib/blk.h"

static bool blk_init_queue(struct blk *blk, unsigned i, unsigned flags)
{
	struct vq *vq = &blk->vq[i];

	if (!vq_init(vq, &blk->dev, i, 0, flags))
		return false;
	blk->headers[i] = guest_alloc(sizeof(*blk->headers[i]) * vq->size, 16);
	blk->status[i] = guest_alloc(vq->size, 16);
	return true;
}

bool blk_reopen(struct blk *blk, uint64_t wanted, unsigned flags)
{
	if (!virtio_negotiate(&blk->dev, wanted | 1ull << VIRTIO_BLK_F_FLUSH))
		return false;
	blk->sectors = virtio_config(&blk->dev, offsetof(struct virtio_blk_config, capacity), 8);
	blk->queue_count = 1;
	if (blk->dev.features & 1ull << VIRTIO_BLK_F_MQ)
		blk->queue_count = (unsigned)virtio_config(
			&blk->dev, offsetof(struct virtio_blk_config, num_queues), 2);
	if (blk->queue_count > BLK_QUEUES_MAX)
		blk->queue_count = BLK_QUEUES_MAX;
	for (unsigned i = 0; i < blk->queue_count; i++)
		if (!blk_init_queue(blk, i, flags))
			return false;
	virtio_driver_ok(&blk->dev);
	return true;
}

bool blk_open(struct blk *blk, unsigned nth, uint64_t wanted, unsigned flags)
{
	return virtio_find(&blk->dev, VIRTIO_ID_BLOCK, nth) && blk_reopen(blk, wanted, flags);
}

int blk_add(struct blk *blk, unsigned queue, uint32_t type, uint64_t sector, void *data,
	    uint32_t len, bool read)
{
	struct vq *vq = &blk->vq[queue];
	/* With a full ring free_head is nobody's; nothing is added, and nothing may be written. */
	uint16_t head = vq->free_head % vq->size;
	struct virtio_blk_outhdr *header = &blk->headers[queue][head];
	uint8_t *status = &blk->status[queue][head];
	const struct vq_buf bufs[] = {
		{ header, sizeof(*header), false },
		{ data, len, read },
		{ status, 1, true },
	};
	const struct vq_buf no_data[] = { bufs[0], bufs[2] };

	if (vq->free_count < (vq->indirect ? 1 : 3))
		return -1;
	*header = (struct virtio_blk_outhdr){ .type = type, .sector = sector };
	*status = BLK_NO_ANSWER;
	return len ? vq_add(vq, bufs, 3) : vq_add(vq, no_data, 2);
}

uint8_t blk_do(struct blk *blk, unsigned queue, uint32_t type, uint64_t sector, void *data,
	       uint32_t len)
{
	bool read = type == VIRTIO_BLK_T_IN || type == VIRTIO_BLK_T_GET_ID;
	int head = blk_add(blk, queue, type, sector, data, len, read);

	if (head < 0)
		return BLK_NO_ANSWER;
	vq_kick(&blk->vq[queue]);
	if (vq_wait(&blk->vq[queue], NULL) != head)
		return BLK_NO_ANSWER;
	return *(volatile uint8_t *)&blk->status[queue][head];
}
