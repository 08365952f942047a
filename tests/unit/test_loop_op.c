/*
 * The event loop's operations on files, on both engines: every test runs on each, but for the one
 * that counts io_uring's system calls.
 */
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/support/loop_fixture.h"

static int64_t run_one(struct loop *loop, struct transfer *t, int ret)
{
	if (ret < 0)
		return ret;
	assert_int_equal(loop_run(loop), 0);
	assert_true(t->finished);
	return t->result;
}

static void data_written_is_read_back(void **state)
{
	struct fixture *f = *state;
	char a[100], b[200], back[300];
	struct iovec out[2] = { { a, sizeof(a) }, { b, sizeof(b) } };
	struct iovec in = { back, sizeof(back) };
	struct transfer t;
	unsigned pending;

	memset(a, 'a', sizeof(a));
	memset(b, 'b', sizeof(b));
	for (int registered = 0; registered < 2; registered++) {
		if (registered)
			loop_register_fd(f->loop, f->fd);
		memset(back, 0, sizeof(back));
		pending = 1;
		transfer_init(&t, f->loop, &pending);
		assert_int_equal(
			run_one(f->loop, &t, loop_writev(f->loop, &t.op, f->fd, out, 2, 4096)),
			300);
		pending = 1;
		transfer_init(&t, f->loop, &pending);
		assert_int_equal(run_one(f->loop, &t, loop_fdatasync(f->loop, &t.op, f->fd)), 0);
		pending = 1;
		transfer_init(&t, f->loop, &pending);
		assert_int_equal(
			run_one(f->loop, &t, loop_readv(f->loop, &t.op, f->fd, &in, 1, 4096)), 300);
		assert_memory_equal(back, a, 100);
		assert_memory_equal(back + 100, b, 200);
		/* Half past the end: short. */
		pending = 1;
		transfer_init(&t, f->loop, &pending);
		assert_int_equal(
			run_one(f->loop, &t, loop_readv(f->loop, &t.op, f->fd, &in, 1, 4246)), 150);
	}
	loop_unregister_fd(f->loop, f->fd);
	pending = 1;
	transfer_init(&t, f->loop, &pending);
	assert_int_equal(
		run_one(f->loop, &t,
			loop_fallocate(f->loop, &t.op, f->fd,
				       FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 4096, 200)),
		0);
	pending = 1;
	transfer_init(&t, f->loop, &pending);
	assert_int_equal(run_one(f->loop, &t, loop_readv(f->loop, &t.op, f->fd, &in, 1, 4096)),
			 300);
	assert_int_equal(back[0], 0);
	assert_int_equal(back[199], 0);
	assert_int_equal(back[200], 'b');
}

static void a_failing_operation_reports_its_error(void **state)
{
	struct fixture *f = *state;
	int read_only = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	char byte = 1;
	struct iovec iov = { &byte, 1 };
	struct transfer t;
	unsigned pending = 1;

	transfer_init(&t, f->loop, &pending);
	assert_int_equal(run_one(f->loop, &t, loop_writev(f->loop, &t.op, read_only, &iov, 1, 0)),
			 -EBADF);
	close(read_only);
}

static void operations_beyond_the_limit_are_busy_and_a_round_takes_many(void **state)
{
	struct fixture *f = *state;
	struct loop *loop = make_loop(300, 0);
	struct transfer *t = calloc(301, sizeof(*t));
	struct iovec *iov = calloc(301, sizeof(*iov));
	unsigned *cells = calloc(301, sizeof(*cells));
	unsigned pending = 0;
	struct stopper start = { 0 };

	loop_register_fd(loop, f->fd);
	/* The ring must be running: it takes no more than one queue of submissions before. */
	stop_in(loop, &start, 0);
	assert_int_equal(loop_run(loop), 0);
	for (unsigned i = 0; i < 300; i++) {
		cells[i] = i;
		iov[i] = (struct iovec){ &cells[i], sizeof(cells[i]) };
		transfer_init(&t[i], loop, &pending);
		assert_int_equal(
			loop_writev(loop, &t[i].op, f->fd, &iov[i], 1, i * sizeof(cells[i])), 0);
		pending++;
	}
	iov[300] = (struct iovec){ &cells[300], sizeof(cells[300]) };
	transfer_init(&t[300], loop, &pending);
	assert_int_equal(loop_writev(loop, &t[300].op, f->fd, &iov[300], 1, 0), -EBUSY);
	assert_int_equal(loop_run(loop), 0);
	assert_int_equal(pending, 0);
	for (unsigned i = 0; i < 300; i++) {
		unsigned cell = ~0u;

		assert_int_equal(t[i].result, sizeof(unsigned));
		assert_int_equal(pread(f->fd, &cell, sizeof(cell), (off_t)(i * sizeof(cell))),
				 sizeof(cell));
		assert_int_equal(cell, i);
	}
	loop_destroy(loop);
	free(t);
	free(iov);
	free(cells);
}

