/*
 * Limits of operations and of bytes a second, shared by the devices that were given the same one.
 *
 * Each is a token bucket that holds what BURST allows at full rate and starts full. An operation
 * goes when the buckets hold what it takes; one that takes more than a bucket can hold goes when
 * that is full, and leaves it in debt: small and large operations come to the same rate. Who must
 * wait has its place booked at once, in the order of asking, and is called at the very moment: no
 * one looks again and again, and nobody is overtaken for ever.
 *
 * Late timers and a busy host do not lower the rate: what they cost is caught up with, so that
 * BURST may be small.
 */
#ifndef DEVICES_LIMIT_H
#define DEVICES_LIMIT_H

#include <stdbool.h>
#include <stdint.h>

#include "vmm/err.h"
#include "vmm/loop.h"

struct limit;

/* What is saved up by an idle device when nothing was said about it. */
#define LIMIT_BURST_DEFAULT_MS 10

struct limit_options {
	uint64_t ops_per_s;   /* 0: any number */
	uint64_t bytes_per_s; /* 0: any number */
	uint64_t burst_ms;    /* 0: LIMIT_BURST_DEFAULT_MS */
};

/* Setup. 0 or -errno, logged. */
int limit_create(struct limit **out, const struct limit_options *options) MUST_CHECK;
/* After its users are gone. NULL is allowed. */
void limit_destroy(struct limit *limit);

/* One queue's share in a limit; embedded. All of it belongs to the loop's thread. */
struct limit_user {
	struct limit *limit; /* borrowed; NULL: unlimited */
	struct loop *loop;
	/* What limit_take refused may go now, and is paid for. Also for what is behind it: it
	 * calls limit_take for that. */
	void (*ready)(struct limit_user *user);
	struct loop_timer timer;
	bool waiting;
	uint64_t booked_ns[2];
};

/* Setup; LIMIT may be NULL. */
void limit_user_init(struct limit_user *user, struct limit *limit, struct loop *loop,
		     void (*ready)(struct limit_user *user));

/*
 * Asks for one operation of BYTES; with 0 only the number of operations bounds it. True: it goes
 * now. False: it waits, READY tells when it goes; until then nothing more may be asked for. Costs
 * no system call when true.
 */
bool limit_take(struct limit_user *user, uint64_t bytes);
/* Bytes that were not known before the operation: a debt. */
void limit_charge(struct limit_user *user, uint64_t bytes);
/* What waits will not be done: READY is not called, what was booked is given back. */
void limit_cancel(struct limit_user *user);

#endif
