/*
 * virtio block device (virtio 1.2, section 5.2).
 */
#ifndef DEVICES_VIRTIO_VIRTIO_BLK_H
#define DEVICES_VIRTIO_VIRTIO_BLK_H

#include "devices/block/block.h"
#include "devices/limit.h"
#include "devices/virtio/virtio.h"

struct virtio_blk;

/*
 * A disk on BLOCK with QUEUE_COUNT queues of QUEUE_SIZE; queue i is served by LOOPS[i % LOOP_COUNT]
 * (all by the first one when BLOCK can only be used by one). ID is the serial number, at most 20
 * bytes, or NULL. BLOCK, MEM and the loops are borrowed; the loops are not running. 0 or -errno,
 * logged.
 */
int virtio_blk_create(struct virtio_blk **out, struct block *block, const struct guest_mem *mem,
		      struct loop *const *loops, unsigned loop_count, uint16_t queue_count,
		      uint16_t queue_size, const char *id) MUST_CHECK;
/*
 * All queues together are bounded by LIMIT (borrowed; NULL: by none), perhaps shared with other
 * devices: each request counts as one operation, reads, writes and zeroes by their bytes too. The
 * loops are not running.
 */
void virtio_blk_set_limit(struct virtio_blk *blk, struct limit *limit);
/* After its transport; the loops are not running. NULL is allowed. */
void virtio_blk_destroy(struct virtio_blk *blk);

struct virtio_device *virtio_blk_device(struct virtio_blk *blk);

#endif
