/*
 * A block device under a driver that writes anything anywhere: the input is a list of chains, each
 * a header, the lengths and directions of its parts and where they lie; between them the back end
 * completes what it holds, with success or an error. Checked: what reaches the back end lies inside
 * the disk and inside guest memory, and every chain comes back once.
 */
#include <assert.h>
#include <linux/virtio_blk.h>
#include <stdint.h>
#include <string.h>

#include "devices/virtio/blk_request.h"
#include "devices/virtio/virtio_blk.h"
#include "tests/fuzz/quiet_log.h"
#include "tests/support/fuzz_driver.h"

#define MEM_LEN	     0x40000ull
#define RING_GPA     0x1000ull
#define QUEUE_SIZE   32
#define DISK_SECTORS 1000u
#define PARTS_MAX    12

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* ---- a back end that looks at what it gets ---- */

struct fake_block {
	struct block block;
	const struct guest_mem *mem;
	struct block_request *held[QUEUE_SIZE * 2];
	unsigned held_count;
	bool busy;
};

static void check_iov(const struct fake_block *fake, const struct block_request *req)
{
	const struct guest_mem_region *region = &fake->mem->regions[0];
	uint64_t sum = 0;

	for (unsigned i = 0; i < req->iov_count; i++) {
		const uint8_t *base = req->iov[i].iov_base;

		assert(base >= region->host &&
		       base + req->iov[i].iov_len <= region->host + MEM_LEN);
		sum += req->iov[i].iov_len;
	}
	assert(sum == req->len);
}

static int fake_submit(struct block *block, struct loop *loop, struct block_request *req)
{
	struct fake_block *fake = container_of(block, struct fake_block, block);

	req->loop = loop;
	if (req->op == BLOCK_READ || req->op == BLOCK_WRITE)
		check_iov(fake, req);
	if (req->op != BLOCK_FLUSH)
		assert(req->len > 0 && req->offset % 512 == 0 && req->len % 512 == 0 &&
		       req->offset <= DISK_SECTORS * 512 &&
		       req->len <= DISK_SECTORS * 512 - req->offset);
	if (fake->busy || fake->held_count == ARRAY_SIZE(fake->held))
		return -EBUSY;
	fake->held[fake->held_count++] = req;
	return 0;
}

static void fake_attach(struct block *block, struct loop *loop)
{
	(void)block;
	(void)loop;
}

static const struct block_ops fake_ops = {
	.name = "fake",
	.submit = fake_submit,
	.attach = fake_attach,
	.detach = fake_attach,
};

static void complete_one(struct fake_block *fake, unsigned index, int result)
{
	struct block_request *req;

	if (fake->held_count == 0)
		return;
	index %= fake->held_count;
	req = fake->held[index];
	fake->held[index] = fake->held[--fake->held_count];
	if (req->op == BLOCK_READ && result == 0)
		for (unsigned i = 0; i < req->iov_count; i++)
			memset(req->iov[i].iov_base, 0x5a, req->iov[i].iov_len);
	req->done(req, result);
}

/* ---- the driver ---- */

struct env {
	struct guest_mem mem;
	struct loop loop;
	struct fake_block fake;
	struct virtio_blk *blk;
	struct virtio_device *dev;
	struct fake_ring ring;
	bool in_flight[QUEUE_SIZE]; /* by head */
	unsigned in_flight_count;
};

