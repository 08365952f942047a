/*
 * The event loop's operations on files, as far as both engines do them alike: the bound on how many
 * are in flight, and those that are carried out at once. On the loop's thread, and run_op also on
 * the epoll engine's.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>

#include "vmm/loop_engine.h"

static int64_t run_once(const struct loop_op *op)
{
	switch ((enum loop_opcode)op->opcode) {
	case LOOP_OP_READ:
		return preadv2(op->fd, op->iov, (int)op->iov_count, (off_t)op->offset, 0);
	case LOOP_OP_WRITE:
		return pwritev2(op->fd, op->iov, (int)op->iov_count, (off_t)op->offset, 0);
	case LOOP_OP_FDATASYNC:
		return fdatasync(op->fd);
	case LOOP_OP_FALLOCATE:
		return fallocate(op->fd, op->mode, (off_t)op->offset, (off_t)op->len);
	}
	return -1;
}

void loop_run_op(struct loop_op *op)
{
	int64_t ret;

	do {
		ret = run_once(op);
	} while (ret < 0 && errno == EINTR);
	op->result = ret < 0 ? -errno : ret;
}

bool loop_read_cached(struct loop *loop, struct loop_op *op)
{
	ssize_t ret;
	size_t len = 0;

	if (op->opcode != LOOP_OP_READ || !op->cached)
		return false;
	loop_count(&loop->stats.syscalls, 1);
	ret = preadv2(op->fd, op->iov, (int)op->iov_count, (off_t)op->offset, RWF_NOWAIT);
	if (ret <= 0)
		return false;
	for (unsigned i = 0; i < op->iov_count; i++)
		len += op->iov[i].iov_len;
	if ((size_t)ret < len)
		return false;
	op->result = ret;
	return true;
}

void loop_finish(struct loop *loop, struct loop_op *op)
{
	op->next = NULL;
	*loop->finished_tail = op;
	loop->finished_tail = &op->next;
}

/* Ends because what may be in flight is bounded, each queue by its driver and its budget. */
void loop_run_finished(struct loop *loop)
{
	struct loop_op *op;

	while ((op = loop->finished_head)) {
		loop->finished_head = op->next;
		if (!loop->finished_head)
			loop->finished_tail = &loop->finished_head;
		loop_dispatch_op(loop, op, op->result);
	}
}

static int may_submit(const struct loop *loop)
{
	if (loop->draining)
		return -ECANCELED;
	return loop->inflight >= loop->options.entries ? -EBUSY : 0;
}

int loop_complete(struct loop *loop, struct loop_op *op, int64_t result)
{
	int ret = may_submit(loop);

	if (ret < 0)
		return ret;
	op->result = result;
	loop->inflight++;
	loop_finish(loop, op);
	return 0;
}

static int submit(struct loop *loop, struct loop_op *op, enum loop_opcode opcode, int fd)
{
	int ret = may_submit(loop);

	if (ret < 0)
		return ret;
	op->opcode = (uint8_t)opcode;
	op->fd = fd;
	if (op->immediate) {
		loop_run_op(op);
		loop_count(&loop->stats.syscalls, 1);
		loop_finish(loop, op);
	} else {
		ret = loop->ops->submit(loop, op);
	}
	if (ret == 0)
		loop->inflight++;
	return ret;
}

int loop_readv(struct loop *loop, struct loop_op *op, int fd, const struct iovec *iov,
	       unsigned iov_count, uint64_t offset)
{
	op->iov = iov;
	op->iov_count = iov_count;
	op->offset = offset;
	return submit(loop, op, LOOP_OP_READ, fd);
}

int loop_writev(struct loop *loop, struct loop_op *op, int fd, const struct iovec *iov,
		unsigned iov_count, uint64_t offset)
{
	op->iov = iov;
	op->iov_count = iov_count;
	op->offset = offset;
	return submit(loop, op, LOOP_OP_WRITE, fd);
}

int loop_fdatasync(struct loop *loop, struct loop_op *op, int fd)
{
	return submit(loop, op, LOOP_OP_FDATASYNC, fd);
}

int loop_fallocate(struct loop *loop, struct loop_op *op, int fd, int mode, uint64_t offset,
		   uint64_t len)
{
	op->mode = mode;
	op->offset = offset;
	op->len = len;
	return submit(loop, op, LOOP_OP_FALLOCATE, fd);
}

void loop_dispatch_op(struct loop *loop, struct loop_op *op, int64_t result)
{
	assert(loop->inflight > 0);
	loop->inflight--;
	loop_count(&loop->stats.ops, 1);
	op->done(op, result);
}

void loop_register_fd(struct loop *loop, int fd)
{
	loop->ops->register_fd(loop, fd);
}

void loop_unregister_fd(struct loop *loop, int fd)
{
	loop->ops->unregister_fd(loop, fd);
}
