/*
 * Whole transfers on the loop. Called by the block back ends, on the thread of the loop that
 * carries the request.
 */
#include "devices/block/file_io.h"

#include <assert.h>

/* A file that answers "again" for ever is broken, not slow. */
#define RETRIES_MAX 64

/*
 * One operation moves this much at most, and only short transfers are done on the spot: a guest can
 * name gigabytes in one request, and whatever else the loop has to do would wait for the copying.
 */
#define PART_LEN_MAX (4u << 20)
#define SPOT_LEN_MAX (1u << 20)

void file_io_advance(struct iovec **iov, unsigned *iov_count, uint64_t count)
{
	while (*iov_count > 0 && count >= (*iov)->iov_len) {
		count -= (*iov)->iov_len;
		(*iov)++;
		(*iov_count)--;
	}
	if (count > 0) {
		assert(*iov_count > 0);
		(*iov)->iov_base = (char *)(*iov)->iov_base + count;
		(*iov)->iov_len -= count;
	}
}

/* Number of entries that hold the next part; hides what the last of them has beyond. */
static unsigned cut(struct file_io *io)
{
	uint64_t left = io->len < PART_LEN_MAX ? io->len : PART_LEN_MAX;
	unsigned i = 0;

	while (i + 1 < io->iov_count && io->iov[i].iov_len < left)
		left -= io->iov[i++].iov_len;
	assert(io->iov[i].iov_len >= left);
	io->cut_index = i;
	io->cut_len = io->iov[i].iov_len - left;
	io->iov[i].iov_len = left;
	return i + 1;
}

static void uncut(struct file_io *io)
{
	io->iov[io->cut_index].iov_len += io->cut_len;
}

static void transfer_done(struct loop_op *op, int64_t result);

static int issue(struct file_io *io)
{
	unsigned count = cut(io);
	int ret;

	io->op.done = transfer_done;
	if (io->map && io->len <= SPOT_LEN_MAX &&
	    file_map_copy(io->map, io->write, io->iov, io->offset, io->len)) {
		ret = loop_complete(io->loop, &io->op, (int64_t)io->len);
		if (ret < 0)
			uncut(io);
		return ret;
	}
	io->op.immediate = io->immediate && io->len <= SPOT_LEN_MAX;
	io->op.cached = io->cached && io->len <= SPOT_LEN_MAX;
	if (io->write)
		ret = loop_writev(io->loop, &io->op, io->fd, io->iov, count, io->offset);
	else
		ret = loop_readv(io->loop, &io->op, io->fd, io->iov, count, io->offset);
	if (ret < 0)
		uncut(io);
	return ret;
}

static void transfer_done(struct loop_op *op, int64_t result)
{
	struct file_io *io = container_of(op, struct file_io, op);
	int ret = (int)result;

	uncut(io);
	if (result > 0) {
		assert((uint64_t)result <= io->len);
		file_io_advance(&io->iov, &io->iov_count, (uint64_t)result);
		io->offset += (uint64_t)result;
		io->len -= (uint64_t)result;
		io->retries = 0;
		ret = io->len > 0 ? issue(io) : 0;
		if (ret == 0 && io->len > 0)
			return;
	} else if (result == 0) {
		/* The file ends here: it was made shorter underneath. */
		ret = -EIO;
	} else if (result == -EINVAL && io->plain_fd >= 0 && io->fd != io->plain_fd) {
		io->fd = io->plain_fd;
		ret = issue(io);
		if (ret == 0)
			return;
	} else if ((result == -EINTR || result == -EAGAIN) && io->retries++ < RETRIES_MAX) {
		ret = issue(io);
		if (ret == 0)
			return;
	}
	io->done(io, ret);
}

int file_io_start(struct file_io *io)
{
	io->retries = 0;
	return issue(io);
}
