/* Frames on a stream socket, whole, in pieces, and lies about their length. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <arpa/inet.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>

#include "devices/net/net_stream.h"

struct env {
	struct net_stream stream;
	int fds[2];
};

static int setup(void **state)
{
	struct env *env = calloc(1, sizeof(*env));

	*state = env;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, env->fds) < 0)
		return -1;
	return net_stream_init(&env->stream, env->fds[0]);
}

static int teardown(void **state)
{
	struct env *env = *state;

	net_stream_fini(&env->stream);
	close(env->fds[0]);
	if (env->fds[1] >= 0)
		close(env->fds[1]);
	free(env);
	return 0;
}

static void send_raw(struct env *env, const void *data, size_t len)
{
	assert_int_equal(write(env->fds[1], data, len), len);
}

static void send_prefix(struct env *env, uint32_t len)
{
	uint32_t prefix = htonl(len);

	send_raw(env, &prefix, sizeof(prefix));
}

static void nothing_has_arrived(void **state)
{
	struct env *env = *state;
	const uint8_t *frame;

	assert_int_equal(net_stream_receive(&env->stream, &frame), -EAGAIN);
}

static void frames_that_arrive_together_come_one_by_one(void **state)
{
	struct env *env = *state;
	const uint8_t *frame;
	uint8_t data[60];

	for (unsigned i = 0; i < 3; i++) {
		memset(data, (int)i, sizeof(data));
		send_prefix(env, (uint32_t)sizeof(data) - i);
		send_raw(env, data, sizeof(data) - i);
	}
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(net_stream_receive(&env->stream, &frame), sizeof(data) - i);
		assert_int_equal(frame[0], i);
	}
	assert_int_equal(net_stream_receive(&env->stream, &frame), -EAGAIN);
}

static void frame_in_pieces_comes_when_it_is_complete(void **state)
{
	struct env *env = *state;
	const uint8_t *frame;
	uint8_t data[64];

	for (unsigned i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)i;
	send_raw(env, "\0\0", 2);
	assert_int_equal(net_stream_receive(&env->stream, &frame), -EAGAIN);
	send_raw(env, "\0\x40", 2);
	assert_int_equal(net_stream_receive(&env->stream, &frame), -EAGAIN);
	send_raw(env, data, 63);
	assert_int_equal(net_stream_receive(&env->stream, &frame), -EAGAIN);
	send_raw(env, data + 63, 1);
	assert_int_equal(net_stream_receive(&env->stream, &frame), 64);
	assert_memory_equal(frame, data, 64);
}

static void longest_frames_arrive(void **state)
{
	static uint8_t data[NET_STREAM_FRAME_MAX];
	struct env *env = *state;
	const uint8_t *frame;

	for (unsigned i = 0; i < 5; i++) {
		uint32_t prefix = htonl(sizeof(data));
		size_t sent = 0;
		int64_t len = -EAGAIN;

		data[i] = 42;
		send_raw(env, &prefix, sizeof(prefix));
		while (len == -EAGAIN) {
			ssize_t done = write(env->fds[1], data + sent, sizeof(data) - sent);

			sent += done > 0 ? (size_t)done : 0;
			len = net_stream_receive(&env->stream, &frame);
		}
		assert_int_equal(len, sizeof(data));
		assert_int_equal(frame[i], 42);
	}
}

static void length_beyond_any_frame_ends_it(void **state)
{
	struct env *env = *state;
	const uint8_t *frame;

	send_prefix(env, NET_STREAM_FRAME_MAX + 1);
	assert_int_equal(net_stream_receive(&env->stream, &frame), -EPIPE);
	assert_int_equal(net_stream_receive(&env->stream, &frame), -EPIPE);
}

static void length_below_any_frame_ends_it(void **state)
{
	struct env *env = *state;
	const uint8_t *frame;

	send_prefix(env, 0);
	assert_int_equal(net_stream_receive(&env->stream, &frame), -EPIPE);
}

static void closed_socket_ends_it(void **state)
{
	struct env *env = *state;
	const uint8_t *frame;
	uint8_t data[60] = { 0 };
	struct iovec iov = { data, sizeof(data) };

	send_prefix(env, 60);
	send_raw(env, data, 60);
	close(env->fds[1]);
	env->fds[1] = -1;
	assert_int_equal(net_stream_receive(&env->stream, &frame), 60);
	assert_int_equal(net_stream_receive(&env->stream, &frame), -EPIPE);
	assert_int_equal(net_stream_send(&env->stream, &iov, 1, 60), -EPIPE);
}

static void sent_frame_has_its_length_in_front(void **state)
{
	struct env *env = *state;
	uint8_t a[20], b[30], got[64];
	struct iovec iov[] = { { a, sizeof(a) }, { b, sizeof(b) } };

	memset(a, 1, sizeof(a));
	memset(b, 2, sizeof(b));
	assert_int_equal(net_stream_send(&env->stream, iov, 2, 50), 0);
	assert_int_equal(read(env->fds[1], got, sizeof(got)), 54);
	assert_memory_equal(got, "\0\0\0\x32\x01", 5);
	assert_int_equal(got[23], 1);
	assert_int_equal(got[24], 2);
}

static void frames_of_impossible_length_are_refused(void **state)
{
	static uint8_t data[NET_STREAM_FRAME_MAX + 1];
	struct env *env = *state;
	struct iovec iov = { data, sizeof(data) };

	assert_int_equal(net_stream_send(&env->stream, &iov, 1, sizeof(data)), -EMSGSIZE);
	assert_int_equal(net_stream_send(&env->stream, &iov, 1, 13), -EMSGSIZE);
}

/* Reads one frame from the other end, through as many reads as it takes. */
static void expect_frame(struct env *env, uint8_t byte, uint32_t len)
{
	static uint8_t got[NET_STREAM_PREFIX_LEN + NET_STREAM_FRAME_MAX];
	size_t done = 0;

	while (done < NET_STREAM_PREFIX_LEN + len) {
		ssize_t part = read(env->fds[1], got + done, NET_STREAM_PREFIX_LEN + len - done);

		if (part > 0)
			done += (size_t)part;
		else
			assert_true(net_stream_flush(&env->stream) <= 0);
	}
	assert_int_equal(got[2] << 8 | got[3], len);
	assert_int_equal(got[4], byte);
	assert_int_equal(got[3 + len], byte);
}

