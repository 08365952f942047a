/*
 * The event loop's io_uring engine.
 *
 * One ring; one io_uring_enter(2) a round submits what the round produced, runs what the kernel has
 * deferred for this thread, and sleeps until something arrives or the next timer is due. When
 * completions are there already and nothing is to be submitted there is no system call at all.
 *
 * Readiness is a multishot poll: one submission, a completion for each wake-up of the descriptor.
 * The kernel ends such a poll when it must (a completion without F_MORE); it is then armed again.
 *
 * The ring is created disabled, on the thread that sets the machine up, and enabled on the thread
 * that runs it: that thread becomes its single issuer.
 *
 * user_data: an operation's address (its low bits are zero), or generation << 32 | slot << 2 |
 * TAG_EVENT, or TAG_IGNORE.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "vmm/log.h"
#include "vmm/loop_uring.h"

/* Submissions a round beyond which it takes a second system call; 64 bytes each. */
#define SQ_ENTRIES 128
/* More completions than this wait inside the kernel. */
#define CQ_ENTRIES 512
/* Kernel threads for what cannot be done without blocking, each kind. */
#define IO_WORKERS_MAX 8

#define TAG_MASK       3u
#define TAG_OP	       0u
#define TAG_EVENT      1u
#define TAG_IGNORE     2u

static struct loop_uring *to_uring(struct loop *loop)
{
	return container_of(loop, struct loop_uring, loop);
}

/* ---- submitting ---- */

/* NULL when the queue is full and cannot be emptied now. */
static struct io_uring_sqe *get_sqe(struct loop_uring *ur)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&ur->ring);

	if (sqe)
		return sqe;
	loop_count(&ur->loop.stats.syscalls, 1);
	if (io_uring_submit(&ur->ring) < 0)
		return NULL;
	return io_uring_get_sqe(&ur->ring);
}

static void set_file(const struct loop_uring *ur, struct io_uring_sqe *sqe, int fd)
{
	if (fd < 0 || fd >= FILES_FD_MAX || ur->file_index[fd] == 0 || ur->files_stale)
		return;
	sqe->fd = ur->file_index[fd] - 1;
	io_uring_sqe_set_flags(sqe, IOSQE_FIXED_FILE);
}

static void prepare_transfer(struct io_uring_sqe *sqe, const struct loop_op *op)
{
	bool read = op->opcode == LOOP_OP_READ;

	/* One buffer spares the kernel fetching a vector. */
	if (op->iov_count == 1) {
		unsigned len =
			op->iov->iov_len > INT32_MAX ? INT32_MAX : (unsigned)op->iov->iov_len;

		io_uring_prep_rw(read ? IORING_OP_READ : IORING_OP_WRITE, sqe, op->fd,
				 op->iov->iov_base, len, op->offset);
		return;
	}
	io_uring_prep_rw(read ? IORING_OP_READV : IORING_OP_WRITEV, sqe, op->fd, op->iov,
			 op->iov_count, op->offset);
}

static int prepare(struct loop_uring *ur, struct loop_op *op)
{
	struct io_uring_sqe *sqe = get_sqe(ur);

	if (!sqe)
		return -EBUSY;
	switch ((enum loop_opcode)op->opcode) {
	case LOOP_OP_READ:
	case LOOP_OP_WRITE:
		prepare_transfer(sqe, op);
		break;
	case LOOP_OP_FDATASYNC:
		io_uring_prep_fsync(sqe, op->fd, IORING_FSYNC_DATASYNC);
		break;
	case LOOP_OP_FALLOCATE:
		/* The kernel takes the length where others put the address. */
		io_uring_prep_rw(IORING_OP_FALLOCATE, sqe, op->fd, NULL, (unsigned)op->mode,
				 op->offset);
		sqe->addr = op->len;
		break;
	}
	set_file(ur, sqe, op->fd);
	io_uring_sqe_set_data(sqe, op);
	return 0;
}

