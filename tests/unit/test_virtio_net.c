/* The network card against a back end that is a list of frames. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>

#include "devices/net/net_iov.h"
#include "devices/virtio/virtio_net.h"
#include "tests/support/fake_bring_up.h"
#include "tests/support/fake_loop.h"

#define MEM_LEN	  0x200000ull
#define DATA_GPA  0x80000ull
#define SIZE	  64
#define PAIRS	  2
#define FRAMES	  32

#define USO_GUEST (1ull << 54 | 1ull << 55)
#define USO_HOST  (1ull << 56)

struct fake_net {
	struct net net;
	const struct net_queue_user *user;
	uint8_t sent[FRAMES][4096];
	size_t sent_len[FRAMES];
	unsigned sent_count;
	bool full;		 /* sends give -EAGAIN */
	int broken;		 /* sends give this */
	uint32_t frames[FRAMES]; /* lengths with header of what can be received */
	unsigned frame_first, frame_count;
	unsigned receive_calls;
	unsigned part_count; /* offered by the last of them */
	unsigned offload, pairs;
	unsigned attached;
};

struct env {
	struct guest_mem mem;
	struct loop loop;
	struct fake_net net;
	struct virtio_net *vnet;
	struct virtio_device *dev;
	struct fake_ring rings[2 * PAIRS + 1];
	unsigned interrupts[2 * PAIRS + 1];
	unsigned config_interrupts;
	gpa_t next_gpa;
	struct limit *receive_limit, *send_limit;
};

static struct env *the_env; /* transport ops get no pointer of ours */

static void count_interrupt(struct virtio_device *dev, uint16_t queue_index)
{
	(void)dev;
	the_env->interrupts[queue_index]++;
}

static void count_config_interrupt(struct virtio_device *dev)
{
	(void)dev;
	the_env->config_interrupts++;
}

static const struct virtio_transport_ops transport = {
	.interrupt_queue = count_interrupt,
	.interrupt_config = count_config_interrupt,
};

/* ---- the back end ---- */

static struct fake_net *to_fake(struct net *net)
{
	return container_of(net, struct fake_net, net);
}

static int fake_attach(struct net *net, unsigned pair, struct loop *loop,
		       const struct net_queue_user *user)
{
	(void)pair;
	(void)loop;
	to_fake(net)->user = user;
	to_fake(net)->attached++;
	return 0;
}

static void fake_detach(struct net *net, unsigned pair)
{
	(void)pair;
	to_fake(net)->attached--;
}

static int fake_send(struct net *net, unsigned pair, const struct iovec *iov, unsigned iov_count)
{
	struct fake_net *fake = to_fake(net);

	(void)pair;
	if (fake->broken)
		return fake->broken;
	if (fake->full || fake->sent_count == FRAMES)
		return -EAGAIN;
	fake->sent_len[fake->sent_count] = net_iov_len(iov, iov_count);
	net_iov_read(iov, iov_count, 0, fake->sent[fake->sent_count], sizeof(fake->sent[0]));
	fake->sent_count++;
	return 0;
}

/* Byte I of a received frame of length LEN. */
static uint8_t pattern(uint32_t len, uint32_t i)
{
	return i < NET_HDR_LEN ? 0 : (uint8_t)(len + i * 7);
}

static int64_t fake_receive(struct net *net, unsigned pair, const struct iovec *iov,
			    unsigned iov_count)
{
	static uint8_t frame[NET_FRAME_MAX];
	struct fake_net *fake = to_fake(net);
	uint32_t len;

	(void)pair;
	fake->receive_calls++;
	fake->part_count = iov_count;
	if (fake->frame_first == fake->frame_count)
		return -EAGAIN;
	len = fake->frames[fake->frame_first++];
	for (uint32_t i = 0; i < len; i++)
		frame[i] = pattern(len, i);
	return net_iov_write(iov, iov_count, 0, frame, len) < len ? 0 : (int64_t)len;
}

static int fake_set_offload(struct net *net, unsigned tun_flags)
{
	to_fake(net)->offload = tun_flags;
	return 0;
}

static int fake_set_pairs(struct net *net, unsigned pairs)
{
	to_fake(net)->pairs = pairs;
	return 0;
}

static void fake_destroy(struct net *net)
{
	(void)net;
}

static const struct net_ops fake_ops = {
	.name = "fake",
	.attach = fake_attach,
	.detach = fake_detach,
	.send = fake_send,
	.receive = fake_receive,
	.set_offload = fake_set_offload,
	.set_pairs = fake_set_pairs,
	.destroy = fake_destroy,
};

/* ---- the driver ---- */

static struct limit_options limits; /* of the next card, each way */

