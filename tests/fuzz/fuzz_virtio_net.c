/*
 * A network card under a driver that writes anything anywhere, and a back end that gives frames of
 * any length, is full, or fails, as the input says. Checked: what reaches the back end lies inside
 * guest memory or in the device's own buffer, frames have sensible lengths, and a device that is
 * reset has nothing in flight.
 */
#include <assert.h>
#include <linux/virtio_net.h>
#include <stdint.h>
#include <string.h>

#include "devices/net/net_iov.h"
#include "devices/virtio/virtio_net.h"
#include "tests/fuzz/quiet_log.h"
#include "tests/support/fuzz_driver.h"

#define MEM_LEN	   0x40000ull
#define RING_GPA   0x1000ull
#define DATA_GPA   0x10000ull
#define QUEUE_SIZE 16
#define PAIRS	   2
#define QUEUES	   (2 * PAIRS + 1)
#define PARTS_MAX  12

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

struct fake_net {
	struct net net;
	const struct guest_mem *mem;
	const struct net_queue_user *user;
	uint32_t frames[8]; /* lengths that can be received */
	unsigned frame_count;
	int send_result;
	unsigned attached;
};

/* Every part but the last, which may be the device's own, lies in guest memory. */
static void check_iov(const struct fake_net *fake, const struct iovec *iov, unsigned iov_count,
		      bool last_is_free)
{
	const struct guest_mem_region *region = &fake->mem->regions[0];

	for (unsigned i = 0; i < iov_count; i++) {
		const uint8_t *base = iov[i].iov_base;
		bool inside =
			base >= region->host && base + iov[i].iov_len <= region->host + MEM_LEN;

		assert(inside || (last_is_free && i + 1 == iov_count));
	}
}

static int fake_attach(struct net *net, unsigned pair, struct loop *loop,
		       const struct net_queue_user *user)
{
	struct fake_net *fake = container_of(net, struct fake_net, net);

	(void)pair;
	(void)loop;
	fake->user = user;
	fake->attached++;
	return 0;
}

static void fake_detach(struct net *net, unsigned pair)
{
	(void)pair;
	container_of(net, struct fake_net, net)->attached--;
}

static int fake_send(struct net *net, unsigned pair, const struct iovec *iov, unsigned iov_count)
{
	struct fake_net *fake = container_of(net, struct fake_net, net);
	uint8_t all[256];
	size_t len = net_iov_len(iov, iov_count);

	assert(pair < PAIRS);
	assert(len > NET_HDR_LEN && len <= NET_FRAME_MAX);
	check_iov(fake, iov, iov_count, false);
	net_iov_read(iov, iov_count, 0, all, sizeof(all));
	return fake->send_result;
}

static int64_t fake_receive(struct net *net, unsigned pair, const struct iovec *iov,
			    unsigned iov_count)
{
	static const uint8_t frame[NET_FRAME_MAX];
	struct fake_net *fake = container_of(net, struct fake_net, net);
	uint32_t len;

	assert(pair < PAIRS);
	check_iov(fake, iov, iov_count, true);
	assert(net_iov_len(iov, iov_count) >= NET_FRAME_MAX);
	if (fake->frame_count == 0)
		return -EAGAIN;
	len = fake->frames[--fake->frame_count];
	net_iov_write(iov, iov_count, 0, frame, len);
	return len;
}

static int fake_set(struct net *net, unsigned value)
{
	(void)net;
	(void)value;
	return 0;
}

static const struct net_ops fake_ops = {
	.name = "fake",
	.attach = fake_attach,
	.detach = fake_detach,
	.send = fake_send,
	.receive = fake_receive,
	.set_offload = fake_set,
	.set_pairs = fake_set,
};

struct env {
	struct guest_mem mem;
	struct loop loop;
	struct fake_net fake;
	struct virtio_net *vnet;
	struct virtio_device *dev;
	struct fake_ring rings[QUEUES];
};

