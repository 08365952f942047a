/*
 * The raw back end: bytes arrive where they belong, errors are told, locks hold. On both engines.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "devices/block/block_raw.h"
#include "tests/support/skip.h"
#include "vmm/loop.h"

#define IMAGE_LEN (1u << 20)

static enum loop_engine engine;
static const char *directory;
static bool in_memory;

struct fixture {
	struct loop *loop;
	struct block *block;
	char path[64];
	uint8_t *buffer; /* page-aligned, IMAGE_LEN */
};

static struct block *open_block(const char *path, bool read_only, bool direct)
{
	struct block_options options = { .path = path, .read_only = read_only, .direct = direct };
	struct block *block;

	assert_int_equal(block_raw_create(&block, &options), 0);
	return block;
}

static int refused(const char *path, bool read_only)
{
	struct block_options options = { .path = path, .read_only = read_only };
	struct block *block;

	return block_raw_create(&block, &options);
}

static int setup(void **state)
{
	struct loop_options options = { .engine = engine };
	struct fixture *f = calloc(1, sizeof(*f));
	int fd;

	snprintf(f->path, sizeof(f->path), "%s/test-block-XXXXXX", directory);
	fd = mkostemp(f->path, O_CLOEXEC);
	assert_true(fd >= 0);
	f->buffer =
		mmap(NULL, IMAGE_LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_true(f->buffer != MAP_FAILED);
	for (unsigned i = 0; i < IMAGE_LEN; i++)
		f->buffer[i] = (uint8_t)(i / 512 + i % 7 + 1) | 1;
	assert_int_equal(write(fd, f->buffer, IMAGE_LEN), IMAGE_LEN);
	close(fd);
	assert_int_equal(loop_create(&f->loop, &options), 0);
	f->block = open_block(f->path, false, false);
	block_attach(f->block, f->loop);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	if (f->block)
		block_detach(f->block, f->loop);
	block_destroy(f->block);
	loop_destroy(f->loop);
	munmap(f->buffer, IMAGE_LEN);
	unlink(f->path);
	free(f);
	return 0;
}

/* ---- one request, waited for ---- */

struct request {
	struct block_request req;
	struct loop *loop;
	int result;
	bool finished;
};

static void request_done(struct block_request *req, int result)
{
	struct request *r = container_of(req, struct request, req);

	assert_false(r->finished);
	r->finished = true;
	r->result = result;
	loop_stop(r->loop);
}

static int run_request(struct loop *loop, struct block *block, struct request *r)
{
	r->req.done = request_done;
	r->loop = loop;
	r->finished = false;
	assert_int_equal(block_submit(block, loop, &r->req), 0);
	assert_int_equal(loop_run(loop), 0);
	assert_true(r->finished);
	return r->result;
}

static int transfer(struct fixture *f, enum block_op op, void *data, uint64_t offset, uint64_t len)
{
	struct iovec iov = { data, len };
	struct request r = {
		.req = { .op = op, .offset = offset, .len = len, .iov = &iov, .iov_count = 1 },
	};

	return run_request(f->loop, f->block, &r);
}

static int simple(struct fixture *f, enum block_op op, uint64_t offset, uint64_t len, bool unmap)
{
	struct request r = {
		.req = { .op = op, .offset = offset, .len = len, .may_unmap = unmap },
	};

	return run_request(f->loop, f->block, &r);
}

static void file_bytes(const struct fixture *f, void *to, size_t len, off_t offset)
{
	int fd = open(f->path, O_RDONLY | O_CLOEXEC);

	assert_int_equal(pread(fd, to, len, offset), len);
	close(fd);
}

static uint64_t file_blocks(const struct fixture *f)
{
	struct stat st;

	assert_int_equal(stat(f->path, &st), 0);
	return (uint64_t)st.st_blocks;
}

/* ---- tests ---- */

static void the_size_is_the_files(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(block_size(f->block), IMAGE_LEN);
	assert_int_equal(f->block->info.logical_size, 512);
	assert_false(f->block->info.read_only);
}

static void scattered_writes_are_read_back_scattered(void **state)
{
	struct fixture *f = *state;
	uint8_t a[700], b[324], c[1024], back[2048];
	struct iovec out[3] = { { a, sizeof(a) }, { b, sizeof(b) }, { c, sizeof(c) } };
	struct iovec in[2] = { { back, 1 }, { back + 1, sizeof(back) - 1 } };
	struct request r = { .req = { .op = BLOCK_WRITE, .offset = 4096, .len = 2048 } };

	memset(a, 1, sizeof(a));
	memset(b, 2, sizeof(b));
	memset(c, 3, sizeof(c));
	r.req.iov = out;
	r.req.iov_count = 3;
	assert_int_equal(run_request(f->loop, f->block, &r), 0);
	r = (struct request){ .req = { .op = BLOCK_READ, .offset = 4096, .len = 2048 } };
	r.req.iov = in;
	r.req.iov_count = 2;
	assert_int_equal(run_request(f->loop, f->block, &r), 0);
	assert_memory_equal(back, a, 700);
	assert_memory_equal(back + 700, b, 324);
	assert_memory_equal(back + 1024, c, 1024);
	file_bytes(f, back, 2048, 4096);
	assert_memory_equal(back, a, 700);
	assert_int_equal(simple(f, BLOCK_FLUSH, 0, 0, false), 0);
}

/* One that names gigabytes of a file in memory must not keep signals and time limits waiting. */
static void a_long_request_lets_the_loop_turn(void **state)
{
	struct fixture *f = *state;
	char path[] = "/dev/shm/test-block-raw-XXXXXX";
	struct iovec iov[64];
	struct request r = { .req = { .op = BLOCK_READ, .iov = iov, .iov_count = 64 } };
	struct loop_stats before, after;
	struct block *block;
	int fd = mkostemp(path, O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, 64 * IMAGE_LEN), 0);
	close(fd);
	block = open_block(path, false, false);
	unlink(path);
	r.req.len = 64 * IMAGE_LEN;
	for (unsigned i = 0; i < 64; i++)
		iov[i] = (struct iovec){ f->buffer, IMAGE_LEN };
	block_attach(block, f->loop);
	loop_get_stats(f->loop, &before);
	assert_int_equal(run_request(f->loop, block, &r), 0);
	loop_get_stats(f->loop, &after);
	assert_in_range(after.rounds - before.rounds, 15, 1000);
	assert_int_equal(f->buffer[0], 0);
	block_detach(block, f->loop);
	block_destroy(block);
}

