/* Streams between a guest's port and descriptors of every kind, on both engines of the loop. */
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "devices/char/char_stream.h"

#define MS   1000000ull
#define MIB  1048576ull
#define KEEP (1u << 20)
/* Sanitizers look at each byte, and slowly. */
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define LONG_LEN (8 * MIB)
#else
#define LONG_LEN (64 * MIB)
#endif

static enum loop_engine engine;

/* A front end that keeps what comes in, or hands it to another stream as a guest would echo it. */
struct env {
	struct loop *loop;
	struct loop_timer limit;
	struct loop_timer poll;
	struct char_stream *in;
	struct char_stream *out;
	bool echo;
	bool hung_up;  /* in's front end was told */
	bool out_hung; /* out's */
	size_t room;
	uint8_t *kept;
	size_t kept_len;
	bool late;
	bool (*until)(struct env *env);
};

static size_t front_input(void *front, const uint8_t *data, size_t len)
{
	struct env *env = front;
	struct iovec iov = { (uint8_t *)(uintptr_t)data, len };

	if (env->echo)
		return char_stream_port(env->out)->ops->writev(char_stream_port(env->out), &iov, 1);
	if (len > env->room)
		len = env->room;
	memcpy(env->kept + env->kept_len, data, len);
	env->kept_len += len;
	env->room -= len;
	return len;
}

static void front_hangup(void *front)
{
	((struct env *)front)->hung_up = true;
}

static void out_writable(void *front)
{
	struct env *env = front;

	if (env->in)
		char_input_ready(char_stream_port(env->in));
}

static void out_hangup(void *front)
{
	((struct env *)front)->out_hung = true;
}

static const struct char_front_ops in_front = { .input = front_input, .hangup = front_hangup };
static const struct char_front_ops out_front = { .writable = out_writable, .hangup = out_hangup };

static int setup(void **state)
{
	struct env *env = calloc(1, sizeof(*env));
	struct loop_options options = { .engine = engine };

	signal(SIGPIPE, SIG_IGN);
	env->kept = malloc(KEEP);
	env->room = KEEP;
	*state = env;
	return loop_create(&env->loop, &options);
}

static int teardown(void **state)
{
	struct env *env = *state;

	char_stream_destroy(env->in);
	char_stream_destroy(env->out);
	loop_destroy(env->loop);
	free(env->kept);
	free(env);
	return 0;
}

static struct char_stream *open_stream(struct env *env, int in_fd, int out_fd)
{
	struct char_stream_options options = { .name = "test", .in_fd = in_fd, .out_fd = out_fd };
	struct char_stream *stream;
	struct char_port *port;

	assert_int_equal(char_stream_create(&stream, &options), 0);
	port = char_stream_port(stream);
	port->front = env;
	port->front_ops = in_fd >= 0 ? &in_front : &out_front;
	assert_int_equal(char_stream_attach(stream, env->loop), 0);
	return stream;
}

static size_t put(struct env *env, const void *data, size_t len)
{
	return char_write(char_stream_port(env->out), data, len);
}

static void on_poll(struct loop_timer *timer)
{
	struct env *env = container_of(timer, struct env, poll);

	if (env->until(env))
		loop_stop(env->loop);
	else
		loop_timer_arm(env->loop, timer, loop_now_ns() + MS);
}

static void on_limit(struct loop_timer *timer)
{
	struct env *env = container_of(timer, struct env, limit);

	env->late = true;
	loop_stop(env->loop);
}

/* Runs the loop until UNTIL holds; a minute at most. */
static void run(struct env *env, bool (*until)(struct env *env))
{
	env->until = until;
	env->poll.fn = on_poll;
	env->limit.fn = on_limit;
	loop_timer_arm(env->loop, &env->poll, loop_now_ns() + MS);
	loop_timer_arm(env->loop, &env->limit, loop_now_ns() + 60000 * MS);
	if (env->in)
		char_input_ready(char_stream_port(env->in));
	assert_int_equal(loop_run(env->loop), 0);
	assert_false(env->late);
	loop_timer_disarm(env->loop, &env->limit);
	loop_timer_disarm(env->loop, &env->poll);
}

static bool is_hung_up(struct env *env)
{
	return env->hung_up;
}

static bool is_out_hung(struct env *env)
{
	return env->out_hung;
}

static bool is_drained(struct env *env)
{
	return char_stream_drain(env->out);
}

static bool echoed_all(struct env *env)
{
	return env->hung_up && char_stream_drain(env->out);
}

static bool a_while(struct env *env)
{
	return env->limit.deadline_ns - loop_now_ns() < 59900 * MS;
}

/* ---- a long way ---- */

struct far_end {
	int fd;
	uint64_t sum;
	uint64_t len;
};

static uint8_t long_byte(uint64_t at)
{
	return (uint8_t)((at * 2654435761u) >> 13);
}

