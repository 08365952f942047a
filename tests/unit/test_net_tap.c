/*
 * Taps in a network namespace of their own, where that is allowed; else the tests are skipped.
 * Frames come from and go to a packet socket on the same interface.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "devices/net/net_tap.h"
#include "tests/support/skip.h"
#include "vmm/log.h"

#define TYPE_TEST 0x88b5 /* local experimental Ethertype */

static const char *missing; /* here for these tests; NULL: nothing */

static int enter_namespace(void **state)
{
	int fd;

	(void)state;
	log_set_level(LOG_LEVEL_ERR);
	if (unshare(CLONE_NEWNET) < 0) {
		missing = "no right to make a network namespace";
		return 0;
	}
	fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
	if (fd >= 0)
		close(fd);
	else
		missing = "no /dev/net/tun";
	return 0;
}

#define SKIP_WHEN_MISSING()                                                                        \
	do {                                                                                       \
		(void)state;                                                                       \
		if (missing)                                                                       \
			skip_because("%s", missing);                                               \
	} while (0)

static int open_packet_socket(const char *name)
{
	struct sockaddr_ll addr = { .sll_family = AF_PACKET,
				    .sll_protocol = htons(TYPE_TEST),
				    .sll_ifindex = (int)if_nametoindex(name) };
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, htons(TYPE_TEST));

	assert_true(fd >= 0);
	assert_true(addr.sll_ifindex > 0);
	assert_int_equal(bind(fd, (const struct sockaddr *)&addr, sizeof(addr)), 0);
	return fd;
}

static void make_frame(uint8_t *frame, size_t len, uint8_t byte)
{
	memset(frame, byte, len);
	memset(frame, 0xff, 6);
	frame[6] = 2;
	frame[12] = TYPE_TEST >> 8;
	frame[13] = TYPE_TEST & 0xff;
}

/* The next frame of our type; the host has others to send on a new interface. */
static int64_t receive_ours(struct net *net, const struct iovec *iov, unsigned iov_count)
{
	for (unsigned i = 0; i < 1000; i++) {
		const uint8_t *first = iov[0].iov_base;
		int64_t len = net->ops->receive(net, 0, iov, iov_count);

		if (len == -EAGAIN)
			usleep(1000);
		else if (len <= 0 || (first[NET_HDR_LEN + 12] == TYPE_TEST >> 8 &&
				      first[NET_HDR_LEN + 13] == (TYPE_TEST & 0xff)))
			return len;
	}
	return -ETIMEDOUT;
}

static void frames_pass_both_ways(void **state)
{
	uint8_t frame[100], got[2048], hdr[NET_HDR_LEN] = { 0 };
	struct iovec out[] = { { hdr, sizeof(hdr) }, { frame, sizeof(frame) } };
	struct iovec in = { got, sizeof(got) };
	struct pollfd wait = { .events = POLLIN };
	struct net *net;
	int fd;

	SKIP_WHEN_MISSING();
	assert_int_equal(net_tap_create(&net, "vmmtest0", 1), 0);
	assert_true(net->offloads & TUN_F_TSO4);
	assert_int_equal(net->mtu, 1500);
	fd = open_packet_socket("vmmtest0");
	make_frame(frame, sizeof(frame), 7);
	assert_int_equal(net->ops->send(net, 0, out, 2), 0);
	wait.fd = fd;
	assert_int_equal(poll(&wait, 1, 1000), 1);
	assert_int_equal(read(fd, got, sizeof(got)), sizeof(frame));
	assert_memory_equal(got, frame, sizeof(frame));
	assert_int_equal(write(fd, frame, sizeof(frame)), sizeof(frame));
	assert_int_equal(receive_ours(net, &in, 1), NET_HDR_LEN + sizeof(frame));
	assert_memory_equal(got + NET_HDR_LEN, frame, sizeof(frame));
	close(fd);
	net_destroy(net);
	assert_int_equal(if_nametoindex("vmmtest0"), 0);
}

