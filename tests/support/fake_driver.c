/* See fake_driver.h. Called by unit tests and fuzz targets, on any one thread a ring. */
#include "tests/support/fake_driver.h"

#include <assert.h>
#include <string.h>

void fake_ring_init(struct fake_ring *ring, const struct guest_mem *mem, gpa_t gpa, uint16_t size)
{
	*ring = (struct fake_ring){ .mem = mem, .size = size, .desc_gpa = gpa };
	ring->avail_gpa = gpa + 16ull * size;
	ring->used_gpa = (ring->avail_gpa + 6 + 2ull * size + 3) & ~3ull;
	ring->end_gpa = ring->used_gpa + 6 + 8ull * size;
	ring->desc = guest_mem_ptr(mem, gpa, ring->end_gpa - gpa);
	assert(ring->desc);
	ring->avail = guest_mem_ptr(mem, ring->avail_gpa, 0);
	ring->used = guest_mem_ptr(mem, ring->used_gpa, 0);
	memset(ring->desc, 0, ring->end_gpa - gpa);
}

void fake_ring_desc(struct fake_ring *ring, uint16_t index, gpa_t gpa, uint32_t len, uint16_t flags,
		    uint16_t next)
{
	assert(index < ring->size);
	ring->desc[index] =
		(struct vring_desc){ .addr = gpa, .len = len, .flags = flags, .next = next };
}

static uint16_t part_flags(const struct fake_part *part, bool last)
{
	return (uint16_t)((part->writable ? VRING_DESC_F_WRITE : 0) |
			  (last ? 0 : VRING_DESC_F_NEXT));
}

static uint16_t take_desc(struct fake_ring *ring)
{
	uint16_t index = ring->desc_next;

	ring->desc_next = (uint16_t)((index + 1) % ring->size);
	return index;
}

uint16_t fake_ring_chain(struct fake_ring *ring, const struct fake_part *parts, unsigned count)
{
	uint16_t head = ring->desc_next;

	for (unsigned i = 0; i < count; i++) {
		uint16_t index = take_desc(ring);

		fake_ring_desc(ring, index, parts[i].gpa, parts[i].len,
			       part_flags(&parts[i], i + 1 == count), ring->desc_next);
	}
	return head;
}

uint16_t fake_ring_indirect(struct fake_ring *ring, gpa_t table_gpa, const struct fake_part *parts,
			    unsigned count)
{
	uint16_t head = take_desc(ring);

	for (unsigned i = 0; i < count; i++) {
		struct vring_desc d = {
			.addr = parts[i].gpa,
			.len = parts[i].len,
			.flags = part_flags(&parts[i], i + 1 == count),
			.next = (uint16_t)(i + 1),
		};
		int ret = guest_mem_write(ring->mem, table_gpa + 16ull * i, &d, sizeof(d));

		assert(ret == 0);
		(void)ret;
	}
	fake_ring_desc(ring, head, table_gpa, 16 * count, VRING_DESC_F_INDIRECT, 0);
	return head;
}

bool fake_ring_offer(struct fake_ring *ring, uint16_t head)
{
	uint16_t old = ring->avail_next;

	ring->avail->ring[old % ring->size] = head;
	ring->avail_next++;
	fake_ring_set_avail_idx(ring, ring->avail_next);
	if (ring->event_idx)
		return vring_need_event(fake_ring_avail_event(ring), ring->avail_next, old);
	return !(__atomic_load_n(&ring->used->flags, __ATOMIC_SEQ_CST) & VRING_USED_F_NO_NOTIFY);
}

uint16_t fake_ring_add(struct fake_ring *ring, const struct fake_part *parts, unsigned count)
{
	uint16_t head = fake_ring_chain(ring, parts, count);

	(void)fake_ring_offer(ring, head);
	return head;
}

void fake_ring_set_avail_idx(struct fake_ring *ring, uint16_t idx)
{
	__atomic_store_n(&ring->avail->idx, idx, __ATOMIC_SEQ_CST);
}

uint16_t fake_ring_used_count(const struct fake_ring *ring)
{
	return (uint16_t)(__atomic_load_n(&ring->used->idx, __ATOMIC_ACQUIRE) - ring->used_seen);
}

bool fake_ring_take(struct fake_ring *ring, uint32_t *head, uint32_t *len)
{
	const struct vring_used_elem *elem;

	if (!fake_ring_used_count(ring))
		return false;
	elem = &ring->used->ring[ring->used_seen % ring->size];
	*head = elem->id;
	*len = elem->len;
	ring->used_seen++;
	return true;
}

void fake_ring_set_used_event(struct fake_ring *ring, uint16_t event)
{
	__atomic_store_n(&ring->avail->ring[ring->size], event, __ATOMIC_RELAXED);
}

uint16_t fake_ring_avail_event(const struct fake_ring *ring)
{
	const uint16_t *event = (const uint16_t *)(const void *)&ring->used->ring[ring->size];

	return __atomic_load_n(event, __ATOMIC_SEQ_CST);
}