static void bring_up(struct env *env, uint64_t features)
{
	fuzz_reset(env->dev);
	fake_bring_up(env->dev, features | 1ull << VIRTIO_F_VERSION_1, env->rings, RING_GPA,
		      QUEUE_SIZE);
}

/* A chain of parts as the input has it: honest in shape, wild in lengths and directions. */
static void add_chain(struct env *env, struct input *in)
{
	struct fake_ring *ring = &env->rings[take(in, 1) % QUEUES];
	struct fake_part parts[PARTS_MAX];
	unsigned count = 1 + (unsigned)take(in, 1) % PARTS_MAX;
	unsigned writable_from = (unsigned)take(in, 1) % (PARTS_MAX + 1);

	for (unsigned i = 0; i < count; i++)
		parts[i] = (struct fake_part){
			.gpa = DATA_GPA + (take(in, 2) << 1),
			.len = (uint32_t)(take(in, 1) & 1 ? take(in, 2) : take(in, 1)),
			.writable = i >= writable_from,
		};
	/* The start of what is read: a control command. */
	(void)!guest_mem_write(&env->mem, parts[0].gpa, in->at, in->left < 10 ? in->left : 10);
	fake_ring_offer(ring, fake_ring_chain(ring, parts, count));
}

static void step(struct env *env, struct input *in)
{
	static const int results[] = { 0, -EAGAIN, -EPIPE, -EINVAL };
	struct fake_net *fake = &env->fake;
	unsigned pair;

	switch (take(in, 1) % 12) {
	case 0:
		bring_up(env, take(in, 8));
		break;
	case 1:
		fuzz_write_desc(fuzz_ring(env->rings, QUEUES, in), in);
		break;
	case 2:
		fake_ring_set_avail_idx(&env->rings[take(in, 1) % QUEUES], (uint16_t)take(in, 1));
		break;
	case 3:
		fake->send_result = results[take(in, 1) % ARRAY_SIZE(results)];
		break;
	case 4:
		if (fake->frame_count < ARRAY_SIZE(fake->frames))
			fake->frames[fake->frame_count++] =
				(uint32_t)(take(in, 3) % (NET_FRAME_MAX + 1));
		break;
	case 5:
		pair = (unsigned)take(in, 1) % PAIRS;
		fake->user->readable(fake->user->opaque, pair);
		fake_loop_run_deferred(&env->loop);
		break;
	case 6:
		pair = (unsigned)take(in, 1) % PAIRS;
		fake->user->writable(fake->user->opaque, pair);
		fake_loop_run_deferred(&env->loop);
		break;
	case 7:
		virtio_queue_reset(virtio_queue_at(env->dev, (uint32_t)take(in, 1) % QUEUES));
		break;
	case 8:
	case 9:
		fuzz_kick(env->dev, &env->loop, (unsigned)take(in, 1));
		break;
	default:
		add_chain(env, in);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct input in = { data, len };
	struct env env = { 0 };
	struct loop *loop = &env.loop;
	struct virtio_net_options options = {
		.net = &env.fake.net, .pairs = PAIRS, .loops = &loop, .loop_count = 1
	};

	fake_loop_init(&env.loop);
	if (guest_mem_add(&env.mem, 0, MEM_LEN) < 0)
		abort();
	env.fake.mem = &env.mem;
	env.fake.net =
		(struct net){ .ops = &fake_ops, .pairs_max = PAIRS, .offloads = 0x6f, .mtu = 1500 };
	if (virtio_net_create(&env.vnet, &env.mem, &options) < 0)
		abort();
	env.dev = virtio_net_device(env.vnet);
	bring_up(&env, take(&in, 8));
	while (in.left > 0)
		step(&env, &in);
	virtio_net_destroy(env.vnet);
	assert(env.fake.attached == 0);
	guest_mem_fini(&env.mem);
	return 0;
}