static int setup(void **state)
{
	struct env *env = calloc(1, sizeof(*env));
	struct virtio_net_options options = { .mac = { 2, 0, 0, 0, 0, 1 },
					      .pairs = PAIRS,
					      .loop_count = 1 };
	struct loop *loops[1];

	*state = env;
	the_env = env;
	fake_loop_init(&env->loop);
	loops[0] = &env->loop;
	env->next_gpa = DATA_GPA;
	env->net.net = (struct net){ .ops = &fake_ops,
				     .pairs_max = PAIRS,
				     .offloads = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 |
						 TUN_F_TSO_ECN | 0x60,
				     .mtu = 1500,
				     .link_up = true };
	options.net = &env->net.net;
	options.loops = loops;
	assert_int_equal(limit_create(&env->receive_limit, &limits), 0);
	assert_int_equal(limit_create(&env->send_limit, &limits), 0);
	options.receive_limit = env->receive_limit;
	options.send_limit = env->send_limit;
	if (guest_mem_add(&env->mem, 0, MEM_LEN) < 0 ||
	    virtio_net_create(&env->vnet, &env->mem, &options) < 0)
		return -1;
	env->dev = virtio_net_device(env->vnet);
	virtio_device_attach(env->dev, &transport);
	return 0;
}

static int teardown(void **state)
{
	struct env *env = *state;

	virtio_net_destroy(env->vnet);
	assert_int_equal(env->net.attached, 0);
	limit_destroy(env->receive_limit);
	limit_destroy(env->send_limit);
	guest_mem_fini(&env->mem);
	free(env);
	limits = (struct limit_options){ 0 };
	return 0;
}

/* A frame a millisecond; two are saved up. */
static int setup_limited(void **state)
{
	fake_loop_now_ns = 1000000000;
	limits = (struct limit_options){ .ops_per_s = 1000, .burst_ms = 2 };
	return setup(state);
}

/* 1000 bytes a millisecond; as many are saved up. */
static int setup_narrow(void **state)
{
	fake_loop_now_ns = 1000000000;
	limits = (struct limit_options){ .bytes_per_s = 1000000, .burst_ms = 1 };
	return setup(state);
}

static void bring_up(struct env *env, uint64_t features)
{
	virtio_set_status(env->dev, 0);
	virtio_set_status(env->dev, 3);
	virtio_set_features(env->dev, 0, (uint32_t)features);
	virtio_set_features(env->dev, 1, (uint32_t)(features >> 32) | 1);
	virtio_set_status(env->dev, 11);
	assert_true(virtio_get_status(env->dev) & VIRTIO_CONFIG_S_FEATURES_OK);
	for (unsigned i = 0; i < ARRAY_SIZE(env->rings); i++)
		fake_queue_enable(virtio_queue_at(env->dev, i), &env->rings[i], 0x1000 + i * 0x1000,
				  SIZE);
	virtio_set_status(env->dev, 15);
	fake_loop_round(&env->loop);
}

static void kick(struct env *env, unsigned queue)
{
	uint64_t one = 1;

	assert_int_equal(write(env->dev->queues[queue].kick_fd, &one, sizeof(one)), sizeof(one));
	fake_loop_round(&env->loop);
}

static gpa_t take_memory(struct env *env, uint32_t len)
{
	gpa_t gpa = env->next_gpa;

	env->next_gpa += (len + 63) & ~63u;
	assert_true(env->next_gpa <= MEM_LEN);
	return gpa;
}

static gpa_t offer_buffer(struct env *env, unsigned queue, uint32_t len)
{
	struct fake_part part = { take_memory(env, len), len, true };

	fake_ring_add(&env->rings[queue], &part, 1);
	return part.gpa;
}

static void offer_frame(struct env *env, unsigned queue, uint32_t len)
{
	gpa_t gpa = take_memory(env, len);
	struct fake_part parts[] = { { gpa, NET_HDR_LEN, false },
				     { gpa + NET_HDR_LEN, len - NET_HDR_LEN, false } };
	uint8_t *data = guest_mem_ptr(&env->mem, gpa, len);

	for (uint32_t i = 0; i < len; i++)
		data[i] = (uint8_t)(i + len);
	fake_ring_add(&env->rings[queue], parts, 2);
}

static void arrive(struct env *env, uint32_t len)
{
	env->net.frames[env->net.frame_count++] = len;
}

static void edge(struct env *env)
{
	env->net.user->readable(env->net.user->opaque, 0);
	fake_loop_round(&env->loop);
}

static uint16_t num_buffers(struct env *env, gpa_t gpa)
{
	struct virtio_net_hdr_v1 hdr;

	assert_int_equal(guest_mem_read(&env->mem, gpa, &hdr, sizeof(hdr)), 0);
	return hdr.num_buffers;
}

