/*
 * The overlay back end: what was written is read back, the image stays as it was. On both engines.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "devices/block/block_overlay.h"
#include "devices/block/block_raw.h"
#include "vmm/loop.h"

/* Not a whole number of clusters. */
#define SECTORS	  1021u
#define IMAGE_LEN (SECTORS * 512u)
#define DEPTH	  24u

static enum loop_engine engine;

struct fixture {
	struct loop *loop;
	struct block *block;
	char path[64];
	uint8_t image[IMAGE_LEN];
	uint8_t model[IMAGE_LEN]; /* what the guest must see */
	uint8_t data[IMAGE_LEN];
};

static struct block *open_overlay(const char *path)
{
	struct block_options options = { .path = path };
	struct block *block;

	assert_int_equal(block_overlay_create(&block, &options), 0);
	return block;
}

static int setup(void **state)
{
	struct loop_options options = { .engine = engine };
	struct fixture *f = calloc(1, sizeof(*f));
	int fd;

	strcpy(f->path, "/var/tmp/test-overlay-XXXXXX");
	fd = mkostemp(f->path, O_CLOEXEC);
	assert_true(fd >= 0);
	for (unsigned i = 0; i < IMAGE_LEN; i++)
		f->image[i] = (uint8_t)(i / 512 + i % 5) | 0x80;
	memcpy(f->model, f->image, IMAGE_LEN);
	assert_int_equal(write(fd, f->image, IMAGE_LEN), IMAGE_LEN);
	close(fd);
	assert_int_equal(loop_create(&f->loop, &options), 0);
	f->block = open_overlay(f->path);
	block_attach(f->block, f->loop);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	int fd = open(f->path, O_RDONLY | O_CLOEXEC);

	/* Whatever the test did. */
	assert_int_equal(read(fd, f->data, IMAGE_LEN), IMAGE_LEN);
	assert_memory_equal(f->data, f->image, IMAGE_LEN);
	close(fd);
	block_detach(f->block, f->loop);
	block_destroy(f->block);
	loop_destroy(f->loop);
	unlink(f->path);
	free(f);
	return 0;
}

struct request {
	struct block_request req;
	struct iovec iov[3];
	struct loop *loop;
	unsigned *pending;
	int result;
	bool finished;
};

static void request_done(struct block_request *req, int result)
{
	struct request *r = container_of(req, struct request, req);

	assert_false(r->finished);
	r->finished = true;
	r->result = result;
	if (--*r->pending == 0)
		loop_stop(r->loop);
}

/* Data in three parts of odd lengths, to meet the cluster borders at odd places. */
static void prepare(struct request *r, struct fixture *f, enum block_op op, uint8_t *data,
		    uint64_t offset, uint64_t len)
{
	uint64_t first = len / 3 + 1, second = len / 5 + 1;

	*r = (struct request){ .loop = f->loop };
	r->req.done = request_done;
	r->req.op = op;
	r->req.offset = offset;
	r->req.len = len;
	r->req.iov = r->iov;
	r->req.iov_count = 3;
	r->iov[0] = (struct iovec){ data, first };
	r->iov[1] = (struct iovec){ data + first, second };
	r->iov[2] = (struct iovec){ data + first + second, len - first - second };
}

static void run_requests(struct fixture *f, struct request *r, unsigned count)
{
	unsigned pending = count;

	for (unsigned i = 0; i < count; i++) {
		r[i].pending = &pending;
		assert_int_equal(block_submit(f->block, f->loop, &r[i].req), 0);
		assert_false(r[i].finished);
	}
	assert_int_equal(loop_run(f->loop), 0);
	for (unsigned i = 0; i < count; i++) {
		assert_true(r[i].finished);
		assert_int_equal(r[i].result, 0);
	}
}

static void run_one(struct fixture *f, enum block_op op, uint8_t *data, uint64_t offset,
		    uint64_t len)
{
	struct request r;

	prepare(&r, f, op, data, offset, len);
	run_requests(f, &r, 1);
}

static void check_model(struct fixture *f)
{
	memset(f->data, 0x11, IMAGE_LEN);
	run_one(f, BLOCK_READ, f->data, 0, IMAGE_LEN);
	assert_memory_equal(f->data, f->model, IMAGE_LEN);
}

static void the_image_is_seen_through(void **state)
{
	check_model(*state);
}

static void a_write_inside_a_cluster_keeps_its_neighbours(void **state)
{
	struct fixture *f = *state;

	memset(f->data, 0x42, 1024);
	run_one(f, BLOCK_WRITE, f->data, 4096 + 512, 1024);
	memset(f->model + 4096 + 512, 0x42, 1024);
	check_model(f);
	run_one(f, BLOCK_FLUSH, f->data, 0, 512);
}

static void a_write_over_many_clusters_keeps_both_ends(void **state)
{
	struct fixture *f = *state;

	memset(f->data, 0x43, 40960);
	run_one(f, BLOCK_WRITE, f->data, 512, 40960);
	memset(f->model + 512, 0x43, 40960);
	check_model(f);
}

