/*
 * The raw back end: a file or a block device, byte for byte. Created at setup; block_submit on the
 * loops' threads, of which there may be several: what they share is written only to say that the
 * file system cannot do something.
 *
 * Zeroing goes down a list of ways, and a way that the file refuses is not tried again: a hole,
 * where space may be given back; marking a range as zeros; writing zeros.
 *
 * When writes are to be durable (block->writeback is false) a flush follows each, as a second step
 * of the same request.
 */
#include "devices/block/block_raw.h"

#include <assert.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/mman.h>

#include "devices/block/block_file.h"
#include "vmm/log.h"

/* Zeros are written in parts of this many bytes; a read-only mapping that costs no memory. */
#define ZEROES_LEN (1u << 20)

enum step {
	STEP_ONLY,  /* the request's own operation */
	STEP_FLUSH, /* after a write that is to be durable */
	STEP_PUNCH,
	STEP_ZERO_RANGE,
	STEP_WRITE_ZEROES,
};

struct block_raw {
	struct block block;
	struct block_file file;
	struct file_map map;
	void *zeroes;
	bool no_punch; /* atomic */
	bool no_zero_range;
};

static struct block_raw *to_raw(struct block *block)
{
	return container_of(block, struct block_raw, block);
}

static int start(struct block_request *req, enum step step);

/* ---- completions ---- */

static void finish(struct block_request *req, int result)
{
	bool wrote = req->op == BLOCK_WRITE || req->op == BLOCK_WRITE_ZEROES;

	if (result == 0 && wrote && req->step != STEP_FLUSH && !block_is_writeback(req->block)) {
		result = start(req, STEP_FLUSH);
		if (result == 0)
			return;
		/* Nothing remains but the flush: the bytes are written again, which does no harm.
		 */
	}
	req->done(req, result);
}

static void transfer_done(struct file_io *io, int result)
{
	struct block_request *req = container_of(io, struct block_request, io);

	/* What remains, for when it must be submitted again. */
	req->iov = io->iov;
	req->iov_count = io->iov_count;
	req->offset = io->offset;
	req->len = io->len;
	finish(req, result);
}

static void zeroes_written(struct file_io *io, int result)
{
	struct block_request *req = container_of(io, struct block_request, io);
	uint64_t end = req->offset + req->len;

	req->offset = io->offset;
	req->len = end - io->offset;
	if (result == 0 && req->len > 0) {
		result = start(req, STEP_WRITE_ZEROES);
		if (result == 0)
			return;
	}
	finish(req, result);
}

static void flush_done(struct loop_op *op, int64_t result)
{
	struct block_request *req = container_of(op, struct block_request, io.op);
	int ret = (int)result;

	if (result == -EINTR || result == -EAGAIN) {
		ret = start(req, STEP_FLUSH);
		if (ret == 0)
			return;
	}
	finish(req, ret);
}

static bool is_refusal(int64_t result)
{
	return result == -EOPNOTSUPP || result == -ENOSYS || result == -ENODEV;
}

static void fallocate_done(struct loop_op *op, int64_t result)
{
	struct block_request *req = container_of(op, struct block_request, io.op);
	struct block_raw *raw = to_raw(req->block);
	enum step step = req->step;
	int ret = (int)result;

	if (result == -EINTR || result == -EAGAIN) {
		ret = start(req, step);
	} else if (is_refusal(result) && req->op == BLOCK_WRITE_ZEROES) {
		__atomic_store_n(step == STEP_PUNCH ? &raw->no_punch : &raw->no_zero_range, true,
				 __ATOMIC_RELAXED);
		ret = start(req, step == STEP_PUNCH ? STEP_ZERO_RANGE : STEP_WRITE_ZEROES);
	} else {
		finish(req, ret);
		return;
	}
	if (ret < 0)
		finish(req, ret);
}

/* ---- submission ---- */

static int start_transfer(struct block_request *req)
{
	const struct block_file *file = &to_raw(req->block)->file;
	struct file_io *io = &req->io;

	io->done = transfer_done;
	io->loop = req->loop;
	io->fd = file->fd;
	io->plain_fd = file->direct ? file->plain_fd : -1;
	io->immediate = file->in_memory;
	io->cached = !file->direct;
	io->map = &to_raw(req->block)->map;
	io->write = req->op == BLOCK_WRITE;
	io->iov = req->iov;
	io->iov_count = req->iov_count;
	io->offset = req->offset;
	io->len = req->len;
	return file_io_start(io);
}

static int start_zeroes(struct block_request *req)
{
	const struct block_raw *raw = to_raw(req->block);
	struct file_io *io = &req->io;

	io->done = zeroes_written;
	io->loop = req->loop;
	io->fd = raw->file.fd;
	io->plain_fd = raw->file.direct ? raw->file.plain_fd : -1;
	io->immediate = false;
	io->map = NULL;
	io->write = true;
	io->offset = req->offset;
	io->len = req->len < ZEROES_LEN ? req->len : ZEROES_LEN;
	req->own_iov = (struct iovec){ raw->zeroes, io->len };
	io->iov = &req->own_iov;
	io->iov_count = 1;
	return file_io_start(io);
}