static void a_disk_cut_short_underneath_gives_an_error(void **state)
{
	struct fixture *f = *state;
	/* In memory the rest of a page is there, until the size is looked at. */
	uint64_t size = in_memory ? 8192 : 6144;
	uint8_t back[4096];

	/* The handler of SIGBUS that opening a file in memory sets is cmocka's again by now. */
	block_detach(f->block, f->loop);
	block_destroy(f->block);
	f->block = open_block(f->path, false, false);
	block_attach(f->block, f->loop);
	assert_int_equal(truncate(f->path, (off_t)size), 0);
	assert_int_equal(transfer(f, BLOCK_READ, back, size - 2048, 4096), -EIO);
	assert_int_equal(transfer(f, BLOCK_READ, back, size - 4096, 4096), 0);
	assert_true(block_refresh(f->block));
	assert_false(block_refresh(f->block));
	assert_int_equal(block_size(f->block), size);
	assert_int_equal(transfer(f, BLOCK_READ, back, size - 4096, 4096), 0);
}

static void a_full_host_is_an_error_and_not_the_end(void **state)
{
	struct fixture *f = *state;
	struct rlimit old, limit;

	/* Where something was given back files in memory are written by system calls. */
	assert_int_equal(simple(f, BLOCK_DISCARD, 4096, 4096, false), 0);
	/* Writes beyond the limit on file sizes fail like those to a full file system. */
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	limit = old;
	limit.rlim_cur = IMAGE_LEN / 2;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	assert_true(transfer(f, BLOCK_WRITE, f->buffer, IMAGE_LEN / 2, 4096) < 0);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	assert_int_equal(transfer(f, BLOCK_WRITE, f->buffer, IMAGE_LEN / 2, 4096), 0);
}

static void a_write_that_gets_only_half_way_is_resumed(void **state)
{
	struct fixture *f = *state;
	struct rlimit old, limit;

	assert_int_equal(simple(f, BLOCK_DISCARD, 4096, 4096, false), 0);
	/* The first half fits below the limit: a short write, then the error for the rest. */
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	limit = old;
	limit.rlim_cur = 8192 + 2048;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	memset(f->buffer, 0xee, 4096);
	assert_true(transfer(f, BLOCK_WRITE, f->buffer, 8192, 4096) < 0);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	file_bytes(f, f->buffer + 4096, 2048, 8192);
	assert_memory_equal(f->buffer, f->buffer + 4096, 2048);
}