static void expect_pattern(struct env *env, gpa_t gpa, uint32_t from, uint32_t count, uint32_t len)
{
	const uint8_t *data = guest_mem_ptr(&env->mem, gpa, count);

	for (uint32_t i = 0; i < count; i++) {
		if (from + i >= NET_HDR_LEN)
			assert_int_equal(data[i], pattern(len, from + i));
	}
}

/* ---- features and configuration ---- */

static void features_follow_the_back_end(void **state)
{
	struct env *env = *state;
	uint64_t features = env->dev->features;

	assert_true(features & 1ull << VIRTIO_NET_F_CSUM);
	assert_true(features & 1ull << VIRTIO_NET_F_GUEST_CSUM);
	assert_true(features & 1ull << VIRTIO_NET_F_HOST_TSO6);
	assert_true(features & 1ull << VIRTIO_NET_F_GUEST_ECN);
	assert_true((features & USO_GUEST) == USO_GUEST);
	assert_true(features & USO_HOST);
	assert_true(features & 1ull << VIRTIO_NET_F_MQ);
	assert_true(features & 1ull << VIRTIO_NET_F_MTU);
	assert_false(features & 1ull << VIRTIO_NET_F_GUEST_UFO);
}

static void plain_back_end_offers_no_offload(void **state)
{
	struct env *env = *state;
	struct net plain = { .ops = &fake_ops, .pairs_max = 1 };
	struct fake_net fake = { .net = plain };
	struct loop *loops[1] = { &env->loop };
	struct virtio_net_options options = {
		.net = &fake.net, .pairs = 1, .loops = loops, .loop_count = 1
	};
	struct virtio_net *vnet;
	uint64_t features;

	assert_int_equal(virtio_net_create(&vnet, &env->mem, &options), 0);
	features = virtio_net_device(vnet)->features;
	assert_false(features & (1ull << VIRTIO_NET_F_CSUM | 1ull << VIRTIO_NET_F_GUEST_CSUM |
				 1ull << VIRTIO_NET_F_HOST_TSO4 | 1ull << VIRTIO_NET_F_MTU |
				 1ull << VIRTIO_NET_F_MQ |
				 1ull << VIRTIO_NET_F_CTRL_GUEST_OFFLOADS | USO_HOST));
	assert_true(features & 1ull << VIRTIO_NET_F_MRG_RXBUF);
	virtio_net_destroy(vnet);
}

static void configuration_tells_mac_link_pairs_and_mtu(void **state)
{
	struct env *env = *state;
	struct virtio_net_config config;

	virtio_config_read(env->dev, 0, &config, sizeof(config));
	assert_int_equal(config.mac[0], 2);
	assert_int_equal(config.mac[5], 1);
	assert_int_equal(config.status, VIRTIO_NET_S_LINK_UP);
	assert_int_equal(config.max_virtqueue_pairs, PAIRS);
	assert_int_equal(config.mtu, 1500);
}

static void lost_link_is_told_by_a_config_interrupt(void **state)
{
	struct env *env = *state;
	struct virtio_net_config config;

	bring_up(env, 1ull << VIRTIO_NET_F_STATUS);
	env->net.user->link(env->net.user->opaque, false);
	assert_int_equal(env->config_interrupts, 1);
	virtio_config_read(env->dev, 0, &config, sizeof(config));
	assert_int_equal(config.status, 0);
}

static void only_what_the_guest_takes_is_asked_of_the_back_end(void **state)
{
	struct env *env = *state;

	bring_up(env, 1ull << VIRTIO_NET_F_GUEST_CSUM | 1ull << VIRTIO_NET_F_GUEST_TSO4 |
			      1ull << VIRTIO_NET_F_GUEST_ECN);
	assert_int_equal(env->net.offload, TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO_ECN);
	/* segments without checksums, and half of USO, make no sense */
	bring_up(env, 1ull << VIRTIO_NET_F_GUEST_TSO4);
	assert_int_equal(env->net.offload, 0);
	bring_up(env, 1ull << VIRTIO_NET_F_GUEST_CSUM | 1ull << 54);
	assert_int_equal(env->net.offload, TUN_F_CSUM);
	bring_up(env, 1ull << VIRTIO_NET_F_GUEST_CSUM | USO_GUEST);
	assert_int_equal(env->net.offload, TUN_F_CSUM | 0x60);
	virtio_set_status(env->dev, 0);
	assert_int_equal(env->net.offload, 0);
}

/* ---- sending ---- */

static void frames_are_sent_in_order_with_one_interrupt(void **state)
{
	struct env *env = *state;

	bring_up(env, 0);
	offer_frame(env, 1, 100);
	offer_frame(env, 1, 200);
	offer_frame(env, 1, 300);
	kick(env, 1);
	assert_int_equal(env->net.sent_count, 3);
	assert_int_equal(env->net.sent_len[0], 100);
	assert_int_equal(env->net.sent_len[2], 300);
	assert_int_equal(env->net.sent[1][17], (uint8_t)(17 + 200));
	assert_int_equal(fake_ring_used_count(&env->rings[1]), 3);
	assert_int_equal(env->interrupts[1], 1);
}

