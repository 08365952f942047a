/*
 * A network card whose queues the host's kernel runs: on a tap of its own, seen from the host by a
 * packet socket. Skipped where /dev/vhost-net, /dev/net/tun or the rights are missing; the lab has
 * all of them.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <linux/virtio_net.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "devices/net/net_tap.h"
#include "devices/virtio/virtio_net.h"
#include "tests/support/fake_bring_up.h"
#include "tests/support/skip.h"

#define TAP	  "vmmvhost0"
#define MEM_LEN	  0x200000ull
#define SIZE	  64
#define FRAME_LEN 200
#define PROTOCOL  0x88b5 /* for experiments */
#define RX	  0
#define TX	  1
#define TX_GPA	  0x100000ull
#define RX_GPA	  0x180000ull
#define RX_LEN	  2048u

struct env {
	const char *missing; /* here, so that there is no device; NULL: nothing */
	struct guest_mem mem;
	struct loop *loop;
	pthread_t thread;
	struct net *net;
	struct virtio_net *vnet;
	struct virtio_device *dev;
	struct fake_ring rings[3];
	int socket;
	int irq_fd;		/* what the transport has for queues */
	int give_fd;		/* atomic: that one, or -1 */
	unsigned interrupts[3]; /* that went through the transport; atomic */
};

static struct env *the_env;

static void count_interrupt(struct virtio_device *dev, uint16_t index)
{
	(void)dev;
	__atomic_fetch_add(&the_env->interrupts[index], 1, __ATOMIC_SEQ_CST);
}

static void no_config_interrupt(struct virtio_device *dev)
{
	(void)dev;
}

static int queue_irq_fd(struct virtio_device *dev, uint16_t index)
{
	(void)dev;
	(void)index;
	return the_env->give_fd;
}

static const struct virtio_transport_ops transport = {
	.interrupt_queue = count_interrupt,
	.interrupt_config = no_config_interrupt,
	.queue_irq_fd = queue_irq_fd,
};

static void *run(void *arg)
{
	return (void *)(intptr_t)loop_run(arg);
}

/* What is missing here for these tests; NULL: nothing. */
static const char *find_missing(void)
{
	int fd = open("/dev/vhost-net", O_RDWR | O_CLOEXEC);

	if (fd < 0)
		return "no /dev/vhost-net";
	close(fd);
	if (access("/dev/net/tun", R_OK | W_OK) < 0)
		return "no /dev/net/tun";
	return geteuid() == 0 ? NULL : "not root";
}

static void open_socket(struct env *env)
{
	struct sockaddr_ll addr = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL) };

	env->socket = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, htons(ETH_P_ALL));
	assert_true(env->socket >= 0);
	addr.sll_ifindex = (int)if_nametoindex(TAP);
	assert_int_equal(bind(env->socket, (struct sockaddr *)&addr, sizeof(addr)), 0);
}

static int setup(void **state)
{
	struct env *env = calloc(1, sizeof(*env));
	struct loop_options loop_options = { 0 };
	struct virtio_net_options options = { .mac = { 2, 0, 0, 0, 0, 1 },
					      .pairs = 1,
					      .loop_count = 1 };

	*state = env;
	the_env = env;
	env->missing = find_missing();
	if (env->missing)
		return 0;
	assert_int_equal(net_tap_create(&env->net, TAP, 1), 0);
	assert_int_equal(net_tap_use_vhost(env->net), 0);
	assert_int_equal(loop_create(&env->loop, &loop_options), 0);
	assert_int_equal(guest_mem_add(&env->mem, 0, MEM_LEN), 0);
	options.net = env->net;
	options.loops = &env->loop;
	assert_int_equal(virtio_net_create(&env->vnet, &env->mem, &options), 0);
	env->dev = virtio_net_device(env->vnet);
	virtio_device_attach(env->dev, &transport);
	env->irq_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	env->give_fd = -1;
	assert_int_equal(pthread_create(&env->thread, NULL, run, env->loop), 0);
	open_socket(env);
	return 0;
}