static void submit_later(struct loop_uring *ur, struct loop_op *op)
{
	op->next = ur->early;
	ur->early = op;
}

static int uring_submit(struct loop *loop, struct loop_op *op)
{
	struct loop_uring *ur = to_uring(loop);

	if (!loop->running || ur->early) {
		/* The ring may be another one by the time the loop runs. */
		submit_later(ur, op);
		return 0;
	}
	if (ur->lone) {
		int ret = prepare(ur, ur->lone);

		if (ret < 0)
			return ret;
		ur->lone = NULL;
	} else if (op->cached && op->opcode == LOOP_OP_READ && io_uring_sq_ready(&ur->ring) == 0) {
		ur->lone = op;
		return 0;
	}
	return prepare(ur, op);
}

/* A round with a single read: when its bytes are in the page cache that is cheaper without the
 * ring. */
static void uring_round_ends(struct loop *loop)
{
	struct loop_uring *ur = to_uring(loop);
	struct loop_op *op = ur->lone;

	if (!op)
		return;
	ur->lone = NULL;
	if (loop_read_cached(loop, op))
		loop_finish(loop, op);
	else if (prepare(ur, op) < 0)
		submit_later(ur, op);
}

static void submit_early(struct loop_uring *ur)
{
	while (ur->early) {
		struct loop_op *op = ur->early;
		struct loop_op *next = op->next;

		if (prepare(ur, op) < 0)
			return; /* next round */
		ur->early = next;
	}
}

/* ---- readiness ---- */

static uint64_t event_data(const struct loop *loop, uint32_t slot)
{
	return (uint64_t)loop->slots[slot].generation << 32 | (uint64_t)slot << 2 | TAG_EVENT;
}

static void queue_arm(struct loop_uring *ur, uint32_t index)
{
	struct loop_slot *slot = &ur->loop.slots[index];

	if (slot->arm_queued)
		return;
	slot->arm_queued = true;
	slot->next_arm = ur->arm_head;
	ur->arm_head = index;
}

static int uring_event_add(struct loop *loop, uint32_t slot)
{
	queue_arm(to_uring(loop), slot);
	return 0;
}

/* A loop that rests belongs to the thread that ran it last; on another one it gets a new ring. */
static bool may_use_ring(const struct loop_uring *ur)
{
	return ur->loop.running || (ur->started && ur->issuer == gettid());
}

static void uring_event_del(struct loop *loop, uint32_t slot)
{
	struct loop_uring *ur = to_uring(loop);
	struct io_uring_sqe *sqe;

	/* A poll that stays in the ring keeps its file open. */
	if (loop->slots[slot].arm_queued || !may_use_ring(ur))
		return;
	sqe = get_sqe(ur);
	if (!sqe)
		return; /* what the poll still says finds another generation */
	io_uring_prep_poll_remove(sqe, event_data(loop, slot));
	io_uring_sqe_set_data64(sqe, TAG_IGNORE);
}

static void arm_queued(struct loop_uring *ur)
{
	while (ur->arm_head != LOOP_NO_SLOT) {
		uint32_t index = ur->arm_head;
		struct loop_slot *slot = &ur->loop.slots[index];

		if (slot->event && !slot->always_ready) {
			struct io_uring_sqe *sqe = get_sqe(ur);

			if (!sqe)
				return; /* next round */
			io_uring_prep_poll_multishot(sqe, slot->event->fd, slot->event->events);
			io_uring_sqe_set_data64(sqe, event_data(&ur->loop, index));
		}
		slot->arm_queued = false;
		ur->arm_head = slot->next_arm;
	}
}

