/*
 * Lies in rings and in the set-up of queues; the same for every device.
 */
#include "tests/guest/lib/cpu.h"
#include "tests/guest/lib/hostile.h"

#define NEXT		 VRING_DESC_F_NEXT
#define WRITE		 VRING_DESC_F_WRITE
#define INDIRECT	 VRING_DESC_F_INDIRECT

#define RAM_END		 (64ull << 20) /* of the machine that runs this */
#define MMIO		 0xfee00000ull
#define SCRATCH		 ((uint64_t)hostile_scratch)
#define DESC_LEN	 16u

#define ARRAY_LEN(array) (sizeof(array) / sizeof((array)[0]))

/* ---- chains ---- */

static void loop_of(struct vq *vq, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		vq_raw_desc(vq, i, SCRATCH, 16, NEXT, (uint16_t)((i + 1) % count));
	vq_raw_offer(vq, 0);
}

static void loop_self(struct vq *vq)
{
	loop_of(vq, 1);
}

static void loop_pair(struct vq *vq)
{
	loop_of(vq, 2);
}

static void loop_table(struct vq *vq)
{
	loop_of(vq, vq->size);
}

static void loop_writable(struct vq *vq)
{
	vq_raw_desc(vq, 0, SCRATCH, 16, NEXT | WRITE, 1);
	vq_raw_desc(vq, 1, SCRATCH, 16, NEXT | WRITE, 0);
	vq_raw_offer(vq, 0);
}

static void next_past_table(struct vq *vq)
{
	vq_raw_desc(vq, 0, SCRATCH, 16, NEXT, vq->size);
	vq_raw_offer(vq, 0);
}

static void next_far_past_table(struct vq *vq)
{
	vq_raw_desc(vq, 0, SCRATCH, 16, NEXT, 0xffff);
	vq_raw_offer(vq, 0);
}

static void head_past_table(struct vq *vq)
{
	vq_raw_offer(vq, vq->size);
}

static void head_far_past_table(struct vq *vq)
{
	vq_raw_offer(vq, 0xffff);
}

static void same_head_twice(struct vq *vq)
{
	vq_raw_desc(vq, 0, SCRATCH, 512, NEXT, 1);
	vq_raw_desc(vq, 1, SCRATCH + 512, 512, WRITE, 0);
	for (unsigned i = 0; i < 8; i++)
		vq_raw_offer(vq, 0);
}

static void shared_tail(struct vq *vq)
{
	for (unsigned i = 0; i < 8; i++)
		vq_raw_desc(vq, i, SCRATCH, 512, NEXT, 9);
	vq_raw_desc(vq, 9, SCRATCH + 4096, 512, WRITE, 0);
	for (unsigned i = 0; i < 8; i++)
		vq_raw_offer(vq, (uint16_t)i);
}

static void set_avail(struct vq *vq, unsigned ahead)
{
	for (unsigned i = 0; i < vq->size; i++)
		vq_raw_desc(vq, i, SCRATCH, 16, 0, 0);
	vq->avail_next = (uint16_t)(vq->avail_next + ahead);
	*(volatile uint16_t *)&vq->avail->idx = vq->avail_next;
}

static void index_one_too_far(struct vq *vq)
{
	set_avail(vq, vq->size + 1u);
}

static void index_half_way_round(struct vq *vq)
{
	set_avail(vq, 0x8000);
}

static void index_back(struct vq *vq)
{
	set_avail(vq, 0xffff);
}

/* ---- where and how long ---- */

static const struct {
	uint64_t addr;
	uint32_t len;
} places[] = {
	{ RAM_END - 8, 16 },   { RAM_END, 16 },	      { ~0ull - 7, 16 },
	{ ~0ull, 1 },	       { ~0ull - 7, ~0u },    { 0, ~0u },
	{ 1ull << 63, 4096 },  { MMIO, 16 },	      { 0xc0000000ull, 4096 },
	{ 1ull << 40, 4096 },  { 0x9fffffffull, 2 },  { 4096, RAM_END },
	{ 0xe0000000ull, 64 }, { 0xe8000000ull, 64 }, { 0xfffbc000ull, 64 },
};

static void place(struct vq *vq, unsigned i, uint16_t flags)
{
	vq_raw_desc(vq, 0, SCRATCH, 16, NEXT, 1);
	vq_raw_desc(vq, 1, places[i].addr, places[i].len, (uint16_t)(flags | NEXT), 2);
	vq_raw_desc(vq, 2, SCRATCH, 16, WRITE, 0);
	vq_raw_offer(vq, 0);
}