static void discard_gives_space_back(void **state)
{
	struct fixture *f = *state;
	uint64_t before = file_blocks(f);

	if (!f->block->info.discard_granularity)
		skip_because("a file system that cannot discard");
	assert_int_equal(simple(f, BLOCK_FLUSH, 0, 0, false), 0);
	assert_int_equal(simple(f, BLOCK_DISCARD, 65536, IMAGE_LEN / 2, false), 0);
	assert_true(file_blocks(f) <= before - IMAGE_LEN / 2 / 512 + 16);
	assert_int_equal(block_size(f->block), IMAGE_LEN);
}

static void check_zeroes(struct fixture *f, bool unmap, uint64_t offset, uint64_t len)
{
	uint8_t *back = malloc(len + 1024);

	assert_int_equal(simple(f, BLOCK_WRITE_ZEROES, offset, len, unmap), 0);
	file_bytes(f, back, len + 1024, (off_t)offset - 512);
	for (uint64_t i = 0; i < len; i++)
		assert_int_equal(back[512 + i], 0);
	assert_int_not_equal(back[511], 0);
	assert_int_not_equal(back[512 + len], 0);
	free(back);
}

static void zeroes_are_written_where_they_are_asked_for(void **state)
{
	struct fixture *f = *state;

	check_zeroes(f, true, 4096 + 512, 8192);
	check_zeroes(f, false, 65536 - 512, 3 * 512);
	check_zeroes(f, false, 131072, 262144);
}

static void durable_writes_finish_too(void **state)
{
	struct fixture *f = *state;
	uint8_t byte;

	block_set_writeback(f->block, false);
	memset(f->buffer, 0x5a, 4096);
	assert_int_equal(transfer(f, BLOCK_WRITE, f->buffer, 0, 4096), 0);
	file_bytes(f, &byte, 1, 4095);
	assert_int_equal(byte, 0x5a);
	check_zeroes(f, true, 8192, 4096);
	block_set_writeback(f->block, true);
}

static void a_read_only_disk_takes_no_writes(void **state)
{
	struct fixture *f = *state;

	block_detach(f->block, f->loop);
	block_destroy(f->block);
	f->block = open_block(f->path, true, false);
	assert_true(f->block->info.read_only);
	assert_int_equal(f->block->info.discard_granularity, 0);
	assert_int_equal(transfer(f, BLOCK_READ, f->buffer, 0, 512), 0);
	assert_int_equal(transfer(f, BLOCK_WRITE, f->buffer, 0, 512), -EBADF);
	assert_int_equal(simple(f, BLOCK_FLUSH, 0, 0, false), 0);
}

static void direct_takes_misaligned_memory_too(void **state)
{
	struct fixture *f = *state;
	struct block_options options = { .path = f->path, .direct = true };
	uint32_t unit;
	uint8_t *back;

	block_detach(f->block, f->loop);
	block_destroy(f->block);
	f->block = NULL;
	if (block_raw_create(&f->block, &options) < 0)
		skip_because("a file system without O_DIRECT");
	unit = f->block->info.logical_size;
	back = aligned_alloc(4096, 2 * 65536);
	memset(f->buffer, 0x77, unit * 2);
	assert_int_equal(transfer(f, BLOCK_WRITE, f->buffer, unit * 4, unit), 0);
	assert_int_equal(transfer(f, BLOCK_WRITE, f->buffer + 1, unit * 5, unit), 0);
	assert_int_equal(transfer(f, BLOCK_READ, back + 3, unit * 4, unit * 2), 0);
	assert_memory_equal(back + 3, f->buffer, unit * 2);
	free(back);
}