static void add_chain(struct env *env, struct input *in)
{
	struct fake_part parts[PARTS_MAX];
	unsigned count = 1 + (unsigned)take(in, 1) % PARTS_MAX;
	unsigned writable_from = (unsigned)take(in, 1) % (PARTS_MAX + 1);
	struct virtio_blk_outhdr header = {
		.type = (uint32_t)take(in, 1),
		.sector = take(in, 1) & 1 ? take(in, 8) : take(in, 2) % (DISK_SECTORS + 4),
	};
	uint16_t head;

	for (unsigned i = 0; i < count; i++) {
		/* Mostly what an honest driver does, now and then something else. */
		unsigned kind = (unsigned)take(in, 1);
		uint32_t part_len = kind & 1 ? 512u * (kind >> 4) : (uint32_t)take(in, 2);

		parts[i] = (struct fake_part){
			.gpa = 0x10000ull + (take(in, 2) << 1),
			.len = i == 0 && kind & 2 ? 16 : part_len,
			.writable = i >= writable_from,
		};
	}
	head = fake_ring_chain(&env->ring, parts, count);
	if (env->in_flight[head]) {
		/* The slot is in use: an honest driver would have waited. */
		return;
	}
	(void)!guest_mem_write(&env->mem, parts[0].gpa, &header, sizeof(header));
	/* Discard's segments, where a first data part would be. */
	if (count > 1)
		(void)!guest_mem_write(&env->mem, parts[1].gpa, &header.sector,
				       sizeof(header.sector));
	env->in_flight[head] = true;
	env->in_flight_count++;
	fake_ring_offer(&env->ring, head);
}

static void take_used(struct env *env)
{
	uint32_t head, written;

	while (fake_ring_take(&env->ring, &head, &written)) {
		assert(head < QUEUE_SIZE && env->in_flight[head]);
		env->in_flight[head] = false;
		env->in_flight_count--;
	}
}

static void run(struct env *env, struct input *in)
{
	while (in->left > 0) {
		uint64_t what = take(in, 1);

		switch (what % 8) {
		case 0:
			fuzz_kick(env->dev, &env->loop, 0);
			break;
		case 1:
			env->fake.busy = what & 8;
			break;
		case 2:
		case 3:
			complete_one(&env->fake, (unsigned)take(in, 1),
				     what & 8	 ? 0
				     : what & 16 ? -ENOSPC
				     : what & 32 ? -EOPNOTSUPP
						 : -EBUSY);
			fake_loop_run_deferred(&env->loop);
			take_used(env);
			break;
		case 4:
			virtio_config_write(env->dev, take(in, 1), in->at, in->left ? 1 : 0);
			break;
		default:
			add_chain(env, in);
			break;
		}
	}
}

/* All that was offered comes back, unless the ring itself was broken. */
static void drain(struct env *env)
{
	env->fake.busy = false;
	for (unsigned i = 0; i < 64 && env->in_flight_count > 0; i++) {
		fuzz_kick(env->dev, &env->loop, 0);
		while (env->fake.held_count > 0)
			complete_one(&env->fake, 0, 0);
		/* The timer that tries held requests again does not run by itself here. */
		virtio_blk_device(env->blk)->ops->queue_stop(&env->dev->queues[0]);
		fake_loop_run_deferred(&env->loop);
		take_used(env);
	}
	assert(env->in_flight_count == 0 ||
	       virtio_get_status(env->dev) & VIRTIO_CONFIG_S_NEEDS_RESET);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct input in = { data, len };
	struct env env = { 0 };
	struct loop *loop = &env.loop;

	fake_loop_init(&env.loop);
	if (guest_mem_add(&env.mem, 0, MEM_LEN) < 0)
		abort();
	env.fake.mem = &env.mem;
	env.fake.block = (struct block){
		.ops = &fake_ops,
		.writeback = true,
		.info = { .size = DISK_SECTORS * 512,
			  .logical_size = 512,
			  .physical_size = 4096,
			  .discard_granularity = 512,
			  .read_only = take(&in, 1) & 1 },
	};
	if (virtio_blk_create(&env.blk, &env.fake.block, &env.mem, &loop, 1, 1, QUEUE_SIZE,
			      "fuzz") < 0)
		abort();
	env.dev = virtio_blk_device(env.blk);
	fake_bring_up(env.dev, UINT64_MAX, &env.ring, RING_GPA, QUEUE_SIZE);
	run(&env, &in);
	drain(&env);
	virtio_blk_destroy(env.blk);
	guest_mem_fini(&env.mem);
	return 0;
}