static void the_last_short_cluster_is_whole(void **state)
{
	struct fixture *f = *state;

	memset(f->data, 0x44, 512);
	run_one(f, BLOCK_WRITE, f->data, IMAGE_LEN - 512, 512);
	memset(f->model + IMAGE_LEN - 512, 0x44, 512);
	check_model(f);
	memset(f->data, 0x45, 4096);
	run_one(f, BLOCK_WRITE, f->data, IMAGE_LEN - 4096, 4096);
	memset(f->model + IMAGE_LEN - 4096, 0x45, 4096);
	check_model(f);
}

static void zeroes_are_zeroes_whatever_was_there(void **state)
{
	struct fixture *f = *state;

	memset(f->data, 0x46, 16384);
	run_one(f, BLOCK_WRITE, f->data, 8192, 16384);
	memset(f->model + 8192, 0x46, 16384);
	run_one(f, BLOCK_WRITE_ZEROES, f->data, 1024, 20480);
	memset(f->model + 1024, 0, 20480);
	check_model(f);
}

static void a_discard_leaves_what_is_outside(void **state)
{
	struct fixture *f = *state;

	memset(f->data, 0x47, 65536);
	run_one(f, BLOCK_WRITE, f->data, 0, 65536);
	run_one(f, BLOCK_DISCARD, f->data, 8192 + 512, 16384);
	memset(f->model, 0x47, 65536);
	run_one(f, BLOCK_READ, f->data, 0, 65536);
	assert_memory_equal(f->data, f->model, 8192 + 512);
	assert_memory_equal(f->data + 8192 + 512 + 16384, f->model + 8192 + 512 + 16384,
			    65536 - 8192 - 512 - 16384);
}

/* Requests at once that share clusters but no sectors: none may undo another. */
static void requests_at_once_do_not_undo_each_other(void **state)
{
	struct fixture *f = *state;
	struct request r[DEPTH];
	unsigned seed = 12345;

	for (unsigned round = 0; round < 300; round++) {
		unsigned sector = (unsigned)rand_r(&seed) % (SECTORS - DEPTH * 12);

		for (unsigned i = 0; i < DEPTH; i++) {
			unsigned count = 1 + (unsigned)rand_r(&seed) % 11;
			uint8_t *data = f->data + sector * 512;
			unsigned kind = (unsigned)rand_r(&seed) % 4;

			memset(data, (int)(round + i) | 1, count * 512);
			prepare(&r[i], f, kind == 0 ? BLOCK_WRITE_ZEROES : BLOCK_WRITE, data,
				sector * 512ull, count * 512ull);
			memset(f->model + sector * 512, kind == 0 ? 0 : (int)(round + i) | 1,
			       count * 512);
			sector += count;
		}
		/* Out of order, so that neighbours wait for each other in both directions. */
		for (unsigned i = 0; i < DEPTH; i += 2) {
			struct request tmp = r[i];

			r[i] = r[DEPTH - 1 - i];
			r[DEPTH - 1 - i] = tmp;
		}
		for (unsigned i = 0; i < DEPTH; i++)
			r[i].req.iov = r[i].iov;
		run_requests(f, r, DEPTH);
		if (round % 10 == 9)
			check_model(f);
	}
	check_model(f);
}

static void overlays_share_an_image_and_keep_writers_out(void **state)
{
	struct fixture *f = *state;
	struct block_options options = { .path = f->path };
	struct block *other = open_overlay(f->path), *writer;

	assert_int_equal(block_raw_create(&writer, &options), -EBUSY);
	memset(f->data, 0x48, 4096);
	run_one(f, BLOCK_WRITE, f->data, 0, 4096);
	memcpy(f->model, f->data, 4096);
	block_destroy(other);
	check_model(f);
}

static void nothing_is_left_behind(void **state)
{
	struct fixture *f = *state;
	char dir[] = "/var/tmp/test-overlay-tmp-XXXXXX";
	const char *old = getenv("TMPDIR");
	struct block *block;

	assert_non_null(mkdtemp(dir));
	setenv("TMPDIR", dir, 1);
	block = open_overlay(f->path);
	/* Not even while it is in use. */
	assert_int_equal(rmdir(dir), 0);
	block_destroy(block);
	if (old)
		setenv("TMPDIR", "/dev/shm", 1);
	else
		unsetenv("TMPDIR");
}

#define OVERLAY_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

static int run_on(enum loop_engine which, const char *name)
{
	const struct CMUnitTest tests[] = {
		OVERLAY_TEST(the_image_is_seen_through),
		OVERLAY_TEST(a_write_inside_a_cluster_keeps_its_neighbours),
		OVERLAY_TEST(a_write_over_many_clusters_keeps_both_ends),
		OVERLAY_TEST(the_last_short_cluster_is_whole),
		OVERLAY_TEST(zeroes_are_zeroes_whatever_was_there),
		OVERLAY_TEST(a_discard_leaves_what_is_outside),
		OVERLAY_TEST(requests_at_once_do_not_undo_each_other),
		OVERLAY_TEST(overlays_share_an_image_and_keep_writers_out),
		OVERLAY_TEST(nothing_is_left_behind),
	};

	engine = which;
	return cmocka_run_group_tests_name(name, tests, NULL, NULL);
}

int main(void)
{
	int failed = run_on(LOOP_ENGINE_EPOLL, "overlay back end on epoll");

	failed += run_on(LOOP_ENGINE_IO_URING, "overlay back end on io_uring");
	setenv("TMPDIR", "/dev/shm", 1);
	return failed + run_on(LOOP_ENGINE_IO_URING, "overlay back end in memory");
}