#define PLACE(n)                                                                                   \
	static void readable_##n(struct vq *vq)                                                    \
	{                                                                                          \
		place(vq, n, 0);                                                                   \
	}                                                                                          \
	static void writable_##n(struct vq *vq)                                                    \
	{                                                                                          \
		place(vq, n, WRITE);                                                               \
	}

PLACE(0)
PLACE(1)
PLACE(2)
PLACE(3)
PLACE(4)
PLACE(5)
PLACE(6)
PLACE(7)
PLACE(8)
PLACE(9)
PLACE(10)
PLACE(11)
PLACE(12)
PLACE(13)
PLACE(14)

/* All of the table, each part as long as memory: more than 32 bits can count. */
static void sum_wraps(struct vq *vq)
{
	for (unsigned i = 0; i < vq->size; i++)
		vq_raw_desc(vq, i, 0, (uint32_t)RAM_END, i + 1u < vq->size ? NEXT : 0,
			    (uint16_t)(i + 1));
	vq_raw_desc(vq, vq->size - 1u, SCRATCH, 1, WRITE, 0);
	vq_raw_offer(vq, 0);
}

static void many_parts(struct vq *vq)
{
	for (unsigned i = 0; i < vq->size; i++)
		vq_raw_desc(vq, i, SCRATCH + i, 1,
			    (i >= 128 ? WRITE : 0) | (i + 1u < vq->size ? NEXT : 0),
			    (uint16_t)(i + 1));
	vq_raw_offer(vq, 0);
}

static void large_writable(struct vq *vq)
{
	for (unsigned i = 0; i < 16; i++)
		vq_raw_desc(vq, i, SCRATCH, HOSTILE_SCRATCH_LEN, WRITE | (i < 15 ? NEXT : 0),
			    (uint16_t)(i + 1));
	vq_raw_offer(vq, 0);
}

static void no_length(struct vq *vq)
{
	vq_raw_desc(vq, 0, SCRATCH, 0, NEXT, 1);
	vq_raw_desc(vq, 1, SCRATCH, 0, WRITE, 0);
	vq_raw_offer(vq, 0);
}

static void no_length_nowhere(struct vq *vq)
{
	vq_raw_desc(vq, 0, ~0ull, 0, NEXT, 1);
	vq_raw_desc(vq, 1, RAM_END, 0, WRITE, 0);
	vq_raw_offer(vq, 0);
}

static void odd_addresses(struct vq *vq)
{
	vq_raw_desc(vq, 0, SCRATCH + 1, 17, NEXT, 1);
	vq_raw_desc(vq, 1, SCRATCH + 333, 513, WRITE, 0);
	vq_raw_offer(vq, 0);
}

static void page_zero(struct vq *vq)
{
	vq_raw_desc(vq, 0, SCRATCH, 16, NEXT, 1);
	vq_raw_desc(vq, 1, 0, 4096, NEXT | WRITE, 2);
	vq_raw_desc(vq, 2, SCRATCH, 1, WRITE, 0);
	vq_raw_offer(vq, 0);
}

/* The device is told to write over the rings it reads. */
static void data_over_rings(struct vq *vq)
{
	vq_raw_desc(vq, 0, SCRATCH, 16, NEXT, 1);
	vq_raw_desc(vq, 1, (uint64_t)vq->desc, vq->size * DESC_LEN, NEXT | WRITE, 2);
	vq_raw_desc(vq, 2, (uint64_t)vq->avail, 512, NEXT | WRITE, 3);
	vq_raw_desc(vq, 3, (uint64_t)vq->used, 2048, WRITE, 0);
	memset(hostile_scratch, 0, 16);
	vq_raw_offer(vq, 0);
}

/* ---- direction ---- */

static void writable_first(struct vq *vq)
{
	vq_raw_desc(vq, 0, SCRATCH, 512, NEXT | WRITE, 1);
	vq_raw_desc(vq, 1, SCRATCH + 512, 512, 0, 0);
	vq_raw_offer(vq, 0);
}

static void all_writable(struct vq *vq)
{
	vq_raw_desc(vq, 0, SCRATCH, 16, NEXT | WRITE, 1);
	vq_raw_desc(vq, 1, SCRATCH + 512, 1, WRITE, 0);
	vq_raw_offer(vq, 0);
}