static void a_batch_costs_few_system_calls(void **state)
{
	struct fixture *f = *state;
	struct transfer t[64];
	char buffer[64] = { 0 };
	struct iovec iov = { buffer, sizeof(buffer) };
	struct loop_stats stats;
	struct stopper start = { 0 };
	uint64_t before;
	unsigned pending = 64;

	assert_int_equal(pwrite(f->fd, buffer, sizeof(buffer), 0), sizeof(buffer));
	loop_register_fd(f->loop, f->fd);
	stop_in(f->loop, &start, 0);
	assert_int_equal(loop_run(f->loop), 0);
	loop_get_stats(f->loop, &stats);
	before = stats.syscalls;
	for (unsigned i = 0; i < 64; i++) {
		transfer_init(&t[i], f->loop, &pending);
		assert_int_equal(loop_readv(f->loop, &t[i].op, f->fd, &iov, 1, 0), 0);
	}
	assert_int_equal(loop_run(f->loop), 0);
	loop_get_stats(f->loop, &stats);
	assert_true(stats.syscalls - before <= 2);
	assert_int_equal(stats.ops, 64);
}

static void stopping_waits_for_operations_in_flight(void **state)
{
	struct fixture *f = *state;
	char buffer[512] = "x";
	struct iovec iov = { buffer, sizeof(buffer) };
	struct transfer t[32];
	unsigned pending = 1000; /* never the last one: the stop below is what ends it */

	for (unsigned i = 0; i < 32; i++) {
		transfer_init(&t[i], f->loop, &pending);
		assert_int_equal(loop_writev(f->loop, &t[i].op, f->fd, &iov, 1, i * 512u), 0);
	}
	loop_stop(f->loop);
	assert_int_equal(loop_run(f->loop), 0);
	for (unsigned i = 0; i < 32; i++)
		assert_true(t[i].finished);
}

/* An event and a registered file follow the loop from thread to thread. */
static void a_loop_may_run_again_on_another_thread(void **state)
{
	struct fixture *f = *state;
	struct stopper s = { .loop = f->loop };
	char byte = 'x';
	struct iovec iov = { &byte, 1 };
	int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

	s.event = (struct loop_event){ .fn = event_counts, .fd = fd, .events = EPOLLIN };
	assert_int_equal(loop_event_add(f->loop, &s.event), 0);
	loop_register_fd(f->loop, f->fd);
	for (unsigned i = 1; i <= 3; i++) {
		pthread_t runner;
		struct transfer t;
		unsigned pending = 2;

		s.stop_after = s.event_count + 1;
		eventfd_write(fd, 1);
		assert_int_equal(pthread_create(&runner, NULL, loop_thread, f->loop), 0);
		pthread_join(runner, NULL);
		assert_true(s.event_count >= i);
		/* The next one finds an operation that was asked for in between. */
		transfer_init(&t, f->loop, &pending);
		assert_int_equal(loop_writev(f->loop, &t.op, f->fd, &iov, 1, i), 0);
		loop_stop(f->loop);
		assert_int_equal(pthread_create(&runner, NULL, loop_thread, f->loop), 0);
		pthread_join(runner, NULL);
		assert_true(t.finished);
		assert_int_equal(t.result, 1);
	}
	loop_unregister_fd(f->loop, f->fd);
	loop_event_del(f->loop, &s.event);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LOOP_TEST(data_written_is_read_back),
		LOOP_TEST(a_failing_operation_reports_its_error),
		LOOP_TEST(operations_beyond_the_limit_are_busy_and_a_round_takes_many),
		LOOP_TEST(stopping_waits_for_operations_in_flight),
		LOOP_TEST(a_loop_may_run_again_on_another_thread),
	};
	const struct CMUnitTest of_io_uring[] = { LOOP_TEST(a_batch_costs_few_system_calls) };
	int failed = LOOP_RUN_ON_BOTH("loop operations", tests);

	return failed +
	       cmocka_run_group_tests_name("loop operations of io_uring", of_io_uring, NULL, NULL);
}