static int teardown(void **state)
{
	struct env *env = *state;

	if (env->dev) {
		virtio_device_reset(env->dev);
		loop_stop(env->loop);
		pthread_join(env->thread, NULL);
		virtio_net_destroy(env->vnet);
		net_destroy(env->net);
		loop_destroy(env->loop);
		guest_mem_fini(&env->mem);
		close(env->irq_fd);
		close(env->socket);
	}
	free(env);
	return 0;
}

static void set_status(struct env *env, uint32_t status)
{
	pthread_mutex_lock(&env->dev->lock);
	virtio_set_status(env->dev, status);
	pthread_mutex_unlock(&env->dev->lock);
}

static void bring_up(struct env *env)
{
	set_status(env, 3);
	virtio_set_features(env->dev, 0, (uint32_t)env->dev->features);
	virtio_set_features(env->dev, 1, (uint32_t)(env->dev->features >> 32));
	set_status(env, 11);
	pthread_mutex_lock(&env->dev->lock);
	for (unsigned i = 0; i < 3; i++) {
		fake_queue_enable(virtio_queue_at(env->dev, i), &env->rings[i], 0x1000 + i * 0x4000,
				  SIZE);
		env->rings[i].event_idx = true;
	}
	pthread_mutex_unlock(&env->dev->lock);
	set_status(env, 15);
	assert_int_equal(virtio_get_status(env->dev), 15);
}

static void kick(struct env *env, unsigned queue)
{
	uint64_t one = 1;

	assert_int_equal(write(env->dev->queues[queue].kick_fd, &one, sizeof(one)), sizeof(one));
}

static void fill_frame(uint8_t *frame, uint8_t mark)
{
	memset(frame, mark, FRAME_LEN);
	memset(frame, 0xff, ETH_ALEN);
	frame[12] = PROTOCOL >> 8;
	frame[13] = PROTOCOL & 0xff;
}

/* Waits for a frame of ours with MARK. */
static bool host_sees(struct env *env, uint8_t mark)
{
	struct pollfd wait = { .fd = env->socket, .events = POLLIN };
	uint8_t frame[4096];

	while (poll(&wait, 1, 2000) == 1) {
		ssize_t len = recv(env->socket, frame, sizeof(frame), 0);

		if (len == FRAME_LEN && frame[12] == PROTOCOL >> 8 && frame[100] == mark)
			return true;
	}
	return false;
}

static void guest_sends(struct env *env, uint8_t mark)
{
	struct fake_part part = { TX_GPA, NET_HDR_LEN + FRAME_LEN, false };
	uint8_t *data = guest_mem_ptr(&env->mem, TX_GPA, part.len);

	memset(data, 0, NET_HDR_LEN);
	fill_frame(data + NET_HDR_LEN, mark);
	fake_ring_set_used_event(&env->rings[TX], env->rings[TX].used_seen);
	fake_ring_add(&env->rings[TX], &part, 1);
	kick(env, TX);
}

static bool wait_used(const struct fake_ring *ring)
{
	for (unsigned ms = 0; ms < 2000; ms++) {
		if (fake_ring_used_count(ring))
			return true;
		usleep(1000);
	}
	return false;
}

static void offer_buffers(struct env *env, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		struct fake_part part = { RX_GPA + i * RX_LEN, RX_LEN, true };

		fake_ring_add(&env->rings[RX], &part, 1);
	}
	fake_ring_set_used_event(&env->rings[RX], env->rings[RX].used_seen);
	kick(env, RX);
}

/* The host sends one frame; true when the guest has received it. */
static bool guest_receives(struct env *env, uint8_t mark)
{
	uint8_t frame[FRAME_LEN];
	uint32_t head, len;

	fill_frame(frame, mark);
	assert_int_equal(send(env->socket, frame, sizeof(frame), 0), sizeof(frame));
	while (wait_used(&env->rings[RX])) {
		const uint8_t *data;

		assert_true(fake_ring_take(&env->rings[RX], &head, &len));
		data = guest_mem_ptr(&env->mem, RX_GPA + head * RX_LEN, RX_LEN);
		fake_ring_set_used_event(&env->rings[RX], env->rings[RX].used_seen);
		if (len == NET_HDR_LEN + FRAME_LEN && data[NET_HDR_LEN + 100] == mark)
			return ((const struct virtio_net_hdr_v1 *)(const void *)data)
				       ->num_buffers == 1;
	}
	return false;
}

