/*
 * The overlay back end: an image that is only read, and a sparse file without a name that holds
 * what was written. Created at setup; block_submit on one loop's thread (single_loop).
 *
 * Both files have the same offsets. A bit for each cluster says which of them has it; it is set
 * once all of the cluster is in the written file. A read is split into runs of clusters of the same
 * file. A write that covers an absent cluster only in part first fills it: the cluster is copied
 * from the image as a whole, then written to. That can be at most its first and its last.
 *
 * Writes, zeroing and discards whose clusters overlap run one after the other, because a fill that
 * ended late would undo another's write. Whoever has to wait, for that or for a buffer to fill by,
 * is looked at again each time such a request ends.
 *
 * Nothing here is to survive, so that a flush has nothing to do.
 */
#include "devices/block/block_overlay.h"

#include <assert.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <string.h>
#include <sys/mman.h>

#include "devices/block/block_file.h"
#include "devices/block/nameless_file.h"
#include "devices/block/request_list.h"
#include "vmm/log.h"

#define CLUSTER_LEN  4096u
#define FILL_BUFFERS 16u

struct block_overlay {
	struct block block;
	struct block_file base;
	int written_fd;
	bool written_in_memory;
	uint8_t *present; /* a bit for each cluster; a mapping */
	size_t present_len;
	uint8_t *fill_buffers;	     /* FILL_BUFFERS clusters; a mapping */
	uint32_t fill_used;	     /* bit set */
	struct request_list active;  /* that write, zero or discard */
	struct request_list waiting; /* likewise, not started */
	struct request_list trivial; /* have nothing to do but to be reported */
	struct loop_deferred report;
};

static struct block_overlay *to_overlay(struct block *block)
{
	return container_of(block, struct block_overlay, block);
}

/* ---- clusters ---- */

static bool is_present(const struct block_overlay *ov, uint64_t cluster)
{
	return ov->present[cluster / 8] >> (cluster % 8) & 1;
}

/* Clusters of which [OFFSET, END) covers every byte that the disk has. */
static void mark_present(struct block_overlay *ov, uint64_t offset, uint64_t end)
{
	uint64_t first = (offset + CLUSTER_LEN - 1) / CLUSTER_LEN;
	uint64_t stop = end / CLUSTER_LEN + (end == ov->block.info.size && end % CLUSTER_LEN != 0);

	for (uint64_t i = first; i < stop; i++)
		ov->present[i / 8] |= (uint8_t)(1u << (i % 8));
}

/* Bytes from OFFSET that are in the same file, at most LEN. */
static uint64_t run_len(const struct block_overlay *ov, uint64_t offset, uint64_t len)
{
	uint64_t cluster = offset / CLUSTER_LEN;
	bool present = is_present(ov, cluster);
	uint64_t end = (cluster + 1) * CLUSTER_LEN;

	while (end < offset + len && is_present(ov, end / CLUSTER_LEN) == present)
		end += CLUSTER_LEN;
	return end - offset < len ? end - offset : len;
}

static uint64_t request_end(const struct block_request *req)
{
	return req->offset + req->len;
}

/* ---- reading ---- */

static void io_on(struct block_request *req, bool written, void (*done)(struct file_io *, int))
{
	const struct block_overlay *ov = to_overlay(req->block);

	req->io.done = done;
	req->io.loop = req->loop;
	req->io.fd = written ? ov->written_fd : ov->base.fd;
	req->io.plain_fd = !written && ov->base.direct ? ov->base.plain_fd : -1;
	req->io.immediate = written ? ov->written_in_memory : ov->base.in_memory;
	req->io.cached = written || !ov->base.direct;
	req->io.map = NULL;
}

static void run_read(struct file_io *io, int result);

