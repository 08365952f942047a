/*
 * A split virtqueue whose rings, tables and timing are the input's. What must hold whatever it
 * says: iovecs lie in guest memory, heads in flight are distinct and below the queue's size, sums
 * are right, and a broken queue gives nothing.
 *
 * Input: a byte of features, a byte of size, then operations; see step().
 */
#include <stdlib.h>
#include <string.h>

#include "devices/virtio/virtqueue.h"
#include "tests/support/fuzz_input.h"

#define LOW_LEN	 0x2000u
#define HIGH_GPA 0x10000u
#define HIGH_LEN 0x1000u
#define IOVS	 32

struct state {
	struct guest_mem mem;
	struct virtqueue vq;
	bool held[VIRTQUEUE_SIZE_MAX];
	unsigned held_count;
	bool popped; /* the last operation was a pop that gave something */
	uint16_t last_head;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void require(bool ok)
{
	if (!ok)
		abort();
}

static bool in_memory(const struct state *s, const struct iovec *iov)
{
	for (unsigned i = 0; i < s->mem.region_count; i++) {
		const struct guest_mem_region *r = &s->mem.regions[i];
		size_t offset = (size_t)((uint8_t *)iov->iov_base - r->host);

		if (offset < r->len && iov->iov_len <= r->len - offset)
			return true;
	}
	return false;
}

static void check_chain(const struct state *s, const struct iovec *iov,
			const struct virtqueue_chain *chain)
{
	unsigned count = chain->readable_count + chain->writable_count;
	uint64_t sums[2] = { 0, 0 };

	require(chain->head < s->vq.size && !s->held[chain->head] && count <= IOVS);
	for (unsigned i = 0; i < count; i++) {
		require(iov[i].iov_len && in_memory(s, &iov[i]));
		sums[i >= chain->readable_count] += iov[i].iov_len;
	}
	require(sums[0] == chain->readable_len && sums[1] == chain->writable_len);
}

static void do_pop(struct state *s)
{
	struct virtqueue_chain chain;
	struct iovec iov[IOVS];
	int ret = virtqueue_pop(&s->vq, iov, IOVS, &chain);

	if (ret <= 0) {
		require(ret == 0 || s->vq.broken);
		return;
	}
	check_chain(s, iov, &chain);
	s->held[chain.head] = true;
	require(++s->held_count <= s->vq.size);
	s->popped = true;
	s->last_head = chain.head;
}

static void do_pop_parts(struct state *s, unsigned max, uint64_t want_len)
{
	struct virtqueue_part parts[IOVS];
	unsigned count = virtqueue_pop_parts(&s->vq, parts, max < IOVS ? max : IOVS, want_len);
	uint64_t len = 0;

	require(count <= max && count <= IOVS);
	for (unsigned i = 0; i < count; i++) {
		const struct iovec iov = { parts[i].base, parts[i].len };

		require(parts[i].head < s->vq.size && !s->held[parts[i].head]);
		require(iov.iov_len && in_memory(s, &iov) && len < want_len);
		len += iov.iov_len;
		s->held[parts[i].head] = true;
		require(++s->held_count <= s->vq.size);
		s->popped = true;
		s->last_head = parts[i].head;
	}
}

static void do_push(struct state *s, unsigned from, uint32_t written)
{
	for (unsigned i = 0; i < s->vq.size; i++) {
		uint16_t head = (uint16_t)((from + i) % s->vq.size);

		if (!s->held[head])
			continue;
		virtqueue_push(&s->vq, head, written);
		s->held[head] = false;
		s->held_count--;
		return;
	}
}

static void do_unpop(struct state *s)
{
	if (!s->popped)
		return;
	virtqueue_unpop(&s->vq);
	s->held[s->last_head] = false;
	s->held_count--;
}

static void do_poke(struct state *s, gpa_t gpa, uint64_t value, unsigned width)
{
	int ret = guest_mem_write(&s->mem, gpa, &value, width);

	(void)ret; /* outside memory: nothing is written */
}

static void do_restart(struct state *s, struct input *in)
{
	bool event_idx = take(in, 1) & 1;

	virtqueue_init(&s->vq, &s->mem, VIRTQUEUE_SIZE_MAX);
	s->vq.size = (uint16_t)take(in, 2);
	s->vq.desc_gpa = take(in, 3);
	s->vq.avail_gpa = take(in, 3);
	s->vq.used_gpa = take(in, 3);
	memset(s->held, 0, sizeof(s->held));
	s->held_count = 0;
	if (virtqueue_enable(&s->vq, event_idx, true) < 0)
		s->vq.size = 1; /* for do_push, which then finds nothing */
}

static void step(struct state *s, struct input *in)
{
	uint8_t op = (uint8_t)take(in, 1);
	bool was_popped = s->popped;

	s->popped = false;
	switch (op % 12) {
	case 0:
	case 1:
		do_pop(s);
		break;
	case 2:
		do_push(s, (unsigned)take(in, 1), (uint32_t)take(in, 1));
		break;
	case 3:
		(void)virtqueue_flush(&s->vq);
		break;
	case 4:
		s->popped = was_popped;
		do_unpop(s);
		s->popped = false;
		break;
	case 5:
		(void)virtqueue_enable_notify(&s->vq);
		break;
	case 6:
		virtqueue_disable_notify(&s->vq);
		break;
	case 7: /* a descriptor */
		for (unsigned i = 0; i < 2; i++) {
			gpa_t gpa = take(in, 1) * 8;
			uint64_t value = take(in, op & 16 ? 8 : 3);

			do_poke(s, gpa, value, 8);
		}
		break;
	case 8: /* a head, a flag, an index, an event */
		do_poke(s, s->vq.avail_gpa + take(in, 1), take(in, 2), 2);
		break;
	case 9: /* one more request */
		if (s->vq.avail)
			s->vq.avail->idx++;
		break;
	case 10:
		do_poke(s, take(in, 3), take(in, 4), 1u << (op >> 6));
		break;
	default:
		if (op & 128)
			do_restart(s, in);
		else if (op & 64)
			do_pop_parts(s, (unsigned)take(in, 1), take(in, 2));
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct input in = { data, len };
	struct state s = { 0 };
	uint8_t features = (uint8_t)take(&in, 1);

	/* Each region an allocation of its own: a byte beyond it is seen. */
	s.mem.region_count = 2;
	s.mem.regions[0] = (struct guest_mem_region){ 0, LOW_LEN, aligned_alloc(4096, LOW_LEN) };
	s.mem.regions[1] =
		(struct guest_mem_region){ HIGH_GPA, HIGH_LEN, aligned_alloc(4096, HIGH_LEN) };
	memset(s.mem.regions[0].host, 0, LOW_LEN);
	memset(s.mem.regions[1].host, 0, HIGH_LEN);

	virtqueue_init(&s.vq, &s.mem, VIRTQUEUE_SIZE_MAX);
	s.vq.size = (uint16_t)(1u << (take(&in, 1) % 9));
	s.vq.desc_gpa = 0;
	s.vq.avail_gpa = 16ull * s.vq.size;
	s.vq.used_gpa = (s.vq.avail_gpa + 6 + 2ull * s.vq.size + 3) & ~3ull;
	require(virtqueue_enable(&s.vq, features & 1, features & 2) == 0);
	while (in.left)
		step(&s, &in);
	free(s.mem.regions[0].host);
	free(s.mem.regions[1].host);
	return 0;
}