static void full_back_end_keeps_frames_and_their_order(void **state)
{
	struct env *env = *state;

	bring_up(env, 0);
	env->net.full = true;
	offer_frame(env, 1, 100);
	kick(env, 1);
	offer_frame(env, 1, 200);
	kick(env, 1);
	assert_int_equal(fake_ring_used_count(&env->rings[1]), 0);
	env->net.full = false;
	env->net.user->writable(env->net.user->opaque, 0);
	fake_loop_round(&env->loop);
	assert_int_equal(env->net.sent_count, 2);
	assert_int_equal(env->net.sent_len[0], 100);
	assert_int_equal(env->net.sent_len[1], 200);
}

static void frames_of_no_sensible_length_are_dropped(void **state)
{
	struct env *env = *state;
	struct fake_part none = { DATA_GPA, NET_HDR_LEN, false };
	struct fake_part huge[] = { { DATA_GPA, 60000, false }, { DATA_GPA, 60000, false } };
	struct fake_part writable = { DATA_GPA, 100, true };
	struct virtio_net_stats stats;

	bring_up(env, 0);
	fake_ring_add(&env->rings[1], &none, 1);
	fake_ring_add(&env->rings[1], huge, 2);
	fake_ring_add(&env->rings[1], &writable, 1);
	kick(env, 1);
	assert_int_equal(env->net.sent_count, 0);
	assert_int_equal(fake_ring_used_count(&env->rings[1]), 3);
	virtio_net_get_stats(env->vnet, &stats);
	assert_int_equal(stats.send_dropped, 3);
}

static void broken_back_end_does_not_hold_the_guest(void **state)
{
	struct env *env = *state;

	bring_up(env, 0);
	env->net.broken = -EPIPE;
	for (unsigned i = 0; i < 10; i++)
		offer_frame(env, 1, 100);
	kick(env, 1);
	assert_int_equal(fake_ring_used_count(&env->rings[1]), 10);
}

/* ---- receiving ---- */

static void frame_fills_one_buffer(void **state)
{
	struct env *env = *state;
	uint32_t head, len;
	gpa_t gpa;

	bring_up(env, 0);
	gpa = offer_buffer(env, 0, 2048);
	kick(env, 0);
	arrive(env, 300);
	edge(env);
	assert_true(fake_ring_take(&env->rings[0], &head, &len));
	assert_int_equal(len, 300);
	assert_int_equal(num_buffers(env, gpa), 1);
	expect_pattern(env, gpa, 0, 300, 300);
	assert_int_equal(env->interrupts[0], 1);
}

static void frame_longer_than_the_buffer_is_dropped_and_the_buffer_kept(void **state)
{
	struct env *env = *state;
	uint32_t head, len;

	bring_up(env, 0);
	offer_buffer(env, 0, 200);
	arrive(env, 300);
	arrive(env, 150);
	edge(env);
	assert_true(fake_ring_take(&env->rings[0], &head, &len));
	assert_int_equal(len, 150);
	assert_false(fake_ring_take(&env->rings[0], &head, &len));
}

static void long_frame_spans_mergeable_buffers(void **state)
{
	struct env *env = *state;
	uint32_t head, len;
	gpa_t gpa[4];

	bring_up(env, 1ull << VIRTIO_NET_F_MRG_RXBUF);
	for (unsigned i = 0; i < 4; i++)
		gpa[i] = offer_buffer(env, 0, 500);
	arrive(env, 1200);
	arrive(env, 100);
	edge(env);
	assert_int_equal(fake_ring_used_count(&env->rings[0]), 4);
	assert_int_equal(num_buffers(env, gpa[0]), 3);
	for (unsigned i = 0; i < 3; i++) {
		assert_true(fake_ring_take(&env->rings[0], &head, &len));
		assert_int_equal(len, i < 2 ? 500 : 200);
		expect_pattern(env, gpa[i], 500 * i, len, 1200);
	}
	assert_true(fake_ring_take(&env->rings[0], &head, &len));
	assert_int_equal(len, 100);
	assert_int_equal(num_buffers(env, gpa[3]), 1);
}

