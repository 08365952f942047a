/*
 * The driver's side of a split virtqueue, for tests and fuzz targets: honest helpers that build
 * chains and read the used ring, and raw ones that write whatever they are told. It trusts nothing
 * that the device wrote.
 */
#ifndef TESTS_SUPPORT_FAKE_DRIVER_H
#define TESTS_SUPPORT_FAKE_DRIVER_H

#include <linux/virtio_ring.h>
#include <stdbool.h>
#include <stdint.h>

#include "vmm/guest_mem.h"

struct fake_ring {
	const struct guest_mem *mem;
	uint16_t size;
	bool event_idx;
	gpa_t desc_gpa;
	gpa_t avail_gpa;
	gpa_t used_gpa;
	gpa_t end_gpa; /* after the areas */
	struct vring_desc *desc;
	struct vring_avail *avail;
	struct vring_used *used;
	uint16_t desc_next;  /* next descriptor to use; honest chains take them in turn */
	uint16_t avail_next; /* what avail->idx will be after the next offer, less 1 */
	uint16_t used_seen;
};

struct fake_part {
	gpa_t gpa;
	uint32_t len;
	bool writable;
};

/* Lays the areas out from GPA on (16-byte aligned) and zeroes them. Asserts that they fit. */
void fake_ring_init(struct fake_ring *ring, const struct guest_mem *mem, gpa_t gpa, uint16_t size);

/* Writes one descriptor, unchecked but for INDEX. */
void fake_ring_desc(struct fake_ring *ring, uint16_t index, gpa_t gpa, uint32_t len, uint16_t flags,
		    uint16_t next);

/* Builds a chain of COUNT descriptors without offering it; returns its head. */
uint16_t fake_ring_chain(struct fake_ring *ring, const struct fake_part *parts, unsigned count);
/* The same by an indirect table at TABLE_GPA. */
uint16_t fake_ring_indirect(struct fake_ring *ring, gpa_t table_gpa, const struct fake_part *parts,
			    unsigned count);

/* Puts HEAD into the available ring and publishes the index. True when the device asked to be
 * notified. */
bool fake_ring_offer(struct fake_ring *ring, uint16_t head);
/* Builds, offers; returns the head. */
uint16_t fake_ring_add(struct fake_ring *ring, const struct fake_part *parts, unsigned count);
/* Publishes any index. */
void fake_ring_set_avail_idx(struct fake_ring *ring, uint16_t idx);

/* Takes the next used element. False when there is none. */
bool fake_ring_take(struct fake_ring *ring, uint32_t *head, uint32_t *len);
/* Elements that could be taken. */
uint16_t fake_ring_used_count(const struct fake_ring *ring);

/* The event fields (2.7.6, 2.7.8). */
void fake_ring_set_used_event(struct fake_ring *ring, uint16_t event);
uint16_t fake_ring_avail_event(const struct fake_ring *ring);

#endif