static int read_run(struct block_request *req)
{
	const struct block_overlay *ov = to_overlay(req->block);

	io_on(req, is_present(ov, req->offset / CLUSTER_LEN), run_read);
	req->io.write = false;
	req->io.iov = req->iov;
	req->io.iov_count = req->iov_count;
	req->io.offset = req->offset;
	req->io.len = run_len(ov, req->offset, req->len);
	return file_io_start(&req->io);
}

static void run_read(struct file_io *io, int result)
{
	struct block_request *req = container_of(io, struct block_request, io);

	req->len -= io->offset - req->offset;
	req->offset = io->offset;
	req->iov = io->iov;
	req->iov_count = io->iov_count;
	if (result == 0 && req->len > 0) {
		result = read_run(req);
		if (result == 0)
			return;
	}
	req->done(req, result);
}

/* ---- changing: waiting for each other ---- */

static int change_next(struct block_request *req);
static int change_begin(struct block_overlay *ov, struct block_request *req);

static bool overlaps(const struct block_request *a, const struct block_request *b)
{
	return a->offset / CLUSTER_LEN <= (request_end(b) - 1) / CLUSTER_LEN &&
	       b->offset / CLUSTER_LEN <= (request_end(a) - 1) / CLUSTER_LEN;
}

static bool must_wait(const struct block_overlay *ov, const struct block_request *req)
{
	for (const struct block_request *other = ov->active.head; other; other = other->next)
		if (overlaps(req, other))
			return true;
	return false;
}

static void start_waiting(struct block_overlay *ov)
{
	struct request_list list = ov->waiting;
	struct block_request *req;

	if (!list.head)
		return;
	request_list_init(&ov->waiting);
	while ((req = request_list_take(&list))) {
		int ret = change_begin(ov, req);

		if (ret < 0)
			req->done(req, ret);
	}
}

static void give_buffer(struct block_overlay *ov, struct block_request *req)
{
	uint8_t *buffer = req->own_iov.iov_base;

	if (!buffer)
		return;
	ov->fill_used &= ~(1u << ((size_t)(buffer - ov->fill_buffers) / CLUSTER_LEN));
	req->own_iov.iov_base = NULL;
}

static void leave_active(struct block_overlay *ov, struct block_request *req)
{
	request_list_remove(&ov->active, req);
	give_buffer(ov, req);
}

static void change_end(struct block_request *req, int result)
{
	struct block_overlay *ov = to_overlay(req->block);

	leave_active(ov, req);
	start_waiting(ov);
	req->done(req, result);
}

/* ---- changing: filling ---- */

/* Whether CLUSTER is absent and the request leaves some of it as it is. */
static bool needs_fill(const struct block_overlay *ov, const struct block_request *req,
		       uint64_t cluster)
{
	uint64_t start = cluster * CLUSTER_LEN;
	uint64_t end = start + CLUSTER_LEN;

	if (end > ov->block.info.size)
		end = ov->block.info.size;
	return (req->offset > start || request_end(req) < end) && !is_present(ov, cluster);
}

static bool find_fill(const struct block_overlay *ov, const struct block_request *req,
		      uint64_t *cluster)
{
	if (req->op == BLOCK_DISCARD)
		return false;
	*cluster = req->offset / CLUSTER_LEN;
	if (needs_fill(ov, req, *cluster))
		return true;
	*cluster = (request_end(req) - 1) / CLUSTER_LEN;
	return needs_fill(ov, req, *cluster);
}

static void fill_written(struct file_io *io, int result)
{
	struct block_request *req = container_of(io, struct block_request, io);

	if (result == 0) {
		mark_present(to_overlay(req->block), io->offset - req->run_len, io->offset);
		result = change_next(req);
		if (result == 0)
			return;
	}
	change_end(req, result);
}