static void short_frames_are_offered_few_parts_and_a_long_one_among_them_is_whole(void **state)
{
	struct env *env = *state;
	uint32_t head, len;
	gpa_t gpa[40];

	bring_up(env, 1ull << VIRTIO_NET_F_MRG_RXBUF);
	for (unsigned i = 0; i < ARRAY_SIZE(gpa); i++)
		gpa[i] = offer_buffer(env, 0, 200);
	for (unsigned i = 0; i < 16; i++) {
		arrive(env, 100);
		edge(env);
		assert_true(fake_ring_take(&env->rings[0], &head, &len));
	}
	assert_int_equal(env->net.part_count, 8);
	arrive(env, 1900);
	edge(env);
	assert_int_equal(num_buffers(env, gpa[16]), 10);
	for (unsigned i = 0; i < 10; i++) {
		assert_true(fake_ring_take(&env->rings[0], &head, &len));
		assert_int_equal(len, i < 9 ? 200 : 100);
		expect_pattern(env, gpa[16 + i], 200 * i, len, 1900);
	}
	assert_int_equal(env->net.part_count, 9);
	arrive(env, 1500);
	edge(env);
	assert_int_equal(num_buffers(env, gpa[26]), 8);
	for (unsigned i = 0; i < 8; i++) {
		assert_true(fake_ring_take(&env->rings[0], &head, &len));
		expect_pattern(env, gpa[26 + i], 200 * i, len, 1500);
	}
}

static void buffers_side_by_side_are_offered_as_one_part(void **state)
{
	struct env *env = *state;
	uint32_t head, len;
	gpa_t gpa[12];

	bring_up(env, 1ull << VIRTIO_NET_F_MRG_RXBUF);
	for (unsigned i = 0; i < ARRAY_SIZE(gpa); i++) {
		gpa[i] = offer_buffer(env, 0, 256);
		if (i == 7)
			take_memory(env, 64);
	}
	arrive(env, 600);
	arrive(env, 256);
	arrive(env, 1100);
	edge(env);
	/* The last look is at what the three frames left: three of the second eight, and the
	 * buffer for what does not fit. */
	assert_int_equal(env->net.part_count, 2);
	assert_int_equal(fake_ring_used_count(&env->rings[0]), 9);
	assert_int_equal(num_buffers(env, gpa[0]), 3);
	assert_int_equal(num_buffers(env, gpa[3]), 1);
	assert_int_equal(num_buffers(env, gpa[4]), 5);
	for (unsigned i = 0; i < 9; i++) {
		static const uint32_t frame[] = {
			600, 600, 600, 256, 1100, 1100, 1100, 1100, 1100
		};
		static const uint32_t from[] = { 0, 256, 512, 0, 0, 256, 512, 768, 1024 };
		static const uint32_t held[] = { 256, 256, 88, 256, 256, 256, 256, 256, 76 };

		assert_true(fake_ring_take(&env->rings[0], &head, &len));
		assert_int_equal(len, held[i]);
		expect_pattern(env, gpa[i], from[i], len, frame[i]);
	}
}

static void buffer_longer_than_any_frame_takes_one(void **state)
{
	struct env *env = *state;
	uint32_t head, len;
	gpa_t gpa[2];

	bring_up(env, 1ull << VIRTIO_NET_F_MRG_RXBUF);
	gpa[0] = offer_buffer(env, 0, 2 * NET_FRAME_MAX);
	gpa[1] = offer_buffer(env, 0, 2 * NET_FRAME_MAX);
	arrive(env, 1000);
	arrive(env, 3000);
	edge(env);
	for (unsigned i = 0; i < 2; i++) {
		assert_true(fake_ring_take(&env->rings[0], &head, &len));
		assert_int_equal(len, i ? 3000 : 1000);
		assert_int_equal(num_buffers(env, gpa[i]), 1);
		expect_pattern(env, gpa[i], 0, len, len);
	}
}

static void frame_without_enough_mergeable_buffers_waits_for_them(void **state)
{
	struct env *env = *state;
	uint32_t head, len;
	gpa_t gpa[3];

	bring_up(env, 1ull << VIRTIO_NET_F_MRG_RXBUF);
	gpa[0] = offer_buffer(env, 0, 500);
	arrive(env, 1400);
	arrive(env, 60);
	edge(env);
	assert_int_equal(fake_ring_used_count(&env->rings[0]), 0);
	gpa[1] = offer_buffer(env, 0, 500);
	kick(env, 0);
	assert_int_equal(fake_ring_used_count(&env->rings[0]), 0);
	gpa[2] = offer_buffer(env, 0, 500);
	offer_buffer(env, 0, 500);
	kick(env, 0);
	assert_int_equal(fake_ring_used_count(&env->rings[0]), 4);
	assert_int_equal(num_buffers(env, gpa[0]), 3);
	for (unsigned i = 0; i < 3; i++) {
		assert_true(fake_ring_take(&env->rings[0], &head, &len));
		expect_pattern(env, gpa[i], 500 * i, len, 1400);
	}
}