static void poll_completed(struct loop_uring *ur, uint64_t data, int result, uint32_t flags)
{
	struct loop *loop = &ur->loop;
	uint32_t slot = (uint32_t)data >> 2;
	uint32_t generation = (uint32_t)(data >> 32);

	if (slot >= loop->slot_count || loop->slots[slot].generation != generation ||
	    !loop->slots[slot].event)
		return;
	if (result >= 0) {
		if (!(flags & IORING_CQE_F_MORE))
			queue_arm(ur, slot);
	} else if (result == -ECANCELED || result == -ENOMEM || result == -EAGAIN) {
		queue_arm(ur, slot);
		return;
	} else {
		/* It cannot be waited for; whoever uses it finds out why. */
		result = EPOLLERR;
	}
	loop_dispatch_event(loop, slot, generation, (uint32_t)result);
}

/* ---- waiting ---- */

static void reap(struct loop_uring *ur)
{
	/* Only what is there now: callbacks may cause more, and deferred work must get its turn. */
	unsigned count = io_uring_cq_ready(&ur->ring);

	while (count-- > 0) {
		struct io_uring_cqe *cqe;
		uint64_t data;
		uint32_t flags;
		int result;

		if (io_uring_peek_cqe(&ur->ring, &cqe) != 0)
			return;
		data = cqe->user_data;
		result = cqe->res;
		flags = cqe->flags;
		io_uring_cqe_seen(&ur->ring, cqe);
		switch (data & TAG_MASK) {
		case TAG_OP:
			loop_dispatch_op(&ur->loop, (struct loop_op *)(uintptr_t)data, result);
			break;
		case TAG_EVENT:
			poll_completed(ur, data, result, flags);
			break;
		default:
			break;
		}
	}
}

static int uring_wait(struct loop *loop, uint64_t timeout_ns)
{
	struct loop_uring *ur = to_uring(loop);
	int ret = 0;

	if (ur->lone) {
		/* By deferred work. */
		submit_later(ur, ur->lone);
		ur->lone = NULL;
	}
	submit_early(ur);
	arm_queued(ur);
	if (io_uring_cq_ready(&ur->ring) == 0) {
		ret = loop_uring_sleep(ur, timeout_ns);
	} else if (io_uring_sq_ready(&ur->ring) > 0 || loop_uring_must_enter(ur)) {
		/* Completions wait already, but so does what was to be submitted this round. */
		ret = loop_uring_enter(ur, 1, 0);
	}
	loop_poll_run(loop);
	reap(ur);
	return ret;
}

/* ---- registered files ---- */

/* Gives the ring the table; only the ring's own thread can. Without one, plain descriptors do. */
static void sync_files(struct loop_uring *ur)
{
	if (!ur->files_stale)
		return;
	if (!ur->have_table) {
		if (io_uring_register_files_sparse(&ur->ring, FILES_MAX) < 0)
			return;
		ur->have_table = true;
	}
	if (io_uring_register_files_update(&ur->ring, 0, ur->files, FILES_MAX) == FILES_MAX)
		ur->files_stale = false;
}

static void set_registered(struct loop_uring *ur, unsigned index, int fd)
{
	ur->files[index] = fd;
	ur->files_stale = true;
	if (ur->loop.running)
		sync_files(ur);
}

static void uring_register_fd(struct loop *loop, int fd)
{
	struct loop_uring *ur = to_uring(loop);

	if (fd < 0 || fd >= FILES_FD_MAX || ur->file_index[fd] != 0)
		return;
	for (unsigned i = 0; i < FILES_MAX; i++) {
		if (ur->files[i] >= 0)
			continue;
		ur->file_index[fd] = (uint8_t)(i + 1);
		set_registered(ur, i, fd);
		return;
	}
}

static void uring_unregister_fd(struct loop *loop, int fd)
{
	struct loop_uring *ur = to_uring(loop);
	unsigned index;

	if (fd < 0 || fd >= FILES_FD_MAX || ur->file_index[fd] == 0)
		return;
	index = ur->file_index[fd] - 1u;
	ur->file_index[fd] = 0;
	set_registered(ur, index, -1);
}

/* ---- life ---- */

static int init_ring(struct io_uring *ring);