static void frame_taken_in_part_is_finished_before_the_next(void **state)
{
	static uint8_t data[60000];
	struct env *env = *state;
	struct iovec iov = { data, sizeof(data) };
	unsigned sent = 0;
	int room = 10000;

	setsockopt(env->fds[0], SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
	for (;; sent++) {
		int ret;

		memset(data, (int)sent, sizeof(data));
		ret = net_stream_send(&env->stream, &iov, 1, sizeof(data));
		if (ret == -EAGAIN)
			break;
		assert_int_equal(ret, 0);
		assert_true(sent < 100);
	}
	assert_true(sent > 0);
	for (unsigned i = 0; i < sent; i++)
		expect_frame(env, (uint8_t)i, sizeof(data));
	assert_int_equal(net_stream_flush(&env->stream), 0);
	assert_int_equal(net_stream_send(&env->stream, &iov, 1, 100), 0);
	expect_frame(env, (uint8_t)sent, 100);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(nothing_has_arrived),
		TEST(frames_that_arrive_together_come_one_by_one),
		TEST(frame_in_pieces_comes_when_it_is_complete),
		TEST(longest_frames_arrive),
		TEST(length_beyond_any_frame_ends_it),
		TEST(length_below_any_frame_ends_it),
		TEST(closed_socket_ends_it),
		TEST(sent_frame_has_its_length_in_front),
		TEST(frames_of_impossible_length_are_refused),
		TEST(frame_taken_in_part_is_finished_before_the_next),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