static void frame_that_no_ring_can_hold_is_dropped(void **state)
{
	struct env *env = *state;
	struct virtio_net_stats stats;

	bring_up(env, 1ull << VIRTIO_NET_F_MRG_RXBUF);
	for (unsigned i = 0; i < SIZE; i++)
		offer_buffer(env, 0, 16);
	arrive(env, 1400);
	arrive(env, 60);
	edge(env);
	virtio_net_get_stats(env->vnet, &stats);
	assert_int_equal(stats.receive_dropped, 1);
	assert_int_equal(stats.received, 1);
	assert_int_equal(fake_ring_used_count(&env->rings[0]), 4);
}

static void frames_wait_in_the_back_end_while_there_are_no_buffers(void **state)
{
	struct env *env = *state;
	uint32_t head, len;

	bring_up(env, 0);
	arrive(env, 100);
	edge(env);
	assert_int_equal(env->net.receive_calls, 0);
	offer_buffer(env, 0, 2048);
	kick(env, 0);
	assert_true(fake_ring_take(&env->rings[0], &head, &len));
	assert_int_equal(len, 100);
}

static void new_buffers_alone_cost_no_look_at_the_back_end(void **state)
{
	struct env *env = *state;
	unsigned calls;

	bring_up(env, 0);
	offer_buffer(env, 0, 2048);
	edge(env);
	calls = env->net.receive_calls;
	assert_int_equal(calls, 1);
	offer_buffer(env, 0, 2048);
	kick(env, 0);
	assert_int_equal(env->net.receive_calls, calls);
}

static void buffer_too_small_for_a_header_is_given_back(void **state)
{
	struct env *env = *state;
	uint32_t head, len;

	bring_up(env, 1ull << VIRTIO_NET_F_MRG_RXBUF);
	offer_buffer(env, 0, 8);
	offer_buffer(env, 0, 2048);
	arrive(env, 100);
	edge(env);
	assert_true(fake_ring_take(&env->rings[0], &head, &len));
	assert_int_equal(len, 0);
	assert_true(fake_ring_take(&env->rings[0], &head, &len));
	assert_int_equal(len, 100);
}

static void reset_gives_held_buffers_up(void **state)
{
	struct env *env = *state;
	uint32_t head, len;

	bring_up(env, 1ull << VIRTIO_NET_F_MRG_RXBUF);
	for (unsigned i = 0; i < 8; i++)
		offer_buffer(env, 0, 500);
	arrive(env, 100);
	edge(env);
	bring_up(env, 1ull << VIRTIO_NET_F_MRG_RXBUF);
	offer_buffer(env, 0, 2048);
	arrive(env, 200);
	edge(env);
	assert_true(fake_ring_take(&env->rings[0], &head, &len));
	assert_int_equal(len, 200);
	assert_int_equal(env->dev->queues[0].inflight, 0);
}

/* ---- control queue ---- */

static uint8_t control(struct env *env, unsigned queue, uint8_t class, uint8_t command,
		       const void *data, uint32_t len)
{
	gpa_t gpa = take_memory(env, 64 + len);
	struct fake_part parts[] = { { gpa, 2, false },
				     { gpa + 16, len, false },
				     { gpa + 16 + len, 1, true } };
	uint8_t *mem = guest_mem_ptr(&env->mem, gpa, 64 + len);
	uint32_t head, used;

	mem[0] = class;
	mem[1] = command;
	memcpy(mem + 16, data, len);
	mem[16 + len] = 0xff;
	fake_ring_add(&env->rings[queue], parts, 3);
	kick(env, queue);
	assert_true(fake_ring_take(&env->rings[queue], &head, &used));
	assert_int_equal(used, 1);
	return mem[16 + len];
}

static void mac_and_receive_modes_are_accepted(void **state)
{
	struct env *env = *state;
	const uint8_t mac[6] = { 2, 9, 9, 9, 9, 9 };
	struct virtio_net_config config;
	uint8_t on = 1;

	bring_up(env, 1ull << VIRTIO_NET_F_CTRL_VQ | 1ull << VIRTIO_NET_F_CTRL_MAC_ADDR);
	assert_int_equal(control(env, 2, VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_PROMISC, &on, 1),
			 VIRTIO_NET_OK);
	assert_int_equal(control(env, 2, VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET, mac, 6),
			 VIRTIO_NET_OK);
	virtio_config_read(env->dev, 0, &config, sizeof(config));
	assert_memory_equal(config.mac, mac, 6);
	assert_int_equal(control(env, 2, VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET, mac, 5),
			 VIRTIO_NET_ERR);
	assert_int_equal(control(env, 2, 77, 0, mac, 5), VIRTIO_NET_ERR);
}

