/*
 * Requests that only a certain device understands, and should not.
 */
#include <linux/virtio_blk.h>
#include <linux/virtio_net.h>

#include "tests/guest/lib/hostile.h"

#define MAX_PARTS	 4

#define ARRAY_LEN(array) (sizeof(array) / sizeof((array)[0]))

/* A chain of up to MAX_PARTS parts of scratch memory: lengths, those below zero writable. */
struct request {
	const char *name;
	int parts[MAX_PARTS];
	uint8_t bytes[80];
};

#define LE32(v)			      (v) & 0xff, (v) >> 8 & 0xff, (v) >> 16 & 0xff, (v) >> 24 & 0xff
#define LE64(v)			      LE32((v)&0xffffffff), LE32((unsigned long long)(v) >> 32)
#define BLK(type, sector)	      LE32(type##u), LE32(0u), LE64(sector##ull)
#define SEGMENT(sector, count, flags) LE64(sector##ull), LE32(count##u), LE32(flags##u)

static const struct request blk_requests[] = {
	{ "header of 15 bytes", { 15, -1 }, { BLK(0, 0) } },
	{ "header of 1 byte", { 1, -1 }, { 0 } },
	{ "no header", { -512, -1 }, { 0 } },
	{ "no status byte", { 16 }, { BLK(0, 0) } },
	{ "writing without a status byte", { 16, 512 }, { BLK(1, 0) } },
	{ "read of nothing", { 16, -1 }, { BLK(0, 0) } },
	{ "write of nothing", { 16, -1 }, { BLK(1, 0) } },
	{ "read past the end", { 16, -512, -1 }, { BLK(0, 0x8000) } },
	{ "read across the end", { 16, -4096, -1 }, { BLK(0, 0x7fff) } },
	{ "read at the last sector number", { 16, -512, -1 }, { BLK(0, 0xffffffffffffffff) } },
	{ "read where bytes wrap", { 16, -512, -1 }, { BLK(0, 0x0080000000000000) } },
	{ "read below zero", { 16, -512, -1 }, { BLK(0, 0x8000000000000000) } },
	{ "write past the end", { 16, 512, -1 }, { BLK(1, 0x8000) } },
	{ "write where bytes wrap", { 16, 512, -1 }, { BLK(1, 0x007fffffffffffff) } },
	{ "read of 513 bytes", { 16, -513, -1 }, { BLK(0, 0) } },
	{ "write of 511 bytes", { 16, 511, -1 }, { BLK(1, 0) } },
	{ "read into what is to be read", { 16, 512, -1 }, { BLK(0, 0) } },
	{ "write from what is to be written", { 16, -512, -1 }, { BLK(1, 0) } },
	{ "flush with data", { 16, 512, -512, -1 }, { BLK(4, 99) } },
	{ "name into one byte", { 16, -1, -1 }, { BLK(8, 0) } },
	{ "name into 4096 bytes", { 16, -4096, -1 }, { BLK(8, 0) } },
	{ "name into nothing", { 16, -1 }, { BLK(8, 0) } },
	{ "unknown request", { 16, -512, -1 }, { BLK(0xffffffff, 0) } },
	{ "discard of nothing", { 16, -1 }, { BLK(11, 0) } },
	{ "discard of half a segment", { 24, -1 }, { BLK(11, 0), SEGMENT(0, 8, 0) } },
	{ "discard past the end", { 32, -1 }, { BLK(11, 0), SEGMENT(0x8000, 8, 0) } },
	{ "discard that wraps", { 32, -1 }, { BLK(11, 0), SEGMENT(0xffffffffffffffff, 2, 0) } },
	{ "discard of 2 TiB", { 32, -1 }, { BLK(11, 0), SEGMENT(0, 0xffffffff, 0) } },
	{ "discard with unknown flags", { 32, -1 }, { BLK(11, 0), SEGMENT(0, 8, 0xffffffff) } },
	{ "discard of 4096 segments", { 16, 65536, -1 }, { BLK(11, 0) } },
	{ "zeroes past the end", { 32, -1 }, { BLK(13, 0), SEGMENT(0x7fff, 2, 0) } },
	{ "zeroes that wrap", { 32, -1 }, { BLK(13, 0), SEGMENT(0xfffffffffffffff8, 16, 1) } },
	{ "zeroes for 2 TiB", { 32, -1 }, { BLK(13, 0), SEGMENT(0, 0xffffffff, 1) } },
	{ "zeroes, one segment good and one bad",
	  { 48, -1 },
	  { BLK(13, 0), SEGMENT(0, 8, 0), SEGMENT(0x9000, 8, 0) } },
	{ "secure erase", { 32, -1 }, { BLK(14, 0), SEGMENT(0, 8, 0) } },
	{ "zone report", { 16, -4096, -1 }, { BLK(16, 0) } },
};

#define HDR(flags, gso, hdr_len, gso_size, start, offset)                                          \
	flags, gso, (hdr_len)&0xff, (hdr_len) >> 8, (gso_size)&0xff, (gso_size) >> 8,              \
		(start)&0xff, (start) >> 8, (offset)&0xff, (offset) >> 8, 0, 0

