/*
 * The raw back end on a host that does as it likes: when a flush and a durable write are answered,
 * transfers that are short, interrupted, or fail. With the loop's operations answered by hand.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "devices/block/block_raw.h"
#include "tests/support/fake_loop.h"
#include "vmm/log.h"

#define DISK_LEN    (1 << 20)
#define REQUEST_LEN 8192
#define NOT_YET	    1

struct disk {
	struct loop loop;
	struct block *block;
	char path[64];
	char data[REQUEST_LEN];
	struct iovec iov[2];
	struct block_request req;
	int result;
};

static void on_done(struct block_request *req, int result)
{
	struct disk *disk = container_of(req, struct disk, req);

	assert_int_equal(disk->result, NOT_YET);
	disk->result = result;
}

static void open_disk(struct disk *disk)
{
	struct block_options options = { .path = disk->path };
	int fd;

	memset(disk, 0, sizeof(*disk));
	snprintf(disk->path, sizeof(disk->path), "/tmp/test_block_broken.XXXXXX");
	fd = mkstemp(disk->path);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, DISK_LEN), 0);
	close(fd);
	fake_loop_init(&disk->loop);
	assert_int_equal(block_raw_create(&disk->block, &options), 0);
}

static void close_disk(struct disk *disk)
{
	assert_int_equal(disk->loop.op_count, 0);
	block_destroy(disk->block);
	unlink(disk->path);
}

/* At 4096, in two parts. */
static void submit(struct disk *disk, enum block_op op)
{
	disk->iov[0] = (struct iovec){ disk->data, 1024 };
	disk->iov[1] = (struct iovec){ disk->data + 1024, REQUEST_LEN - 1024 };
	disk->req = (struct block_request){
		.done = on_done, .op = op, .offset = 4096, .iov = disk->iov, .iov_count = 2
	};
	disk->req.len = op == BLOCK_FLUSH ? 0 : REQUEST_LEN;
	disk->result = NOT_YET;
	assert_int_equal(block_submit(disk->block, &disk->loop, &disk->req), 0);
}

/* What the loop was asked for last: bytes to transfer; 0: to make the file durable. */
static uint64_t asked_len(const struct disk *disk)
{
	const struct loop_op *op = disk->loop.ops[0];
	uint64_t len = 0;

	assert_int_equal(disk->loop.op_count, 1);
	for (unsigned i = 0; i < op->iov_count; i++)
		len += op->iov[i].iov_len;
	return len;
}

static void answer(struct disk *disk, int64_t result)
{
	assert_int_equal(disk->result, NOT_YET);
	assert_true(fake_loop_complete(&disk->loop, result));
}

static void a_flush_is_answered_when_the_file_is_durable(void **state)
{
	struct disk disk;

	(void)state;
	open_disk(&disk);
	submit(&disk, BLOCK_FLUSH);
	assert_int_equal(asked_len(&disk), 0);
	answer(&disk, 0);
	assert_int_equal(disk.result, 0);
	close_disk(&disk);
}

static void a_flush_that_failed_is_an_error(void **state)
{
	struct disk disk;

	(void)state;
	open_disk(&disk);
	submit(&disk, BLOCK_FLUSH);
	answer(&disk, -EIO);
	assert_int_equal(disk.result, -EIO);
	submit(&disk, BLOCK_FLUSH);
	answer(&disk, -EINTR);
	assert_int_equal(asked_len(&disk), 0);
	answer(&disk, -ENOSPC);
	assert_int_equal(disk.result, -ENOSPC);
	close_disk(&disk);
}

static void a_write_is_durable_only_where_there_is_no_cache(void **state)
{
	struct disk disk;

	(void)state;
	open_disk(&disk);
	submit(&disk, BLOCK_WRITE);
	assert_int_equal(asked_len(&disk), REQUEST_LEN);
	answer(&disk, REQUEST_LEN);
	assert_int_equal(disk.result, 0);
	block_set_writeback(disk.block, false);
	for (unsigned i = 0; i < 2; i++) {
		submit(&disk, BLOCK_WRITE);
		assert_int_equal(asked_len(&disk), REQUEST_LEN);
		answer(&disk, REQUEST_LEN);
		assert_int_equal(asked_len(&disk), 0);
		answer(&disk, i == 0 ? 0 : -EIO);
		assert_int_equal(disk.result, i == 0 ? 0 : -EIO);
	}
	submit(&disk, BLOCK_READ);
	answer(&disk, REQUEST_LEN);
	assert_int_equal(disk.result, 0);
	close_disk(&disk);
}

static void short_transfers_are_resumed_where_they_stopped(void **state)
{
	struct disk disk;

	(void)state;
	open_disk(&disk);
	for (enum block_op op = BLOCK_READ; op <= BLOCK_WRITE; op++) {
		submit(&disk, op);
		answer(&disk, 512);
		assert_int_equal(asked_len(&disk), REQUEST_LEN - 512);
		assert_int_equal(disk.loop.ops[0]->offset, 4096 + 512);
		assert_ptr_equal(disk.loop.ops[0]->iov[0].iov_base, disk.data + 512);
		/* Not only at whole sectors. */
		answer(&disk, 1);
		answer(&disk, 1000);
		assert_int_equal(asked_len(&disk), REQUEST_LEN - 1513);
		assert_ptr_equal(disk.loop.ops[0]->iov[0].iov_base, disk.data + 1513);
		answer(&disk, REQUEST_LEN - 1513);
		assert_int_equal(disk.result, 0);
	}
	close_disk(&disk);
}

static void interrupted_transfers_are_repeated_but_not_for_ever(void **state)
{
	struct disk disk;
	unsigned tries = 0;

	(void)state;
	open_disk(&disk);
	submit(&disk, BLOCK_WRITE);
	answer(&disk, -EINTR);
	answer(&disk, -EAGAIN);
	assert_int_equal(asked_len(&disk), REQUEST_LEN);
	answer(&disk, REQUEST_LEN);
	assert_int_equal(disk.result, 0);
	for (submit(&disk, BLOCK_READ); disk.result == NOT_YET && tries < 1000; tries++)
		answer(&disk, -EAGAIN);
	assert_int_equal(disk.result, -EAGAIN);
	assert_in_range(tries, 2, 100);
	close_disk(&disk);
}

static void errors_and_the_end_of_the_file_are_errors(void **state)
{
	static const int errors[] = { EIO, ENOSPC, EDQUOT, EFBIG, EROFS, ENOMEM, EFAULT };
	struct disk disk;

	(void)state;
	open_disk(&disk);
	for (size_t i = 0; i < ARRAY_SIZE(errors); i++) {
		submit(&disk, BLOCK_WRITE);
		answer(&disk, 4096);
		answer(&disk, -errors[i]);
		assert_int_equal(disk.result, -errors[i]);
	}
	submit(&disk, BLOCK_READ);
	answer(&disk, 4096);
	answer(&disk, 0);
	assert_int_equal(disk.result, -EIO);
	close_disk(&disk);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_flush_is_answered_when_the_file_is_durable),
		cmocka_unit_test(a_flush_that_failed_is_an_error),
		cmocka_unit_test(a_write_is_durable_only_where_there_is_no_cache),
		cmocka_unit_test(short_transfers_are_resumed_where_they_stopped),
		cmocka_unit_test(interrupted_transfers_are_repeated_but_not_for_ever),
		cmocka_unit_test(errors_and_the_end_of_the_file_are_errors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