static void frames_pass_both_ways(void **state)
{
	struct env *env = *state;

	if (env->missing)
		skip_because("%s", env->missing);
	bring_up(env);
	offer_buffers(env, 32);
	for (uint8_t i = 0; i < 5; i++) {
		guest_sends(env, (uint8_t)(0x40 + i));
		assert_true(host_sees(env, (uint8_t)(0x40 + i)));
		assert_true(guest_receives(env, (uint8_t)(0x60 + i)));
	}
	/* None of it went through the loop. */
	assert_int_equal(env->dev->queues[RX].request_count, 0);
	assert_int_equal(env->dev->queues[TX].request_count, 0);
	assert_int_equal(env->dev->queues[TX].kick_count, 0);
}

static void interrupts_go_by_the_loop_or_by_the_lines_own_eventfd(void **state)
{
	struct env *env = *state;
	uint64_t rang;
	unsigned before;

	if (env->missing)
		skip_because("%s", env->missing);
	bring_up(env);
	guest_sends(env, 1);
	assert_true(wait_used(&env->rings[TX]));
	for (unsigned ms = 0; ms < 2000 && !__atomic_load_n(&env->interrupts[TX], __ATOMIC_SEQ_CST);
	     ms++)
		usleep(1000);
	assert_in_range(__atomic_load_n(&env->interrupts[TX], __ATOMIC_SEQ_CST), 1, 2);
	/* Unmasked: the line is rung without us. */
	pthread_mutex_lock(&env->dev->lock);
	env->give_fd = env->irq_fd;
	virtio_queue_irqs_changed(env->dev);
	pthread_mutex_unlock(&env->dev->lock);
	before = __atomic_load_n(&env->interrupts[TX], __ATOMIC_SEQ_CST);
	while (read(env->irq_fd, &rang, sizeof(rang)) > 0) {
	}
	env->rings[TX].used_seen = env->rings[TX].used->idx;
	guest_sends(env, 2);
	assert_true(wait_used(&env->rings[TX]));
	usleep(20000);
	assert_int_equal(read(env->irq_fd, &rang, sizeof(rang)), sizeof(rang));
	assert_int_equal(__atomic_load_n(&env->interrupts[TX], __ATOMIC_SEQ_CST), before);
}

static void a_reset_takes_the_rings_back(void **state)
{
	struct env *env = *state;
	uint8_t frame[FRAME_LEN];

	if (env->missing)
		skip_because("%s", env->missing);
	for (unsigned round = 0; round < 10; round++) {
		bring_up(env);
		offer_buffers(env, 32);
		guest_sends(env, (uint8_t)(0x10 + round));
		assert_true(host_sees(env, (uint8_t)(0x10 + round)));
		set_status(env, 0);
		memset(guest_mem_ptr(&env->mem, 0, MEM_LEN), 0x77, MEM_LEN);
		fill_frame(frame, 0x99);
		assert_int_equal(send(env->socket, frame, sizeof(frame), 0), sizeof(frame));
		kick(env, RX);
		kick(env, TX);
		usleep(2000);
		for (uint64_t i = 0; i < MEM_LEN; i++)
			assert_int_equal(*(uint8_t *)guest_mem_ptr(&env->mem, i, 1), 0x77);
		memset(guest_mem_ptr(&env->mem, 0, MEM_LEN), 0, MEM_LEN);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(frames_pass_both_ways),
		TEST(interrupts_go_by_the_loop_or_by_the_lines_own_eventfd),
		TEST(a_reset_takes_the_rings_back),
	};

	return cmocka_run_group_tests_name("vhost-net", tests, NULL, NULL);
}
