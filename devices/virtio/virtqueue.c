/*
 * The split virtqueue, device side (virtio 1.2, section 2.7). Called by virtio.c for devices on
 * their loop's thread; enabled and disabled by transports' register writes, on vCPU threads, while
 * the loop does not use it.
 *
 * Ordering. The driver publishes entries and then the available index: our acquire load of the
 * index comes before the loads of what it covers. We fill used elements and then store the used
 * index, which releases them. Both sides suppress notifications by writing a wish and then looking
 * at the other's index (2.7.7, 2.7.10): a store before a load of something else. Both of ours are
 * sequentially consistent, which keeps them in order on every CPU (xchg on x86, stlr and ldar on
 * ARM).
 */
#include "devices/virtio/virtqueue.h"

#include <assert.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "rings are little-endian and read as is");

/* A descriptor table being walked: the queue's own, or an indirect one. */
struct desc_table {
	const struct vring_desc *desc; /* an indirect table may lie at any address */
	uint32_t count;
	bool indirect;
};

void virtqueue_init(struct virtqueue *vq, const struct guest_mem *mem, uint16_t size_max)
{
	assert(size_max && size_max <= VIRTQUEUE_SIZE_MAX && !(size_max & (size_max - 1)));
	*vq = (struct virtqueue){ .mem = mem, .size_max = size_max, .size = size_max };
}

int virtqueue_enable(struct virtqueue *vq, bool event_idx, bool indirect)
{
	uint64_t size = vq->size;

	if (!size || size > vq->size_max || size & (size - 1) || vq->desc_gpa & 15 ||
	    vq->avail_gpa & 1 || vq->used_gpa & 3)
		return -EINVAL;
	/* Each with its flags, index and event field, wanted or not. */
	vq->desc = guest_mem_ptr(vq->mem, vq->desc_gpa, size * sizeof(struct vring_desc));
	vq->avail = guest_mem_ptr(vq->mem, vq->avail_gpa, 6 + 2 * size);
	vq->used = guest_mem_ptr(vq->mem, vq->used_gpa, 6 + 8 * size);
	if (!vq->desc || !vq->avail || !vq->used)
		return -EINVAL;
	vq->event_idx = event_idx;
	vq->indirect = indirect;
	vq->broken = false;
	vq->notify_disabled = false;
	vq->avail_next = vq->avail_seen = 0;
	vq->used_next = vq->used_stored = 0;
	memset(vq->busy, 0, sizeof(vq->busy));
	vq->enabled = true;
	return 0;
}

void virtqueue_disable(struct virtqueue *vq)
{
	vq->enabled = false;
	vq->desc = NULL;
	vq->avail = NULL;
	vq->used = NULL;
}

/* The field after the ring in which the driver says when it wants an interrupt (2.7.6). */
static uint16_t *used_event(const struct virtqueue *vq)
{
	return &vq->avail->ring[vq->size];
}

/* The field after the ring in which we say when we want a notification (2.7.8). */
static uint16_t *avail_event(const struct virtqueue *vq)
{
	return (uint16_t *)(void *)&vq->used->ring[vq->size];
}

static int driver_lied(struct virtqueue *vq)
{
	vq->broken = true;
	return -EINVAL;
}

/* Reads the driver's index: 1 when it is ahead of ours, 0 when not, -EINVAL when it cannot be. */
static int refresh(struct virtqueue *vq)
{
	uint16_t idx = __atomic_load_n(&vq->avail->idx, __ATOMIC_ACQUIRE);
	uint16_t in_flight = (uint16_t)(vq->avail_next - vq->used_next);

	/* A chain takes a descriptor at least, and gets it back when it is used. */
	if ((uint16_t)(idx - vq->avail_next) > vq->size - in_flight)
		return driver_lied(vq);
	vq->avail_seen = idx;
	return idx != vq->avail_next;
}

static struct vring_desc desc_copy(const struct desc_table *table, uint32_t index)
{
	struct vring_desc d;

	memcpy(&d, (const uint8_t *)table->desc + index * sizeof(d), sizeof(d));
	/* The compiler must not look into the table again for what was checked in the copy. */
	__asm__ volatile("" : "+m"(d));
	return d;
}

/* Adds a part to the chain. False when it breaks a rule. */
static bool add_part(struct virtqueue *vq, const struct vring_desc *d, struct iovec *iov,
		     unsigned iov_max, struct virtqueue_chain *chain)
{
	unsigned at = chain->readable_count + chain->writable_count;
	bool writable = d->flags & VRING_DESC_F_WRITE;
	void *ptr;

	if (!writable && chain->writable_len)
		return false; /* readable after writable (2.7.4.2) */
	if (!d->len)
		return true;
	ptr = guest_mem_ptr(vq->mem, d->addr, d->len);
	if (!ptr || at == iov_max)
		return false;
	iov[at] = (struct iovec){ .iov_base = ptr, .iov_len = d->len };
	if (writable) {
		chain->writable_count++;
		chain->writable_len += d->len;
	} else {
		chain->readable_count++;
		chain->readable_len += d->len;
	}
	return true;
}

/* D names an indirect table (2.7.5.3): from now on it is walked. False when it breaks a rule. */
static bool enter_indirect(struct virtqueue *vq, const struct vring_desc *d,
			   struct desc_table *table)
{
	if (!vq->indirect || table->indirect || d->flags & VRING_DESC_F_NEXT || !d->len ||
	    d->len % sizeof(struct vring_desc))
		return false;
	table->desc = guest_mem_ptr(vq->mem, d->addr, d->len);
	table->count = (uint32_t)(d->len / sizeof(struct vring_desc));
	table->indirect = true;
	return table->desc;
}