static void *write_long(void *opaque)
{
	struct far_end *end = opaque;
	static uint8_t block[100000]; /* odd on purpose */

	for (uint64_t at = 0; at < LONG_LEN;) {
		size_t len = LONG_LEN - at < sizeof(block) ? LONG_LEN - at : sizeof(block);

		for (size_t i = 0; i < len; i++)
			block[i] = long_byte(at + i);
		for (size_t done = 0; done < len;) {
			ssize_t part = write(end->fd, block + done, len - done);

			if (part < 0)
				return NULL;
			done += (size_t)part;
		}
		at += len;
	}
	close(end->fd);
	return NULL;
}

static void *read_long(void *opaque)
{
	struct far_end *end = opaque;
	static uint8_t block[70000];
	ssize_t part;

	while (end->len < LONG_LEN && (part = read(end->fd, block, sizeof(block))) > 0)
		for (ssize_t i = 0; i < part; i++, end->len++)
			end->sum += block[i] != long_byte(end->len);
	return NULL;
}

static void carry(struct env *env, int in[2], int out[2])
{
	struct far_end writer = { .fd = in[1] }, reader = { .fd = out[0] };
	pthread_t threads[2];
	uint64_t calls;

	env->echo = true;
	env->out = open_stream(env, -1, out[1]);
	env->in = open_stream(env, in[0], -1);
	pthread_create(&threads[0], NULL, write_long, &writer);
	pthread_create(&threads[1], NULL, read_long, &reader);
	run(env, echoed_all);
	pthread_join(threads[0], NULL);
	pthread_join(threads[1], NULL);
	assert_int_equal(reader.len, LONG_LEN);
	assert_int_equal(reader.sum, 0);
	calls = char_stream_syscalls(env->in) + char_stream_syscalls(env->out);
	printf("%s: %.0f bytes a call\n", loop_engine_name(env->loop),
	       (double)(2 * LONG_LEN) / (double)calls);
	/* A call that finds nothing for one that moves half a pipe is the worst that may be. */
	assert_in_range(2 * LONG_LEN / calls, 2048, 1 << 20);
	close(in[0]);
	close(out[0]);
	close(out[1]);
}

static void pipes_carry_much(void **state)
{
	int in[2], out[2];

	assert_int_equal(pipe2(in, O_CLOEXEC) | pipe2(out, O_CLOEXEC), 0);
	carry(*state, in, out);
}

static void sockets_carry_much(void **state)
{
	int in[2], out[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, in) |
				 socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, out),
			 0);
	carry(*state, in, out);
}

/* ---- ends ---- */

static void end_is_told_when_all_was_taken(void **state)
{
	struct env *env = *state;
	int fds[2];

	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	assert_int_equal(write(fds[1], "hello", 5), 5);
	close(fds[1]);
	env->room = 3;
	env->in = open_stream(env, fds[0], -1);
	run(env, a_while);
	assert_int_equal(env->kept_len, 3);
	assert_false(env->hung_up);
	env->room = 10;
	run(env, is_hung_up);
	assert_int_equal(env->kept_len, 5);
	assert_memory_equal(env->kept, "hello", 5);
	assert_true(char_hung_up(char_stream_port(env->in)));
	close(fds[0]);
}

static void nothing_to_read_is_an_end(void **state)
{
	struct env *env = *state;
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	env->in = open_stream(env, fd, -1);
	run(env, is_hung_up);
	assert_int_equal(env->kept_len, 0);
	close(fd);
}

static void closed_descriptor_is_an_end(void **state)
{
	struct env *env = *state;
	int fd = dup(0);

	close(fd);
	env->in = open_stream(env, fd, -1);
	env->out = open_stream(env, -1, fd);
	run(env, is_hung_up);
	assert_int_equal(put(env, "lost", 4), 4);
}

static void reader_that_goes_is_told_without_a_write(void **state)
{
	struct env *env = *state;
	int fds[2];

	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	env->out = open_stream(env, -1, fds[1]);
	close(fds[1]);
	close(fds[0]);
	run(env, is_out_hung);
	assert_int_equal(put(env, "lost", 4), 4);
	assert_true(char_stream_drain(env->out));
}

static void full_disk_is_an_end(void **state)
{
	struct env *env = *state;
	int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);

	env->out = open_stream(env, -1, fd);
	assert_int_equal(put(env, "lost", 4), 4);
	run(env, is_out_hung);
	close(fd);
}

/* ---- room ---- */

