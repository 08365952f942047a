/*
 * A split queue, driver side (virtio 1.2, section 2.7).
 */
#include "tests/guest/lib/cpu.h"
#include "tests/guest/lib/virtio.h"

static void full_barrier(void)
{
	__asm__ volatile("lock orl $0, (%%rsp)" ::: "memory");
}

static volatile uint16_t *used_event(struct vq *vq)
{
	return &vq->avail->ring[vq->size];
}

static uint16_t avail_event(const struct vq *vq)
{
	return *(volatile uint16_t *)&vq->used->ring[vq->size];
}

static void fill(struct vring_desc *desc, const struct vq_buf *buf, uint16_t flags)
{
	desc->addr = (uint64_t)buf->at;
	desc->len = buf->len;
	desc->flags = (uint16_t)(flags | (buf->write ? VRING_DESC_F_WRITE : 0));
}

static void add_indirect(struct vq *vq, uint16_t head, const struct vq_buf *bufs, unsigned count)
{
	struct vring_desc *table = vq->indirect[head];
	struct vq_buf whole = { table, (uint32_t)(count * sizeof(*table)), false };

	for (unsigned i = 0; i < count; i++) {
		fill(&table[i], &bufs[i], i + 1 < count ? VRING_DESC_F_NEXT : 0);
		table[i].next = (uint16_t)(i + 1);
	}
	fill(&vq->desc[head], &whole, VRING_DESC_F_INDIRECT);
	vq->free_head = vq->desc[head].next;
	vq->chain_count[head] = 1;
}

static void add_chain(struct vq *vq, uint16_t head, const struct vq_buf *bufs, unsigned count)
{
	uint16_t at = head;

	for (unsigned i = 0; i < count; i++) {
		fill(&vq->desc[at], &bufs[i], i + 1 < count ? VRING_DESC_F_NEXT : 0);
		vq->free_head = vq->desc[at].next;
		at = vq->free_head;
	}
	vq->chain_count[head] = (uint16_t)count;
}

int vq_add(struct vq *vq, const struct vq_buf *bufs, unsigned count)
{
	bool indirect = vq->indirect && count > 1 && count <= VQ_INDIRECT_MAX;
	uint16_t head = vq->free_head;

	if (vq->free_count < (indirect ? 1 : count))
		return -1;
	if (indirect)
		add_indirect(vq, head, bufs, count);
	else
		add_chain(vq, head, bufs, count);
	vq->free_count = (uint16_t)(vq->free_count - vq->chain_count[head]);
	vq->avail->ring[vq->avail_next % vq->size] = head;
	vq->avail_next++;
	return head;
}

void vq_notify(const struct vq *vq)
{
	if (vq->notify_width == 2)
		mmio_write16(vq->notify, vq->index);
	else
		mmio_write32(vq->notify, vq->index);
}

void vq_kick(struct vq *vq)
{
	bool wanted;

	barrier();
	*(volatile uint16_t *)&vq->avail->idx = vq->avail_next;
	full_barrier();
	wanted = vq->event_idx ? vring_need_event(avail_event(vq), vq->avail_next, vq->kicked)
			       : !(*(volatile uint16_t *)&vq->used->flags & VRING_USED_F_NO_NOTIFY);
	vq->kicked = vq->avail_next;
	if (wanted) {
		vq->kicks++;
		vq_notify(vq);
	}
}

static void chain_free(struct vq *vq, uint16_t head)
{
	uint16_t at = head;

	for (unsigned left = vq->chain_count[head]; left > 1; left--)
		at = vq->desc[at].next;
	vq->desc[at].next = vq->free_head;
	vq->free_head = head;
	vq->free_count = (uint16_t)(vq->free_count + vq->chain_count[head]);
}

int vq_take(struct vq *vq, uint32_t *len)
{
	struct vring_used_elem *elem = &vq->used->ring[vq->used_next % vq->size];

	if (*(volatile uint16_t *)&vq->used->idx == vq->used_next)
		return -1;
	barrier();
	vq->used_next++;
	if (elem->id >= vq->size)
		guest_die("the device used a descriptor that there is not");
	if (len)
		*len = elem->len;
	chain_free(vq, (uint16_t)elem->id);
	return (int)elem->id;
}

/* Asks for an interrupt with the next request that is done. */
static void arm(struct vq *vq)
{
	*used_event(vq) = vq->used_next;
	full_barrier();
}

int vq_wait(struct vq *vq, uint32_t *len)
{
	uint64_t start = rdtsc();
	int head;

	while ((head = vq_take(vq, len)) < 0) {
		uint64_t seen = vq->interrupts ? *vq->interrupts : 0;

		if (rdtsc() - start > VQ_PATIENCE)
			return -1;
		if (!vq->interrupts) {
			cpu_relax();
			continue;
		}
		arm(vq);
		head = vq_take(vq, len);
		if (head >= 0)
			return head;
		cpu_wait(vq->interrupts, seen);
		if (vq->dev->mmio)
			(void)virtio_isr(vq->dev);
	}
	return head;
}

void vq_raw_desc(struct vq *vq, unsigned i, uint64_t addr, uint32_t len, uint16_t flags,
		 uint16_t next)
{
	vq->desc[i] = (struct vring_desc){ .addr = addr, .len = len, .flags = flags, .next = next };
}

void vq_raw_offer(struct vq *vq, uint16_t head)
{
	vq->avail->ring[vq->avail_next % vq->size] = head;
	barrier();
	vq->avail_next++;
	*(volatile uint16_t *)&vq->avail->idx = vq->avail_next;
	full_barrier();
	vq->kicked = vq->avail_next;
}