static void all_readable(struct vq *vq)
{
	vq_raw_desc(vq, 0, SCRATCH, 16, NEXT, 1);
	vq_raw_desc(vq, 1, SCRATCH + 512, 512, 0, 0);
	vq_raw_offer(vq, 0);
}

static void unknown_flags(struct vq *vq)
{
	vq_raw_desc(vq, 0, SCRATCH, 16, 0xfff8, 0);
	vq_raw_offer(vq, 0);
}

/* ---- indirect ---- */

static void indirect(struct vq *vq, uint64_t at, uint32_t len, uint16_t flags)
{
	vq_raw_desc(vq, 0, at, len, (uint16_t)(INDIRECT | flags), 1);
	vq_raw_desc(vq, 1, SCRATCH + 8192, 16, WRITE, 0);
	vq_raw_offer(vq, 0);
}

static struct vring_desc *table(void)
{
	return memset(hostile_scratch, 0, 8192);
}

static void table_entry(unsigned i, uint32_t len, uint16_t flags, uint16_t next)
{
	struct vring_desc *desc = (struct vring_desc *)hostile_scratch + i;

	*desc = (struct vring_desc){ SCRATCH + 16384, len, flags, next };
}

static void indirect_not_negotiated(struct vq *vq)
{
	table();
	table_entry(0, 16, 0, 0);
	indirect(vq, SCRATCH, DESC_LEN, 0);
}

static void indirect_in_indirect(struct vq *vq)
{
	table();
	table_entry(0, 32, INDIRECT, 0);
	indirect(vq, SCRATCH, DESC_LEN, 0);
}

static void indirect_then_next(struct vq *vq)
{
	table();
	table_entry(0, 16, 0, 0);
	indirect(vq, SCRATCH, DESC_LEN, NEXT);
}

static void indirect_empty(struct vq *vq)
{
	indirect(vq, SCRATCH, 0, 0);
}

static void indirect_odd_length(struct vq *vq)
{
	table();
	indirect(vq, SCRATCH, DESC_LEN + 7, 0);
}

static void indirect_huge(struct vq *vq)
{
	table();
	indirect(vq, SCRATCH, ~0u & ~(DESC_LEN - 1), 0);
}

static void indirect_outside(struct vq *vq)
{
	indirect(vq, RAM_END - DESC_LEN, 2 * DESC_LEN, 0);
}

static void indirect_nowhere(struct vq *vq)
{
	indirect(vq, ~0ull - 15, DESC_LEN, 0);
}

static void indirect_writable(struct vq *vq)
{
	table();
	table_entry(0, 16, WRITE, 0);
	indirect(vq, SCRATCH, DESC_LEN, WRITE);
}

static void indirect_loop(struct vq *vq)
{
	table();
	table_entry(0, 16, NEXT, 1);
	table_entry(1, 16, NEXT, 0);
	indirect(vq, SCRATCH, 2 * DESC_LEN, 0);
}

static void indirect_next_outside(struct vq *vq)
{
	table();
	table_entry(0, 16, NEXT, 2);
	indirect(vq, SCRATCH, 2 * DESC_LEN, 0);
}

static void indirect_long_chain(struct vq *vq)
{
	table();
	for (unsigned i = 0; i < 512; i++)
		table_entry(i, 1, i < 511 ? NEXT : 0, (uint16_t)(i + 1));
	indirect(vq, SCRATCH, 512 * DESC_LEN, 0);
}

static void indirect_is_the_ring(struct vq *vq)
{
	indirect(vq, (uint64_t)vq->desc, vq->size * DESC_LEN, 0);
}

/* ---- event index ---- */

static void wild_event_index(struct vq *vq)
{
	vq_raw_desc(vq, 0, SCRATCH, 16, WRITE, 0);
	vq->avail->ring[vq->size] = 0xffff;
	vq->avail->flags = 0xffff;
	vq->used->flags = 0xffff;
	vq->used->idx = 0x1234;
	vq_raw_offer(vq, 0);
}