static void pairs_are_set_within_what_there_is(void **state)
{
	struct env *env = *state;
	uint16_t pairs = 2;

	bring_up(env, 1ull << VIRTIO_NET_F_CTRL_VQ | 1ull << VIRTIO_NET_F_MQ);
	assert_int_equal(env->net.pairs, 1);
	assert_int_equal(control(env, 4, VIRTIO_NET_CTRL_MQ, 0, &pairs, 2), VIRTIO_NET_OK);
	assert_int_equal(env->net.pairs, 2);
	pairs = 3;
	assert_int_equal(control(env, 4, VIRTIO_NET_CTRL_MQ, 0, &pairs, 2), VIRTIO_NET_ERR);
	pairs = 0;
	assert_int_equal(control(env, 4, VIRTIO_NET_CTRL_MQ, 0, &pairs, 2), VIRTIO_NET_ERR);
	assert_int_equal(env->net.pairs, 2);
	virtio_set_status(env->dev, 0);
	assert_int_equal(env->net.pairs, 1);
}

static void second_pair_works_like_the_first(void **state)
{
	struct env *env = *state;

	bring_up(env, 1ull << VIRTIO_NET_F_CTRL_VQ | 1ull << VIRTIO_NET_F_MQ);
	offer_frame(env, 3, 100);
	kick(env, 3);
	assert_int_equal(env->net.sent_count, 1);
	assert_int_equal(env->interrupts[3], 1);
}

static void offloads_can_be_changed_within_what_was_negotiated(void **state)
{
	struct env *env = *state;
	uint64_t wanted = 1ull << VIRTIO_NET_F_GUEST_CSUM;

	bring_up(env, 1ull << VIRTIO_NET_F_CTRL_VQ | 1ull << VIRTIO_NET_F_CTRL_GUEST_OFFLOADS |
			      1ull << VIRTIO_NET_F_GUEST_CSUM | 1ull << VIRTIO_NET_F_GUEST_TSO4);
	assert_int_equal(env->net.offload, TUN_F_CSUM | TUN_F_TSO4);
	assert_int_equal(control(env, 2, VIRTIO_NET_CTRL_GUEST_OFFLOADS, 0, &wanted, 8),
			 VIRTIO_NET_OK);
	assert_int_equal(env->net.offload, TUN_F_CSUM);
	wanted |= 1ull << VIRTIO_NET_F_GUEST_TSO6;
	assert_int_equal(control(env, 2, VIRTIO_NET_CTRL_GUEST_OFFLOADS, 0, &wanted, 8),
			 VIRTIO_NET_ERR);
	assert_int_equal(env->net.offload, TUN_F_CSUM);
}

static void control_command_without_room_for_an_answer_is_survived(void **state)
{
	struct env *env = *state;
	struct fake_part cut = { DATA_GPA, 1, false };
	struct fake_part answer = { DATA_GPA + 64, 1, true };

	bring_up(env, 1ull << VIRTIO_NET_F_CTRL_VQ);
	fake_ring_add(&env->rings[2], &cut, 1);
	fake_ring_add(&env->rings[2], &answer, 1);
	kick(env, 2);
	assert_int_equal(fake_ring_used_count(&env->rings[2]), 2);
}

/* ---- limits ---- */

#define TX 1
#define MS 1000000ull

static void frames_to_send_wait_for_the_limit_in_order(void **state)
{
	struct env *env = *state;

	bring_up(env, 0);
	for (unsigned i = 0; i < 6; i++)
		offer_frame(env, TX, 100 + i);
	kick(env, TX);
	assert_int_equal(env->net.sent_count, 2);
	for (unsigned i = 3; i <= 6; i++) {
		uint64_t now = fake_loop_now_ns;

		kick(env, TX); /* does not help */
		assert_int_equal(env->net.sent_count, i - 1);
		assert_true(fake_loop_fire(&env->loop, UINT64_MAX, 0));
		assert_int_equal(fake_loop_now_ns, now + MS);
		assert_int_equal(env->net.sent_count, i);
	}
	assert_null(fake_loop_next_timer(&env->loop));
	for (unsigned i = 0; i < 6; i++)
		assert_int_equal(env->net.sent_len[i], 100 + i);
	assert_int_equal(fake_ring_used_count(&env->rings[TX]), 6);
}

static void a_frame_made_longer_while_it_waits_is_paid_in_full(void **state)
{
	struct env *env = *state;
	struct fake_ring *ring = &env->rings[TX];
	uint64_t now = fake_loop_now_ns;

	bring_up(env, 0);
	offer_frame(env, TX, NET_HDR_LEN + 1000);
	offer_frame(env, TX, NET_HDR_LEN + 100);
	offer_frame(env, TX, NET_HDR_LEN + 100);
	kick(env, TX);
	assert_int_equal(env->net.sent_count, 1);
	/* The second frame's data, descriptor 3, becomes 3100 bytes long. */
	ring->desc[3].len = 3100;
	assert_true(fake_loop_fire(&env->loop, UINT64_MAX, 0));
	assert_int_equal(fake_loop_now_ns, now + MS / 10);
	assert_int_equal(env->net.sent_count, 2);
	assert_int_equal(env->net.sent_len[1], NET_HDR_LEN + 3100);
	assert_true(fake_loop_fire(&env->loop, UINT64_MAX, 0));
	assert_int_equal(fake_loop_now_ns, now + 32 * MS / 10);
	assert_int_equal(env->net.sent_count, 3);
}