static void pairs_can_be_switched(void **state)
{
	struct net *net;

	SKIP_WHEN_MISSING();
	assert_int_equal(net_tap_create(&net, "vmmtest0", 4), 0);
	assert_int_equal(net->pairs_max, 4);
	assert_int_equal(net->ops->set_pairs(net, 1), 0);
	assert_int_equal(net->ops->set_pairs(net, 1), 0);
	assert_int_equal(net->ops->set_pairs(net, 4), 0);
	assert_int_equal(net->ops->set_pairs(net, 2), 0);
	assert_int_equal(net->ops->set_offload(net, TUN_F_CSUM | TUN_F_TSO4), 0);
	assert_int_equal(net->ops->set_offload(net, 0), 0);
	net_destroy(net);
}

static void tap_in_use_is_refused(void **state)
{
	struct net *net, *second;

	SKIP_WHEN_MISSING();
	assert_int_equal(net_tap_create(&net, "vmmtest0", 1), 0);
	assert_int_equal(net_tap_create(&second, "vmmtest0", 1), -EBUSY);
	net_destroy(net);
}

static void several_queues_of_a_single_queue_tap_are_refused(void **state)
{
	struct net *net;
	struct ifreq ifr = { .ifr_flags = IFF_TAP | IFF_NO_PI };
	int fd;

	SKIP_WHEN_MISSING();
	fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
	strcpy(ifr.ifr_name, "vmmtest0");
	assert_int_equal(ioctl(fd, TUNSETIFF, &ifr), 0);
	assert_int_equal(ioctl(fd, TUNSETPERSIST, 1ul), 0);
	close(fd);
	assert_int_equal(net_tap_create(&net, "vmmtest0", 2), -EINVAL);
	assert_int_equal(net_tap_create(&net, "vmmtest0", 1), 0);
	net_destroy(net);
	fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
	assert_int_equal(ioctl(fd, TUNSETIFF, &ifr), 0);
	assert_int_equal(ioctl(fd, TUNSETPERSIST, 0ul), 0);
	close(fd);
}

static void one_queue_of_a_multi_queue_tap_is_enough(void **state)
{
	struct net *first, *second;

	SKIP_WHEN_MISSING();
	assert_int_equal(net_tap_create(&first, "vmmtest0", 2), 0);
	assert_int_equal(net_tap_create(&second, "vmmtest0", 1), 0);
	net_destroy(second);
	net_destroy(first);
}

static void name_that_no_interface_can_have_is_refused(void **state)
{
	struct net *net;

	(void)state;
	assert_int_equal(net_tap_create(&net, "", 1), -EINVAL);
	assert_int_equal(net_tap_create(&net, "a-name-too-long-for-it", 1), -EINVAL);
}

static void interface_that_is_no_tap_is_refused(void **state)
{
	struct net *net;

	SKIP_WHEN_MISSING();
	assert_int_equal(net_tap_create(&net, "lo", 1), -EINVAL);
}

static int open_tap(short flags)
{
	struct ifreq ifr = { .ifr_flags = flags };
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);

	strcpy(ifr.ifr_name, "vmmtest1");
	assert_int_equal(ioctl(fd, TUNSETIFF, &ifr), 0);
	return fd;
}

static void passed_descriptor_is_a_tap_or_refused(void **state)
{
	struct net *net;
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

	assert_int_equal(net_tap_create_from_fd(&net, fd), -EINVAL);
	assert_int_equal(fcntl(fd, F_GETFD), -1); /* it was handed over */
	assert_int_equal(net_tap_create_from_fd(&net, 9999), -EBADF);
	SKIP_WHEN_MISSING();
	assert_int_equal(net_tap_create_from_fd(&net, open_tap(IFF_TUN | IFF_NO_PI)), -EINVAL);
	assert_int_equal(net_tap_create_from_fd(&net, open_tap(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR)),
			 0);
	assert_true(net->offloads & TUN_F_CSUM);
	net_destroy(net);
}