#define OUTSIDE(n, what)                                                                           \
	{ .name = "readable part " what, .breaks = true, .run = readable_##n },                    \
	{                                                                                          \
		.name = "writable part " what, .breaks = true, .run = writable_##n                 \
	}

const struct attack hostile_ring_attacks[] = {
	{ "descriptor that is its own next", true, false, false, loop_self },
	{ "loop of two descriptors", true, false, false, loop_pair },
	{ "loop through the whole table", true, false, false, loop_table },
	{ "loop of writable descriptors", true, false, false, loop_writable },
	{ "next just past the table", true, false, false, next_past_table },
	{ "next far past the table", true, false, false, next_far_past_table },
	{ "head just past the table", true, false, false, head_past_table },
	{ "head far past the table", true, false, false, head_far_past_table },
	{ "one head eight times in flight", false, false, false, same_head_twice },
	{ "eight chains with one tail", false, false, false, shared_tail },
	{ "available index one too far", true, false, false, index_one_too_far },
	{ "available index half way round", true, false, false, index_half_way_round },
	{ "available index moved back", true, false, false, index_back },
	OUTSIDE(0, "across the end of memory"),
	OUTSIDE(1, "behind the end of memory"),
	OUTSIDE(2, "that wraps"),
	OUTSIDE(3, "at the last address"),
	OUTSIDE(4, "of 4 GiB that wraps"),
	OUTSIDE(5, "of 4 GiB from 0"),
	OUTSIDE(6, "at the sign bit"),
	OUTSIDE(7, "in the local APIC"),
	OUTSIDE(8, "in the PCI window"),
	OUTSIDE(9, "at a TiB"),
	OUTSIDE(10, "in the hole"),
	OUTSIDE(11, "as long as memory"),
	OUTSIDE(12, "in configuration space"),
	OUTSIDE(13, "in registers"),
	OUTSIDE(14, "in KVM's own pages"),
	{ "chain of 16 GiB", false, false, false, sum_wraps },
	{ "chain of a part for each descriptor", false, false, false, many_parts },
	{ "16 MiB to be written", false, false, false, large_writable },
	{ "parts of no length", false, false, false, no_length },
	{ "parts of no length outside memory", false, false, false, no_length_nowhere },
	{ "odd addresses and lengths", false, false, false, odd_addresses },
	{ "page 0", false, false, false, page_zero },
	{ "data over the rings", false, false, false, data_over_rings },
	{ "writable before readable", true, false, false, writable_first },
	{ "all writable", false, false, false, all_writable },
	{ "all readable", false, false, false, all_readable },
	{ "unknown flags", false, false, false, unknown_flags },
	{ "indirect without the feature", true, false, true, indirect_not_negotiated },
	{ "indirect in indirect", true, false, false, indirect_in_indirect },
	{ "indirect with a next", true, false, false, indirect_then_next },
	{ "indirect of no length", true, false, false, indirect_empty },
	{ "indirect of odd length", true, false, false, indirect_odd_length },
	{ "indirect of 4 GiB", true, false, false, indirect_huge },
	{ "indirect across the end of memory", true, false, false, indirect_outside },
	{ "indirect at the last address", true, false, false, indirect_nowhere },
	{ "indirect that is writable", false, false, false, indirect_writable },
	{ "loop in an indirect table", true, false, false, indirect_loop },
	{ "next past the indirect table", true, false, false, indirect_next_outside },
	{ "indirect of 512 parts", false, false, false, indirect_long_chain },
	{ "indirect that is the ring itself", true, false, false, indirect_is_the_ring },
	{ "wild event index, flags and used index", false, false, false, wild_event_index },
};
const unsigned hostile_ring_attack_count = ARRAY_LEN(hostile_ring_attacks);

/* ---- queue set-up: before DRIVER_OK, with the queue selected and not enabled ---- */

static void set_addr(struct vq *vq, enum virtio_field low, uint64_t addr)
{
	virtio_set(vq->dev, V_QUEUE_SELECT, vq->index);
	virtio_set(vq->dev, low, (uint32_t)addr);
	virtio_set(vq->dev, low + 1, (uint32_t)(addr >> 32));
}

static void enable(struct vq *vq)
{
	virtio_set(vq->dev, V_QUEUE_SELECT, vq->index);
	virtio_set(vq->dev, V_QUEUE_ENABLE, 1);
}

static void ring_at(struct vq *vq, enum virtio_field low, uint64_t addr)
{
	set_addr(vq, low, addr);
	enable(vq);
}

#define RINGS_AT(name, addr)                                                                       \
	static void desc_##name(struct vq *vq)                                                     \
	{                                                                                          \
		ring_at(vq, V_QUEUE_DESC_LOW, addr);                                               \
	}                                                                                          \
	static void avail_##name(struct vq *vq)                                                    \
	{                                                                                          \
		ring_at(vq, V_QUEUE_AVAIL_LOW, addr);                                              \
	}                                                                                          \
	static void used_##name(struct vq *vq)                                                     \
	{                                                                                          \
		ring_at(vq, V_QUEUE_USED_LOW, addr);                                               \
	}

RINGS_AT(behind, RAM_END)
RINGS_AT(across, RAM_END - 16)
RINGS_AT(wraps, ~0ull - 0xfff)
RINGS_AT(apic, MMIO)
RINGS_AT(far, 1ull << 52)
RINGS_AT(odd, SCRATCH + 1)

#define RINGS_ATTACK(name, what)                                                                   \
	{ "descriptor table " what, true, true, false, desc_##name },                              \
		{ "available ring " what, true, true, false, avail_##name },                       \
	{                                                                                          \
		"used ring " what, true, true, false, used_##name                                  \
	}

static void rings_overlap(struct vq *vq)
{
	set_addr(vq, V_QUEUE_DESC_LOW, SCRATCH);
	set_addr(vq, V_QUEUE_AVAIL_LOW, SCRATCH);
	set_addr(vq, V_QUEUE_USED_LOW, SCRATCH);
	memset(hostile_scratch, 1, 65536);
	enable(vq);
}

static void rings_at_zero(struct vq *vq)
{
	set_addr(vq, V_QUEUE_DESC_LOW, 0);
	set_addr(vq, V_QUEUE_AVAIL_LOW, 0);
	set_addr(vq, V_QUEUE_USED_LOW, 0);
	enable(vq);
}

static void size_of(struct vq *vq, uint32_t size)
{
	virtio_set(vq->dev, V_QUEUE_SELECT, vq->index);
	virtio_set(vq->dev, V_QUEUE_SIZE, size);
	enable(vq);
}

static void size_zero(struct vq *vq)
{
	size_of(vq, 0);
}

static void size_odd(struct vq *vq)
{
	size_of(vq, 3);
}

static void size_too_large(struct vq *vq)
{
	size_of(vq, 512);
}

static void size_largest(struct vq *vq)
{
	size_of(vq, 0xffff);
}

static void never_enabled(struct vq *vq)
{
	vq_raw_desc(vq, 0, SCRATCH, 16, NEXT, 0);
	vq_raw_offer(vq, 0);
}

static void notified_before_ok(struct vq *vq)
{
	enable(vq);
	vq_raw_desc(vq, 0, SCRATCH, 16, NEXT, 0);
	vq_raw_offer(vq, 0);
	for (unsigned i = 0; i < 100; i++)
		vq_notify(vq);
}

/* ---- the same while it runs ---- */

static void enabled_twice(struct vq *vq)
{
	for (unsigned i = 0; i < 10; i++)
		enable(vq);
}

static void resized_while_running(struct vq *vq)
{
	size_of(vq, 2);
	size_of(vq, 0);
	size_of(vq, 0xffff);
}

static void moved_while_running(struct vq *vq)
{
	set_addr(vq, V_QUEUE_DESC_LOW, RAM_END - 16);
	set_addr(vq, V_QUEUE_AVAIL_LOW, ~0ull);
	set_addr(vq, V_QUEUE_USED_LOW, MMIO);
	enable(vq);
	vq_raw_desc(vq, 0, SCRATCH, 16, WRITE, 0);
	vq_raw_offer(vq, 0);
}

static void disabled_while_running(struct vq *vq)
{
	vq_raw_desc(vq, 0, SCRATCH, 65536, WRITE, 0);
	for (unsigned i = 0; i < 50; i++) {
		vq_raw_offer(vq, 0);
		vq_notify(vq);
		virtio_set(vq->dev, V_QUEUE_SELECT, vq->index);
		virtio_set(vq->dev, V_QUEUE_ENABLE, 0);
		virtio_set(vq->dev, V_QUEUE_ENABLE, 1);
	}
}

static void queue_reset_not_negotiated(struct vq *vq)
{
	vq_raw_desc(vq, 0, SCRATCH, 65536, WRITE, 0);
	vq_raw_offer(vq, 0);
	vq_notify(vq);
	virtio_set(vq->dev, V_QUEUE_SELECT, vq->index);
	for (unsigned i = 0; i < 10; i++)
		virtio_set(vq->dev, V_QUEUE_RESET, i);
}

static void reset_with_garbage(struct vq *vq)
{
	for (unsigned round = 0; round < 20; round++) {
		for (unsigned i = 0; i < 32; i++)
			vq_raw_desc(vq, i, SCRATCH + 4096 * i, 4096, i % 2 ? WRITE : NEXT,
				    (uint16_t)(i + 1));
		for (unsigned i = 0; i < 32; i += 2)
			vq_raw_offer(vq, (uint16_t)i);
		vq_notify(vq);
		virtio_set(vq->dev, V_STATUS, 0);
		vq_notify(vq);
		virtio_set(vq->dev, V_STATUS, 0xf);
		vq_notify(vq);
	}
}

static void status_nonsense(struct vq *vq)
{
	static const uint8_t values[] = { 0x80, 0x40, 0xff, 0x04, 0x0f, 0x10, 0x20,
					  0x01, 0x08, 0xcf, 0x00, 0x04, 0x0c, 0xff };

	for (unsigned i = 0; i < sizeof(values); i++) {
		virtio_set(vq->dev, V_STATUS, values[i]);
		vq_notify(vq);
	}
}

static void features_while_running(struct vq *vq)
{
	for (unsigned select = 0; select < 4; select++) {
		virtio_set(vq->dev, V_DRIVER_FEATURES_SELECT, select ? select : 0xffffffff);
		virtio_set(vq->dev, V_DRIVER_FEATURES, 0xffffffff);
		virtio_set(vq->dev, V_DEVICE_FEATURES_SELECT, 0x80000000u + select);
		(void)virtio_get(vq->dev, V_DEVICE_FEATURES);
	}
}

static void no_such_queue(struct vq *vq)
{
	static const uint32_t numbers[] = { 3, 33, 255, 256, 1000, 0x8000, 0xffff };

	for (unsigned i = 0; i < ARRAY_LEN(numbers); i++) {
		virtio_set(vq->dev, V_QUEUE_SELECT, numbers[i]);
		(void)virtio_get(vq->dev, V_QUEUE_SIZE);
		virtio_set(vq->dev, V_QUEUE_SIZE, 16);
		virtio_set(vq->dev, V_QUEUE_DESC_LOW, (uint32_t)SCRATCH);
		virtio_set(vq->dev, V_QUEUE_USED_HIGH, 1);
		virtio_set(vq->dev, V_QUEUE_ENABLE, 1);
		virtio_set(vq->dev, V_QUEUE_RESET, 1);
		if (vq->notify_width == 2)
			mmio_write16(vq->notify, (uint16_t)numbers[i]);
		else
			mmio_write32(vq->notify, numbers[i]);
	}
}

const struct attack hostile_setup_attacks[] = {
	RINGS_ATTACK(behind, "behind the end of memory"),
	RINGS_ATTACK(across, "across the end of memory"),
	RINGS_ATTACK(wraps, "that wraps"),
	RINGS_ATTACK(apic, "in the local APIC"),
	RINGS_ATTACK(far, "at 2^52"),
	RINGS_ATTACK(odd, "at an odd address"),
	{ "all rings in one place", false, true, false, rings_overlap },
	{ "all rings at 0", false, true, false, rings_at_zero },
	{ "queue size 0", false, true, false, size_zero },
	{ "queue size 3", false, true, false, size_odd },
	{ "queue size 512", false, true, false, size_too_large },
	{ "queue size 65535", false, true, false, size_largest },
	{ "notified though not enabled", false, true, false, never_enabled },
	{ "notified before DRIVER_OK", false, true, false, notified_before_ok },
	{ "enabled twice", false, false, false, enabled_twice },
	{ "resized while running", false, false, false, resized_while_running },
	{ "moved while running", false, false, false, moved_while_running },
	{ "disabled while running", false, false, false, disabled_while_running },
	{ "queue reset without the feature", false, false, false, queue_reset_not_negotiated },
	{ "reset in the middle of garbage", false, false, false, reset_with_garbage },
	{ "status that makes no sense", false, false, false, status_nonsense },
	{ "features while running", false, false, false, features_while_running },
	{ "queues that there are not", false, false, false, no_such_queue },
};
const unsigned hostile_setup_attack_count = ARRAY_LEN(hostile_setup_attacks);