/* Tries in a child, because locks are between open files and names between processes. */
static int child_tries(const struct fixture *f, bool read_only, char *said, size_t room)
{
	int fds[2], status;
	ssize_t len;
	pid_t pid;

	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		dup2(fds[1], STDERR_FILENO);
		_exit(refused(f->path, read_only) == -EBUSY ? 1 : 0);
	}
	close(fds[1]);
	len = read(fds[0], said, room - 1);
	said[len > 0 ? len : 0] = '\0';
	close(fds[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WEXITSTATUS(status);
}

static void a_second_writer_is_refused_by_name(void **state)
{
	struct fixture *f = *state;
	char said[512], pid[32];

	snprintf(pid, sizeof(pid), "process %d (", getpid());
	assert_int_equal(child_tries(f, false, said, sizeof(said)), 1);
	assert_non_null(strstr(said, f->path));
	assert_non_null(strstr(said, pid));
	assert_int_equal(child_tries(f, true, said, sizeof(said)), 1);
}

static void readers_share_and_keep_writers_out(void **state)
{
	struct fixture *f = *state;
	struct block *other;
	char said[512];

	block_detach(f->block, f->loop);
	block_destroy(f->block);
	f->block = open_block(f->path, true, false);
	other = open_block(f->path, true, false);
	assert_int_equal(child_tries(f, true, said, sizeof(said)), 0);
	assert_int_equal(child_tries(f, false, said, sizeof(said)), 1);
	block_destroy(other);
}

static void what_is_no_disk_is_refused(void **state)
{
	struct fixture *f = *state;
	char fifo[80];

	snprintf(fifo, sizeof(fifo), "%s.fifo", f->path);
	assert_int_equal(mkfifo(fifo, 0600), 0);
	assert_int_equal(refused(fifo, false), -EINVAL);
	unlink(fifo);
	assert_int_equal(refused("/tmp", true), -EINVAL);
	assert_int_equal(refused("/nonexistent/disk", false), -ENOENT);
}

static void a_tail_that_is_no_sector_is_left_out(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(truncate(f->path, 10000), 0);
	assert_true(block_refresh(f->block));
	assert_int_equal(block_size(f->block), 9728);
}

/* ---- more than the loop has room for, and a loop that stops ---- */

static void a_busy_loop_says_so(void **state)
{
	struct fixture *f = *state;
	struct loop_options options = { .engine = engine, .entries = 2 };
	struct request r[3];
	struct iovec iov[3];
	struct loop *loop;

	assert_int_equal(loop_create(&loop, &options), 0);
	for (unsigned i = 0; i < 3; i++) {
		iov[i] = (struct iovec){ f->buffer + i * 512, 512 };
		r[i] = (struct request){
			.req = { .done = request_done,
				 .op = BLOCK_READ,
				 .len = 512,
				 .iov = &iov[i] },
			.loop = loop,
		};
		r[i].req.iov_count = 1;
		assert_int_equal(block_submit(f->block, loop, &r[i].req), i < 2 ? 0 : -EBUSY);
	}
	assert_int_equal(loop_run(loop), 0);
	assert_true(r[0].finished && r[1].finished && !r[2].finished);
	loop_destroy(loop);
}

#define RAW_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

static int run_on(enum loop_engine which, const char *where, const char *name)
{
	const struct CMUnitTest tests[] = {
		RAW_TEST(the_size_is_the_files),
		RAW_TEST(scattered_writes_are_read_back_scattered),
		RAW_TEST(a_long_request_lets_the_loop_turn),
		RAW_TEST(a_disk_cut_short_underneath_gives_an_error),
		RAW_TEST(a_full_host_is_an_error_and_not_the_end),
		RAW_TEST(a_write_that_gets_only_half_way_is_resumed),
		RAW_TEST(discard_gives_space_back),
		RAW_TEST(zeroes_are_written_where_they_are_asked_for),
		RAW_TEST(durable_writes_finish_too),
		RAW_TEST(a_read_only_disk_takes_no_writes),
		RAW_TEST(direct_takes_misaligned_memory_too),
		RAW_TEST(a_second_writer_is_refused_by_name),
		RAW_TEST(readers_share_and_keep_writers_out),
		RAW_TEST(what_is_no_disk_is_refused),
		RAW_TEST(a_tail_that_is_no_sector_is_left_out),
		RAW_TEST(a_busy_loop_says_so),
	};

	engine = which;
	directory = where;
	in_memory = strcmp(where, "/dev/shm") == 0;
	return cmocka_run_group_tests_name(name, tests, NULL, NULL);
}

int main(void)
{
	int failed = run_on(LOOP_ENGINE_EPOLL, "/var/tmp", "raw back end on epoll");

	failed += run_on(LOOP_ENGINE_IO_URING, "/var/tmp", "raw back end on io_uring");
	/* Where reads and writes are carried out at once. */
	failed += run_on(LOOP_ENGINE_EPOLL, "/dev/shm", "raw back end in memory, on epoll");
	return failed +
	       run_on(LOOP_ENGINE_IO_URING, "/dev/shm", "raw back end in memory, on io_uring");
}