static const struct request send_requests[] = {
	{ "no frame", { 12 }, { 0 } },
	{ "part of a header", { 5 }, { 0 } },
	{ "a frame of one byte", { 13 }, { 0 } },
	{ "a frame of 100 KB", { 12, 100000 }, { 0 } },
	{ "a frame of 1 MB", { 12, 1000000 }, { 0 } },
	{ "a frame to be written", { -1514 }, { 0 } },
	{ "a header alone in its part", { 12, 60 }, { 0 } },
	{ "a header in two parts", { 7, 5, 60 }, { 0 } },
	{ "checksum outside the frame", { 72 }, { HDR(1, 0, 0, 0, 0xffff, 0xffff) } },
	{ "checksum that wraps", { 72 }, { HDR(1, 0, 0, 0, 50, 0xffce) } },
	{ "segments of size 0", { 1000 }, { HDR(1, 1, 54, 0, 34, 16) } },
	{ "segments of an unknown kind", { 1000 }, { HDR(0xff, 0x7f, 0xffff, 0xffff, 0, 0) } },
	{ "headers longer than the frame", { 72 }, { HDR(1, 4, 0xffff, 1000, 34, 16) } },
};

#define CTRL(class, command) class, command

static const struct request control_requests[] = {
	{ "no command", { -1 }, { 0 } },
	{ "half a command", { 1, -1 }, { 0 } },
	{ "no room for an answer", { 3 }, { CTRL(0, 0), 1 } },
	{ "unknown class", { 3, -1 }, { CTRL(0xff, 0xff), 1 } },
	{ "unknown command", { 3, -1 }, { CTRL(0, 0xff), 1 } },
	{ "mode without a value", { 2, -1 }, { CTRL(0, 0) } },
	{ "address too short", { 7, -1 }, { CTRL(1, 1), 1, 2, 3, 4, 5 } },
	{ "address too long", { 60, -1 }, { CTRL(1, 1), 1, 2, 3, 4, 5 } },
	{ "table of 4 G addresses", { 20, -1 }, { CTRL(1, 0), LE32(0xffffffffu), 1, 2 } },
	{ "VLAN", { 4, -1 }, { CTRL(2, 0), 0xff, 0xff } },
	{ "0 pairs", { 4, -1 }, { CTRL(4, 0), 0, 0 } },
	{ "65535 pairs", { 4, -1 }, { CTRL(4, 0), 0xff, 0xff } },
	{ "hash of everything", { 80, -1 }, { CTRL(4, 1), 0xff, 0xff, 0xff, 0xff } },
	{ "offloads that there are not", { 10, -1 }, { CTRL(5, 0), LE64(0xffffffffffffffffull) } },
	{ "command of 64 KiB", { 65536, -1 }, { CTRL(0, 0) } },
	{ "answer of 64 KiB", { 3, -65536 }, { CTRL(0, 0), 1 } },
};

static void offer(struct vq *vq, const struct request *request)
{
	uint8_t *at = hostile_scratch;
	unsigned count = 0;

	while (count < MAX_PARTS && request->parts[count])
		count++;
	memset(at, 0, 4096);
	memcpy(at, request->bytes, sizeof(request->bytes));
	for (unsigned i = 0; i < count; i++) {
		int len = request->parts[i];
		uint32_t bytes = (uint32_t)(len < 0 ? -len : len);

		vq_raw_desc(vq, i, len < 0 ? (uint64_t)hostile_scratch + 65536 * i : (uint64_t)at,
			    bytes,
			    (uint16_t)((len < 0 ? VRING_DESC_F_WRITE : 0) |
				       (i + 1 < count ? VRING_DESC_F_NEXT : 0)),
			    (uint16_t)(i + 1));
		at += len > 0 ? len : 0;
	}
	vq_raw_offer(vq, 0);
	vq_notify(vq);
}

/* What is wrong in a request is answered; the queue goes on. */
static void all_of(struct target *target, const struct request *requests, unsigned count,
		   uint64_t features)
{
	struct vq *vq = &target->vq[target->queue];

	for (unsigned i = 0; i < count; i++) {
		size_t mark = guest_alloc_mark();
		bool bad = !hostile_open(target, features, false);
		uint64_t start = rdtsc();

		offer(vq, &requests[i]);
		while (!*(volatile uint16_t *)&vq->used->idx && !bad)
			bad = rdtsc() - start > VQ_PATIENCE;
		hostile_verdict(target, requests[i].name, bad || virtio_needs_reset(&target->dev));
		guest_alloc_back_to(mark);
	}
}

static struct target *target_named(const char *name)
{
	for (unsigned i = 0; i < hostile_target_count; i++)
		if (!memcmp(hostile_targets[i].name, name, guest_strlen(name) + 1))
			return &hostile_targets[i];
	guest_die("no such target");
}

void hostile_requests(uint16_t device_id)
{
	if (device_id == VIRTIO_ID_BLOCK) {
		all_of(target_named("blk"), blk_requests, ARRAY_LEN(blk_requests),
		       1ull << VIRTIO_BLK_F_DISCARD | 1ull << VIRTIO_BLK_F_WRITE_ZEROES);
	} else if (device_id == VIRTIO_ID_NET) {
		all_of(target_named("net send"), send_requests, ARRAY_LEN(send_requests),
		       1ull << VIRTIO_NET_F_CSUM | 1ull << VIRTIO_NET_F_HOST_TSO4);
		all_of(target_named("net control"), control_requests, ARRAY_LEN(control_requests),
		       1ull << VIRTIO_NET_F_CTRL_RX | 1ull << VIRTIO_NET_F_CTRL_MAC_ADDR |
			       1ull << VIRTIO_NET_F_GUEST_CSUM |
			       1ull << VIRTIO_NET_F_CTRL_GUEST_OFFLOADS);
	}
}