static void set_fill_io(struct block_request *req, uint64_t offset)
{
	const struct block_overlay *ov = to_overlay(req->block);
	uint8_t *buffer = req->own_iov.iov_base;

	/* The transfer before has used the entry up. */
	buffer = ov->fill_buffers + (size_t)(buffer - ov->fill_buffers) / CLUSTER_LEN * CLUSTER_LEN;
	req->own_iov = (struct iovec){ buffer, req->run_len };
	req->io.iov = &req->own_iov;
	req->io.iov_count = 1;
	req->io.offset = offset;
	req->io.len = req->run_len;
}

static void fill_read(struct file_io *io, int result)
{
	struct block_request *req = container_of(io, struct block_request, io);

	if (result == 0) {
		io_on(req, true, fill_written);
		io->write = true;
		set_fill_io(req, io->offset - req->run_len);
		result = file_io_start(io);
		if (result == 0)
			return;
	}
	change_end(req, result);
}

static int fill(struct block_request *req, uint64_t cluster)
{
	uint64_t start = cluster * CLUSTER_LEN;
	uint64_t left = req->block->info.size - start;

	req->run_len = left < CLUSTER_LEN ? left : CLUSTER_LEN;
	io_on(req, false, fill_read);
	req->io.write = false;
	set_fill_io(req, start);
	return file_io_start(&req->io);
}

/* ---- changing: the change itself ---- */

static void data_written(struct file_io *io, int result)
{
	struct block_request *req = container_of(io, struct block_request, io);

	if (result == 0)
		mark_present(to_overlay(req->block), req->offset, request_end(req));
	else if ((result == -ECANCELED || result == -EBUSY) && io->len != req->len)
		/* The rest would begin inside a cluster that is not marked. */
		result = -EIO;
	change_end(req, result);
}

static void hole_punched(struct loop_op *op, int64_t result)
{
	struct block_request *req = container_of(op, struct block_request, io.op);
	int ret = (int)result;

	if (result == -EINTR || result == -EAGAIN) {
		ret = change_next(req);
		if (ret == 0)
			return;
	}
	if (ret == 0 && req->op == BLOCK_WRITE_ZEROES)
		mark_present(to_overlay(req->block), req->offset, request_end(req));
	change_end(req, ret);
}

static int write_data(struct block_request *req)
{
	io_on(req, true, data_written);
	req->io.write = true;
	req->io.iov = req->iov;
	req->io.iov_count = req->iov_count;
	req->io.offset = req->offset;
	req->io.len = req->len;
	return file_io_start(&req->io);
}

/*
 * For zeroing, a hole in the written file and all of it marked. For a discard, a hole and nothing
 * marked: what was written becomes zeros, what was not is seen as it is in the image.
 */
static int punch(struct block_request *req)
{
	req->io.op.done = hole_punched;
	req->io.op.immediate = false;
	return loop_fallocate(req->loop, &req->io.op, to_overlay(req->block)->written_fd,
			      FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, req->offset, req->len);
}

static int change_next(struct block_request *req)
{
	uint64_t cluster;

	if (find_fill(to_overlay(req->block), req, &cluster))
		return fill(req, cluster);
	return req->op == BLOCK_WRITE ? write_data(req) : punch(req);
}

/* 0 also when it has to wait. */
static int change_begin(struct block_overlay *ov, struct block_request *req)
{
	uint64_t cluster;
	int ret;

	req->own_iov.iov_base = NULL;
	if (must_wait(ov, req)) {
		request_list_add(&ov->waiting, req);
		return 0;
	}
	if (find_fill(ov, req, &cluster)) {
		unsigned free = (unsigned)__builtin_ctz(~ov->fill_used);

		if (free >= FILL_BUFFERS) {
			request_list_add(&ov->waiting, req);
			return 0;
		}
		ov->fill_used |= 1u << free;
		req->own_iov.iov_base = ov->fill_buffers + (size_t)free * CLUSTER_LEN;
	}
	request_list_add(&ov->active, req);
	ret = change_next(req);
	if (ret < 0)
		leave_active(ov, req);
	return ret;
}

/* ---- submission ---- */