static int start_fallocate(struct block_request *req, int mode)
{
	req->io.op.done = fallocate_done;
	/* A gigabyte given back at once takes its time even in memory. */
	req->io.op.immediate = false;
	if (mode & FALLOC_FL_PUNCH_HOLE)
		file_map_has_hole(&to_raw(req->block)->map, req->offset, req->len);
	return loop_fallocate(req->loop, &req->io.op, to_raw(req->block)->file.fd,
			      mode | FALLOC_FL_KEEP_SIZE, req->offset, req->len);
}

static int start(struct block_request *req, enum step step)
{
	const struct block_raw *raw = to_raw(req->block);

	if (step == STEP_PUNCH && __atomic_load_n(&raw->no_punch, __ATOMIC_RELAXED))
		step = STEP_ZERO_RANGE;
	if (step == STEP_ZERO_RANGE && __atomic_load_n(&raw->no_zero_range, __ATOMIC_RELAXED))
		step = STEP_WRITE_ZEROES;
	req->step = (uint8_t)step;
	switch (step) {
	case STEP_PUNCH:
		return start_fallocate(req, FALLOC_FL_PUNCH_HOLE);
	case STEP_ZERO_RANGE:
		return start_fallocate(req, FALLOC_FL_ZERO_RANGE);
	case STEP_WRITE_ZEROES:
		return start_zeroes(req);
	case STEP_FLUSH:
		req->io.op.done = flush_done;
		/* Nowhere more lasting to go: the file system has nothing to do for it either. */
		if (raw->file.in_memory)
			return loop_complete(req->loop, &req->io.op, 0);
		req->io.op.immediate = false;
		return loop_fdatasync(req->loop, &req->io.op, raw->file.fd);
	default:
		return start_transfer(req);
	}
}

static int raw_submit(struct block *block, struct loop *loop, struct block_request *req)
{
	req->block = block;
	req->loop = loop;
	/* Submitted again when all but the flush was done. */
	if (req->len == 0)
		return start(req, STEP_FLUSH);
	switch (req->op) {
	case BLOCK_FLUSH:
		return start(req, STEP_FLUSH);
	case BLOCK_DISCARD:
		/* Never replaced by something else: it is a hint. */
		req->step = STEP_PUNCH;
		return start_fallocate(req, FALLOC_FL_PUNCH_HOLE);
	case BLOCK_WRITE_ZEROES:
		return start(req, req->may_unmap ? STEP_PUNCH : STEP_ZERO_RANGE);
	default:
		return start(req, STEP_ONLY);
	}
}

/* ---- life ---- */

static void raw_attach(struct block *block, struct loop *loop)
{
	loop_register_fd(loop, to_raw(block)->file.fd);
}

static void raw_detach(struct block *block, struct loop *loop)
{
	loop_unregister_fd(loop, to_raw(block)->file.fd);
}

static bool raw_refresh(struct block *block)
{
	uint64_t size = block_file_size(&to_raw(block)->file);

	if (size == block->info.size)
		return false;
	file_map_disable(&to_raw(block)->map);
	__atomic_store_n(&block->info.size, size, __ATOMIC_RELAXED);
	to_raw(block)->file.info.size = size;
	return true;
}

static void raw_destroy(struct block *block)
{
	struct block_raw *raw = to_raw(block);

	file_map_close(&raw->map);
	block_file_close(&raw->file);
	munmap(raw->zeroes, ZEROES_LEN);
	free(raw);
}

static const struct block_ops raw_ops = {
	.name = "raw",
	.submit = raw_submit,
	.attach = raw_attach,
	.detach = raw_detach,
	.refresh = raw_refresh,
	.destroy = raw_destroy,
};

int block_raw_create(struct block **out, const struct block_options *options)
{
	struct block_raw *raw = calloc(1, sizeof(*raw));
	int ret;

	if (!raw)
		return log_errno(ENOMEM, "open %s", options->path);
	raw->zeroes = mmap(NULL, ZEROES_LEN, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (raw->zeroes == MAP_FAILED) {
		ret = log_errno(errno, "open %s", options->path);
		free(raw);
		return ret;
	}
	ret = block_file_open(&raw->file, options);
	if (ret < 0) {
		munmap(raw->zeroes, ZEROES_LEN);
		free(raw);
		return ret;
	}
	if (raw->file.in_memory)
		file_map_open(&raw->map, raw->file.fd, raw->file.info.size, options->read_only);
	raw->block.ops = &raw_ops;
	raw->block.path = options->path;
	raw->block.info = raw->file.info;
	raw->block.writeback = true;
	*out = &raw->block;
	return 0;
}