static void frames_to_receive_wait_in_the_back_end_for_the_limit(void **state)
{
	struct env *env = *state;

	bring_up(env, 0);
	for (unsigned i = 0; i < 8; i++)
		offer_buffer(env, 0, 2000);
	for (unsigned i = 0; i < 3; i++)
		arrive(env, NET_HDR_LEN + 1000);
	edge(env);
	/* The first is paid by what was saved up, the second has to wait. */
	assert_int_equal(env->net.frame_first, 1);
	kick(env, 0);
	edge(env);
	assert_int_equal(env->net.frame_first, 1);
	assert_true(fake_loop_fire(&env->loop, UINT64_MAX, 0));
	assert_int_equal(env->net.frame_first, 2);
	assert_true(fake_loop_fire(&env->loop, UINT64_MAX, 0));
	assert_int_equal(env->net.frame_first, 3);
	/* A byte each was paid before, the rest afterwards. */
	assert_in_range(fake_loop_now_ns, 1000000000 + 1 * MS, 1000000000 + 2 * MS);
	assert_int_equal(fake_ring_used_count(&env->rings[0]), 3);
}

static void a_reset_forgets_what_waits_for_the_limit(void **state)
{
	struct env *env = *state;

	bring_up(env, 0);
	for (unsigned i = 0; i < 3; i++)
		offer_frame(env, TX, 100 + i);
	for (unsigned i = 0; i < 4; i++)
		offer_buffer(env, 0, 2000);
	for (unsigned i = 0; i < 4; i++)
		arrive(env, 500);
	kick(env, TX);
	edge(env);
	assert_non_null(fake_loop_next_timer(&env->loop));
	virtio_set_status(env->dev, 0);
	assert_null(fake_loop_next_timer(&env->loop));
	assert_int_equal(env->net.sent_count, 2);
	fake_loop_now_ns += MS;
	bring_up(env, 0);
	offer_frame(env, TX, 77);
	kick(env, TX);
	assert_int_equal(env->net.sent_count, 3);
	assert_int_equal(env->net.sent_len[2], 77);
}

#define TEST(name)	      cmocka_unit_test_setup_teardown(name, setup, teardown)
#define TEST_WITH(name, with) cmocka_unit_test_setup_teardown(name, with, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(features_follow_the_back_end),
		TEST(plain_back_end_offers_no_offload),
		TEST(configuration_tells_mac_link_pairs_and_mtu),
		TEST(lost_link_is_told_by_a_config_interrupt),
		TEST(only_what_the_guest_takes_is_asked_of_the_back_end),
		TEST(frames_are_sent_in_order_with_one_interrupt),
		TEST(full_back_end_keeps_frames_and_their_order),
		TEST(frames_of_no_sensible_length_are_dropped),
		TEST(broken_back_end_does_not_hold_the_guest),
		TEST(frame_fills_one_buffer),
		TEST(frame_longer_than_the_buffer_is_dropped_and_the_buffer_kept),
		TEST(buffers_side_by_side_are_offered_as_one_part),
		TEST(buffer_longer_than_any_frame_takes_one),
		TEST(long_frame_spans_mergeable_buffers),
		TEST(short_frames_are_offered_few_parts_and_a_long_one_among_them_is_whole),
		TEST(frame_without_enough_mergeable_buffers_waits_for_them),
		TEST(frame_that_no_ring_can_hold_is_dropped),
		TEST(frames_wait_in_the_back_end_while_there_are_no_buffers),
		TEST(new_buffers_alone_cost_no_look_at_the_back_end),
		TEST(buffer_too_small_for_a_header_is_given_back),
		TEST(reset_gives_held_buffers_up),
		TEST(mac_and_receive_modes_are_accepted),
		TEST(pairs_are_set_within_what_there_is),
		TEST(second_pair_works_like_the_first),
		TEST(offloads_can_be_changed_within_what_was_negotiated),
		TEST(control_command_without_room_for_an_answer_is_survived),
		TEST_WITH(frames_to_send_wait_for_the_limit_in_order, setup_limited),
		TEST_WITH(a_frame_made_longer_while_it_waits_is_paid_in_full, setup_narrow),
		TEST_WITH(frames_to_receive_wait_in_the_back_end_for_the_limit, setup_narrow),
		TEST_WITH(a_reset_forgets_what_waits_for_the_limit, setup_limited),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