/*
 * Follows the chain from HEAD. An honest chain visits no descriptor twice; one that visits more
 * than the queue has, or than IOV can take, is a loop or as bad as one.
 */
static bool walk(struct virtqueue *vq, uint16_t head, struct iovec *iov, unsigned iov_max,
		 struct virtqueue_chain *chain)
{
	struct desc_table table = { .desc = vq->desc, .count = vq->size };
	unsigned left = (iov_max > vq->size ? iov_max : vq->size) + 1; /* and the table's own */
	uint32_t index = head;

	*chain = (struct virtqueue_chain){ .head = head };
	for (;;) {
		struct vring_desc d;

		if (index >= table.count || !left--)
			return false;
		d = desc_copy(&table, index);
		if (d.flags & VRING_DESC_F_INDIRECT) {
			if (!enter_indirect(vq, &d, &table))
				return false;
			index = 0;
			continue;
		}
		if (!add_part(vq, &d, iov, iov_max, chain))
			return false;
		if (!(d.flags & VRING_DESC_F_NEXT))
			return true;
		index = d.next;
	}
}

int virtqueue_pop(struct virtqueue *vq, struct iovec *iov, unsigned iov_max,
		  struct virtqueue_chain *chain)
{
	uint16_t head;

	if (!vq->enabled || vq->broken)
		return 0;
	if (vq->avail_next == vq->avail_seen) {
		int ret = refresh(vq);

		if (ret <= 0)
			return ret;
	}
	head = __atomic_load_n(&vq->avail->ring[vq->avail_next & (vq->size - 1)], __ATOMIC_RELAXED);
	if (head >= vq->size || virtqueue_is_busy(vq, head) || !walk(vq, head, iov, iov_max, chain))
		return driver_lied(vq);
	virtqueue_flip_busy(vq, head);
	vq->last_head = head;
	vq->avail_next++;
	return 1;
}

unsigned virtqueue_pop_parts(struct virtqueue *vq, struct virtqueue_part *parts, unsigned max,
			     uint64_t want_len)
{
	const struct desc_table table = { .desc = vq->desc, .count = vq->size };
	unsigned count = 0;

	if (!vq->enabled || vq->broken)
		return 0;
	while (count < max && want_len > 0 && vq->avail_next != vq->avail_seen) {
		uint16_t head = __atomic_load_n(&vq->avail->ring[vq->avail_next & (vq->size - 1)],
						__ATOMIC_RELAXED);
		struct vring_desc d;
		void *ptr;

		if (head >= vq->size || virtqueue_is_busy(vq, head))
			break;
		d = desc_copy(&table, head);
		if (d.flags & (VRING_DESC_F_NEXT | VRING_DESC_F_INDIRECT) ||
		    !(d.flags & VRING_DESC_F_WRITE) || !d.len)
			break;
		ptr = guest_mem_ptr_fast(vq->mem, d.addr, d.len);
		if (!ptr)
			break;
		virtqueue_flip_busy(vq, head);
		parts[count++] = (struct virtqueue_part){ .base = ptr, .len = d.len, .head = head };
		want_len -= d.len < want_len ? d.len : want_len;
		vq->last_head = head;
		vq->avail_next++;
	}
	return count;
}

void virtqueue_unpop(struct virtqueue *vq)
{
	assert(virtqueue_is_busy(vq, vq->last_head));
	virtqueue_flip_busy(vq, vq->last_head);
	vq->avail_next--;
}

bool virtqueue_flush(struct virtqueue *vq)
{
	uint16_t old = vq->used_stored;

	if (!vq->enabled || vq->used_next == old)
		return false;
	vq->used_stored = vq->used_next;
	/* The driver states its wish and then looks at the index; we do the reverse. */
	__atomic_store_n(&vq->used->idx, vq->used_next, __ATOMIC_SEQ_CST);
	if (vq->event_idx)
		return vring_need_event(__atomic_load_n(used_event(vq), __ATOMIC_SEQ_CST),
					vq->used_next, old);
	return !(__atomic_load_n(&vq->avail->flags, __ATOMIC_SEQ_CST) & VRING_AVAIL_F_NO_INTERRUPT);
}

void virtqueue_disable_notify(struct virtqueue *vq)
{
	if (!vq->enabled || vq->notify_disabled)
		return;
	vq->notify_disabled = true;
	if (!vq->event_idx)
		__atomic_store_n(&vq->used->flags, VRING_USED_F_NO_NOTIFY, __ATOMIC_RELAXED);
	/* An old event will do: the driver has gone past it, or is led to believe so. */
	else if (*avail_event(vq) == vq->avail_next)
		__atomic_store_n(avail_event(vq), (uint16_t)(vq->avail_next - 1), __ATOMIC_RELAXED);
}

bool virtqueue_enable_notify(struct virtqueue *vq)
{
	if (!vq->enabled || vq->broken)
		return false;
	vq->notify_disabled = false;
	/* The driver publishes its index and then looks at our wish; we do the reverse. */
	if (vq->event_idx)
		__atomic_store_n(avail_event(vq), vq->avail_next, __ATOMIC_SEQ_CST);
	else
		__atomic_store_n(&vq->used->flags, 0, __ATOMIC_SEQ_CST);
	return __atomic_load_n(&vq->avail->idx, __ATOMIC_SEQ_CST) != vq->avail_next;
}

bool virtqueue_has_work(struct virtqueue *vq)
{
	if (!vq->enabled || vq->broken)
		return false;
	return vq->avail_next != vq->avail_seen ||
	       __atomic_load_n(&vq->avail->idx, __ATOMIC_RELAXED) != vq->avail_next;
}