static void report_trivial(struct loop_deferred *deferred)
{
	struct block_overlay *ov = container_of(deferred, struct block_overlay, report);
	struct request_list list = ov->trivial;
	struct block_request *req;

	request_list_init(&ov->trivial);
	while ((req = request_list_take(&list)))
		req->done(req, 0);
}

static int overlay_submit(struct block *block, struct loop *loop, struct block_request *req)
{
	struct block_overlay *ov = to_overlay(block);

	req->block = block;
	req->loop = loop;
	if (req->op == BLOCK_FLUSH) {
		request_list_add(&ov->trivial, req);
		loop_defer(loop, &ov->report);
		return 0;
	}
	return req->op == BLOCK_READ ? read_run(req) : change_begin(ov, req);
}

/* ---- life ---- */

static void overlay_attach(struct block *block, struct loop *loop)
{
	loop_register_fd(loop, to_overlay(block)->base.fd);
	loop_register_fd(loop, to_overlay(block)->written_fd);
}

static void overlay_detach(struct block *block, struct loop *loop)
{
	loop_unregister_fd(loop, to_overlay(block)->base.fd);
	loop_unregister_fd(loop, to_overlay(block)->written_fd);
}

static void overlay_destroy(struct block *block)
{
	struct block_overlay *ov = to_overlay(block);

	if (ov->present)
		munmap(ov->present, ov->present_len);
	if (ov->fill_buffers)
		munmap(ov->fill_buffers, (size_t)FILL_BUFFERS * CLUSTER_LEN);
	if (ov->written_fd >= 0)
		close(ov->written_fd);
	block_file_close(&ov->base);
	free(ov);
}

static const struct block_ops overlay_ops = {
	.name = "overlay",
	.submit = overlay_submit,
	.attach = overlay_attach,
	.detach = overlay_detach,
	.destroy = overlay_destroy,
};

static void *map_memory(size_t len)
{
	void *memory = mmap(NULL, len, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return memory == MAP_FAILED ? NULL : memory;
}

static int overlay_init(struct block_overlay *ov, const struct block_options *options)
{
	struct block_options base = *options;
	struct block_info *info = &ov->block.info;
	int ret;

	base.read_only = true;
	ret = block_file_open(&ov->base, &base);
	if (ret < 0)
		return ret;
	*info = ov->base.info;
	info->read_only = options->read_only;
	info->discard_granularity = CLUSTER_LEN;
	if (info->physical_size < CLUSTER_LEN)
		info->physical_size = CLUSTER_LEN;
	ov->written_fd = nameless_file_make(info->size);
	if (ov->written_fd < 0)
		return ov->written_fd;
	ov->written_in_memory = block_file_is_in_memory(ov->written_fd);
	ov->present_len = info->size / CLUSTER_LEN / 8 + 1;
	ov->present = map_memory(ov->present_len);
	ov->fill_buffers = map_memory((size_t)FILL_BUFFERS * CLUSTER_LEN);
	if (!ov->present || !ov->fill_buffers)
		return log_errno(ENOMEM, "make an overlay of %s", options->path);
	return 0;
}

int block_overlay_create(struct block **out, const struct block_options *options)
{
	struct block_overlay *ov = calloc(1, sizeof(*ov));
	int ret;

	if (!ov)
		return log_errno(ENOMEM, "make an overlay of %s", options->path);
	ov->block.ops = &overlay_ops;
	ov->block.path = options->path;
	ov->block.writeback = true;
	ov->block.single_loop = true;
	ov->base.fd = -1;
	ov->base.plain_fd = -1;
	ov->written_fd = -1;
	ov->report.fn = report_trivial;
	request_list_init(&ov->active);
	request_list_init(&ov->waiting);
	request_list_init(&ov->trivial);
	ret = overlay_init(ov, options);
	if (ret < 0) {
		overlay_destroy(&ov->block);
		return ret;
	}
	*out = &ov->block;
	return 0;
}
