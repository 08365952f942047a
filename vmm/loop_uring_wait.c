/*
 * How the io_uring engine waits: for one completion, for several at once, or spinning.
 */
#include <errno.h>

#include "vmm/log.h"
#include "vmm/loop_uring.h"

/* Operations in flight from which on completions are gathered, and how many at least from twice as
 * many on. */
#define GATHER_INFLIGHT_MIN 8
#define GATHER_MIN	    14
/* How long is waited for each completion that is wanted, and for all. */
#define GATHER_NS     40000ull
#define GATHER_NS_MAX 560000ull
/* Waits without gathering after many that were in vain one after another; after one a disk may only
 * have been busy with something. */
#define GATHER_SKIP_MAX 32
/* Sleeps without spinning after which it is tried again. */
#define SPIN_RETRY 32

int loop_uring_enter(struct loop_uring *ur, unsigned count, uint64_t timeout_ns)
{
	struct __kernel_timespec ts = {
		.tv_sec = (long long)(timeout_ns / 1000000000u),
		.tv_nsec = (long long)(timeout_ns % 1000000000u),
	};
	struct io_uring_cqe *cqe;
	int ret;

	loop_count(&ur->loop.stats.syscalls, 1);
	if (timeout_ns == 0)
		ret = io_uring_submit_and_get_events(&ur->ring);
	else
		ret = io_uring_submit_and_wait_timeout(
			&ur->ring, &cqe, count, timeout_ns == LOOP_FOREVER ? NULL : &ts, NULL);
	/* EAGAIN and EBUSY: the kernel is short of memory or of room for completions; those that
	 * are there are taken, then it is tried again. */
	if (ret >= 0 || ret == -ETIME || ret == -EINTR || ret == -EAGAIN || ret == -EBUSY)
		return 0;
	return log_errno(ret, "wait for events by io_uring");
}

/*
 * With many operations in flight one completion is not worth waking up for: each wake-up is a
 * system call, an interrupt to the guest and perhaps a kick in return. A part of those in flight is
 * waited for, which by itself does not take long, and for a bounded time; what is in flight keeps
 * the disk busy meanwhile. With few in flight, or a disk so slow that waiting gathers nothing,
 * every completion is reported at once.
 */
static unsigned gather_count(const struct loop_uring *ur)
{
	unsigned inflight = ur->loop.inflight;

	if (inflight < GATHER_INFLIGHT_MIN)
		return 1;
	if (inflight < 2 * GATHER_INFLIGHT_MIN)
		return inflight / 4;
	return inflight * 3 / 8 > GATHER_MIN ? inflight * 3 / 8 : GATHER_MIN;
}

/* True when something arrived and nothing else needs to be waited for. */
static bool gather(struct loop_uring *ur, uint64_t timeout_ns, int *ret)
{
	unsigned count = gather_count(ur);
	uint64_t limit_ns = count * GATHER_NS < GATHER_NS_MAX ? count * GATHER_NS : GATHER_NS_MAX;
	unsigned arrived;

	if (count == 1 || timeout_ns <= limit_ns)
		return false;
	if (ur->batch_skip > 0) {
		ur->batch_skip--;
		return false;
	}
	*ret = loop_uring_enter(ur, count, limit_ns);
	arrived = io_uring_cq_ready(&ur->ring);
	if (arrived > 1) {
		ur->batch_skip_next = 1;
	} else {
		ur->batch_skip = ur->batch_skip_next;
		if (ur->batch_skip_next < GATHER_SKIP_MAX)
			ur->batch_skip_next *= 2;
	}
	return *ret < 0 || arrived > 0;
}

static int wait_gathering(struct loop_uring *ur, uint64_t timeout_ns)
{
	int ret = 0;

	if (gather(ur, timeout_ns, &ret))
		return ret;
	return loop_uring_enter(ur, 1, timeout_ns);
}

static void set_spin(struct loop_uring *ur, struct loop_spin *spin, uint64_t ns)
{
	spin->ns = ns;
	spin->slept = 0;
	ur->loop.spins = ur->spins[0].ns > 0 || ur->spins[1].ns > 0;
}

/* Until something has arrived, *TIMEOUT_NS shortened by what it took when nothing has. */
static int spin_for(struct loop_uring *ur, uint64_t limit, uint64_t *timeout_ns, bool *arrived)
{
	uint64_t start = loop_now_ns();
	uint64_t now = start;

	*arrived = true;
	if (io_uring_sq_ready(&ur->ring) > 0) {
		int ret = loop_uring_enter(ur, 1, 0);

		if (ret < 0)
			return ret;
	}
	while (now - start < limit) {
		/* First what the ring has: a queue that always has work must not hide it. */
		if (loop_uring_must_enter(ur))
			return loop_uring_enter(ur, 1, 0);
		if (io_uring_cq_ready(&ur->ring) > 0 || loop_poll_look(&ur->loop))
			return 0;
		now = loop_now_ns();
	}
	*arrived = false;
	*timeout_ns -= now - start < *timeout_ns ? now - start : *timeout_ns;
	return 0;
}

/*
 * Spins before it sleeps. The time is adapted: all of poll_usec while that finds something, and
 * after a sleep that turned out to be shorter; halved each time it was in vain; now and then it is
 * tried again, for waking up may take longer than what is waited for. A guest that thinks and a
 * disk that works are waited for differently long, so each has a time of its own.
 */
static int wait_polling(struct loop_uring *ur, uint64_t timeout_ns)
{
	uint64_t full_ns = (uint64_t)ur->loop.options.poll_usec * 1000;
	struct loop_spin *spin = &ur->spins[ur->loop.inflight > 0];
	bool arrived = false;
	uint64_t start;
	int ret;

	if (spin->ns == 0 && ++spin->slept == SPIN_RETRY)
		set_spin(ur, spin, full_ns);
	if (spin->ns > 0) {
		ret = spin_for(ur, spin->ns < timeout_ns ? spin->ns : timeout_ns, &timeout_ns,
			       &arrived);
		if (ret < 0)
			return ret;
		if (arrived)
			set_spin(ur, spin, full_ns);
		else
			set_spin(ur, spin, spin->ns < 2000 ? 0 : spin->ns / 2);
	}
	if (arrived)
		return 0;
	/* Who was watched has to ring from now on. */
	if (loop_poll_rest(&ur->loop))
		return loop_uring_enter(ur, 1, 0);
	start = loop_now_ns();
	ret = loop_uring_enter(ur, 1, timeout_ns);
	/* A timer of ours is nothing that could have been waited for. */
	if (io_uring_cq_ready(&ur->ring) > 0 && loop_now_ns() - start < full_ns)
		set_spin(ur, spin, full_ns);
	return ret;
}

int loop_uring_sleep(struct loop_uring *ur, uint64_t timeout_ns)
{
	if (timeout_ns == 0)
		return loop_uring_enter(ur, 1, 0);
	/* Who polls has chosen to be told at once. */
	if (ur->loop.options.poll_usec > 0)
		return wait_polling(ur, timeout_ns);
	return wait_gathering(ur, timeout_ns);
}