static void descriptor_without_header_carries_plain_frames(void **state)
{
	uint8_t frame[100], got[2048], hdr[NET_HDR_LEN];
	struct iovec out[] = { { hdr, sizeof(hdr) }, { frame, sizeof(frame) } };
	struct iovec in[] = { { got, 5 }, { got + 5, sizeof(got) - 5 } };
	struct net *net;
	int fd;

	SKIP_WHEN_MISSING();
	assert_int_equal(net_tap_create_from_fd(&net, open_tap(IFF_TAP | IFF_NO_PI)), 0);
	assert_int_equal(net->offloads, 0);
	fd = open_packet_socket("vmmtest1");
	memset(hdr, 0xee, sizeof(hdr));
	memset(got, 0xee, sizeof(got));
	make_frame(frame, sizeof(frame), 7);
	assert_int_equal(net->ops->send(net, 0, out, 2), 0);
	assert_int_equal(write(fd, frame, sizeof(frame)), sizeof(frame));
	assert_int_equal(receive_ours(net, in, 2), NET_HDR_LEN + sizeof(frame));
	assert_int_equal(got[0] | got[NET_HDR_LEN - 1], 0);
	assert_memory_equal(got + NET_HDR_LEN, frame, sizeof(frame));
	assert_int_equal(read(fd, got, sizeof(got)), sizeof(frame));
	close(fd);
	net_destroy(net);
}

/* ---- readiness ---- */

struct user {
	struct loop *loop;
	struct net *net;
	unsigned frames;
};

static void on_readable(void *opaque, unsigned pair)
{
	struct user *user = opaque;
	uint8_t got[2048];
	struct iovec in = { got, sizeof(got) };
	int64_t len;

	while ((len = user->net->ops->receive(user->net, pair, &in, 1)) >= 0) {
		if (len == NET_HDR_LEN + 100 && got[NET_HDR_LEN + 50] == 9)
			user->frames++;
	}
	assert_int_equal(len, -EAGAIN);
	if (user->frames == 3)
		loop_stop(user->loop);
}

static void on_writable(void *opaque, unsigned pair)
{
	(void)opaque;
	(void)pair;
}

static void frames_are_announced(enum loop_engine engine)
{
	struct loop_options options = { .engine = engine, .entries = 8 };
	struct user user = { 0 };
	struct net_queue_user calls = { .readable = on_readable,
					.writable = on_writable,
					.opaque = &user };
	uint8_t frame[100];
	int fd;

	assert_int_equal(net_tap_create(&user.net, "vmmtest0", 1), 0);
	if (loop_create(&user.loop, &options) == 0) {
		assert_int_equal(user.net->ops->attach(user.net, 0, user.loop, &calls), 0);
		fd = open_packet_socket("vmmtest0");
		make_frame(frame, sizeof(frame), 9);
		for (unsigned i = 0; i < 3; i++)
			assert_int_equal(write(fd, frame, sizeof(frame)), sizeof(frame));
		assert_int_equal(loop_run(user.loop), 0);
		assert_int_equal(user.frames, 3);
		close(fd);
		user.net->ops->detach(user.net, 0);
		loop_destroy(user.loop);
	}
	net_destroy(user.net);
}

static void frames_are_announced_on_io_uring(void **state)
{
	SKIP_WHEN_MISSING();
	frames_are_announced(LOOP_ENGINE_IO_URING);
}

static void frames_are_announced_on_epoll(void **state)
{
	SKIP_WHEN_MISSING();
	frames_are_announced(LOOP_ENGINE_EPOLL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(frames_pass_both_ways),
		cmocka_unit_test(pairs_can_be_switched),
		cmocka_unit_test(tap_in_use_is_refused),
		cmocka_unit_test(several_queues_of_a_single_queue_tap_are_refused),
		cmocka_unit_test(one_queue_of_a_multi_queue_tap_is_enough),
		cmocka_unit_test(name_that_no_interface_can_have_is_refused),
		cmocka_unit_test(interface_that_is_no_tap_is_refused),
		cmocka_unit_test(passed_descriptor_is_a_tap_or_refused),
		cmocka_unit_test(descriptor_without_header_carries_plain_frames),
		cmocka_unit_test(frames_are_announced_on_io_uring),
		cmocka_unit_test(frames_are_announced_on_epoll),
	};

	return cmocka_run_group_tests(tests, enter_namespace, NULL);
}