static void full_pipe_refuses_and_loses_nothing(void **state)
{
	struct env *env = *state;
	size_t taken = 0, part, got = 0;
	static uint8_t block[16384], back[16384];
	int fds[2];
	uint64_t wrong = 0;

	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	env->out = open_stream(env, -1, fds[1]);
	do {
		for (size_t i = 0; i < sizeof(block); i++)
			block[i] = long_byte(taken + i);
		part = put(env, block, sizeof(block));
		taken += part;
	} while (part == sizeof(block));
	assert_in_range(taken, 65536, 200000);
	/* Gathered behind what is written already. */
	run(env, a_while);
	while (got < taken) {
		ssize_t len = read(fds[0], back, sizeof(back));

		assert_true(len > 0);
		for (ssize_t i = 0; i < len; i++, got++)
			wrong += back[i] != long_byte(got);
		run(env, a_while);
	}
	assert_int_equal(got, taken);
	assert_int_equal(wrong, 0);
	assert_int_equal(put(env, "more", 4), 4);
	run(env, is_drained);
	assert_int_equal(read(fds[0], back, sizeof(back)), 4);
	close(fds[0]);
	close(fds[1]);
}

static void little_is_written_once_a_round(void **state)
{
	struct env *env = *state;
	char text[4096];
	int fds[2];

	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	env->out = open_stream(env, -1, fds[1]);
	for (int i = 0; i < 100; i++)
		assert_int_equal(put(env, "0123456789", 10), 10);
	run(env, is_drained);
	assert_int_equal(read(fds[0], text, sizeof(text)), 1000);
	assert_int_equal(char_stream_syscalls(env->out), 1);
	close(fds[0]);
	close(fds[1]);
}

/* ---- files and what is shared ---- */

static void files_are_used_where_they_stand(void **state)
{
	struct env *env = *state;
	char in_path[] = "/tmp/test-stream-XXXXXX", out_path[] = "/tmp/test-stream-XXXXXX";
	int in = mkostemp(in_path, O_CLOEXEC), out = mkostemp(out_path, O_CLOEXEC);
	char *text = malloc(300000);

	unlink(in_path);
	unlink(out_path);
	for (int i = 0; i < 300000; i++)
		text[i] = (char)long_byte((uint64_t)i);
	assert_int_equal(write(in, text, 300000), 300000);
	assert_int_equal(lseek(in, 100, SEEK_SET), 100);
	assert_int_equal(write(out, "before ", 7), 7);
	env->echo = true;
	env->out = open_stream(env, -1, out);
	env->in = open_stream(env, in, -1);
	run(env, echoed_all);
	/* Who has the same descriptors goes on where we were. */
	assert_int_equal(write(out, " after", 6), 6);
	assert_int_equal(lseek(in, 0, SEEK_CUR), 300000);
	assert_int_equal(lseek(out, 0, SEEK_END), 7 + 299900 + 6);
	memset(text, 0, 100);
	assert_int_equal(pread(out, text, 299900, 7), 299900);
	for (int i = 0; i < 299900; i++)
		assert_int_equal(text[i], (char)long_byte((uint64_t)i + 100));
	free(text);
	close(in);
	close(out);
}

static void shared_descriptions_stay_as_they_are(void **state)
{
	struct env *env = *state;
	int fds[2], sockets[2];

	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets), 0);
	env->in = open_stream(env, sockets[0], -1);
	env->out = open_stream(env, -1, fds[1]);
	assert_int_equal(put(env, "x", 1), 1);
	run(env, a_while);
	assert_int_equal(fcntl(fds[1], F_GETFL) & O_NONBLOCK, 0);
	assert_int_equal(fcntl(sockets[0], F_GETFL) & O_NONBLOCK, 0);
	close(fds[0]);
	close(fds[1]);
	close(sockets[0]);
	close(sockets[1]);
}

/* One descriptor for both directions. */
static void terminal_goes_both_ways(void **state)
{
	struct env *env = *state;
	int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC), slave;
	char back[16] = "";

	assert_true(master >= 0 && unlockpt(master) == 0);
	slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	assert_true(slave >= 0);
	env->in = open_stream(env, slave, slave);
	assert_int_equal(write(master, "typed\n", 6), 6);
	assert_int_equal(char_write(char_stream_port(env->in), (const uint8_t *)"said", 4), 4);
	run(env, a_while);
	assert_int_equal(env->kept_len, 6);
	assert_memory_equal(env->kept, "typed\n", 6);
	assert_true(read(master, back, sizeof(back)) > 0);
	close(slave);
	close(master);
	run(env, is_hung_up);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(pipes_carry_much),
		TEST(sockets_carry_much),
		TEST(end_is_told_when_all_was_taken),
		TEST(nothing_to_read_is_an_end),
		TEST(closed_descriptor_is_an_end),
		TEST(reader_that_goes_is_told_without_a_write),
		TEST(full_disk_is_an_end),
		TEST(full_pipe_refuses_and_loses_nothing),
		TEST(little_is_written_once_a_round),
		TEST(files_are_used_where_they_stand),
		TEST(shared_descriptions_stay_as_they_are),
		TEST(terminal_goes_both_ways),
	};
	int failed;

	engine = LOOP_ENGINE_EPOLL;
	failed = cmocka_run_group_tests_name("epoll", tests, NULL, NULL);
	engine = LOOP_ENGINE_AUTO;
	return failed + cmocka_run_group_tests_name("io_uring", tests, NULL, NULL);
}