/* A ring belongs to one thread for ever. A loop that runs on another one gets a new ring. */
static int renew(struct loop_uring *ur)
{
	struct loop *loop = &ur->loop;
	int ret;

	io_uring_queue_exit(&ur->ring);
	ret = init_ring(&ur->ring);
	if (ret < 0) {
		/* Kept harmless for uring_destroy. */
		memset(&ur->ring, 0, sizeof(ur->ring));
		ur->ring.ring_fd = -1;
		return log_errno(ret, "set up io_uring again");
	}
	ur->have_table = false;
	ur->files_stale = true;
	for (uint32_t i = 0; i < loop->slot_count; i++)
		if (loop->slots[i].event && !loop->slots[i].always_ready)
			queue_arm(ur, i);
	return 0;
}

static int uring_start(struct loop *loop)
{
	struct loop_uring *ur = to_uring(loop);
	int ret = 0;

	if (ur->started && ur->issuer != gettid()) {
		ur->started = false;
		ret = renew(ur);
	}
	if (ret == 0 && !ur->started) {
		ret = io_uring_register((unsigned)ur->ring.ring_fd, IORING_REGISTER_ENABLE_RINGS,
					NULL, 0);
		if (ret < 0)
			return log_errno(ret, "enable io_uring");
	}
	if (ret < 0)
		return ret;
	ur->started = true;
	ur->issuer = gettid();
	sync_files(ur);
	return 0;
}

static void uring_finish(struct loop *loop)
{
	(void)loop;
}

static void uring_destroy(struct loop *loop)
{
	struct loop_uring *ur = to_uring(loop);

	if (ur->ring.ring_fd >= 0)
		io_uring_queue_exit(&ur->ring);
	free(ur);
}

static const struct loop_engine_ops uring_ops = {
	.name = "io_uring",
	.start = uring_start,
	.finish = uring_finish,
	.destroy = uring_destroy,
	.round_ends = uring_round_ends,
	.wait = uring_wait,
	.event_add = uring_event_add,
	.event_del = uring_event_del,
	.submit = uring_submit,
	.register_fd = uring_register_fd,
	.unregister_fd = uring_unregister_fd,
};

static int init_ring(struct io_uring *ring)
{
	/* Best first; older kernels (before 6.1, before 5.19) answer EINVAL to the newer flags. */
	static const unsigned flags[] = {
		IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
			IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG |
			IORING_SETUP_SUBMIT_ALL,
		IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_SUBMIT_ALL,
		0,
	};
	unsigned workers[2] = { IO_WORKERS_MAX, IO_WORKERS_MAX };
	int ret = -EINVAL;

	for (size_t i = 0; i < ARRAY_SIZE(flags) && ret == -EINVAL; i++) {
		struct io_uring_params params = {
			.flags = flags[i] | IORING_SETUP_R_DISABLED | IORING_SETUP_CLAMP |
				 IORING_SETUP_CQSIZE,
			.cq_entries = CQ_ENTRIES,
		};

		ret = io_uring_queue_init_params(SQ_ENTRIES, ring, &params);
		if (ret == 0 && !(params.features & IORING_FEAT_EXT_ARG)) {
			io_uring_queue_exit(ring);
			return -ENOSYS;
		}
	}
	/* Best effort: without it the kernel's own limit holds. */
	if (ret == 0)
		(void)io_uring_register_iowq_max_workers(ring, workers);
	return ret;
}

int loop_uring_create(struct loop **out, const struct loop_options *options)
{
	struct loop_uring *ur = calloc(1, sizeof(*ur));
	int ret;

	(void)options;
	if (!ur)
		return -ENOMEM;
	ret = init_ring(&ur->ring);
	if (ret < 0) {
		free(ur);
		return ret;
	}
	ur->loop.ops = &uring_ops;
	ur->arm_head = LOOP_NO_SLOT;
	ur->batch_skip_next = 1;
	for (unsigned i = 0; i < FILES_MAX; i++)
		ur->files[i] = -1;
	*out = &ur->loop;
	return 0;
}
