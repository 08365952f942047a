/*
 * Token buckets. Users are on several loops' threads; the lock is held for some arithmetic.
 *
 * A bucket is kept as the time at which it would be full again had nothing more been taken
 * (full_ns): taking adds what the amount lasts at full rate. What is in it at a time T is BURST
 * less the time that is missing until then. The remainder of the division is carried over, so that
 * no rate is rounded.
 *
 * Booking. An operation that has to wait is entered at once with the time at which it will go, as
 * if it were that late already; whoever asks after it finds the bucket in that state.
 *
 * Catching up. Timers fire late, and a busy host holds up devices and guests; what a bucket that
 * small cannot hold meanwhile would be lost. So while somebody had to wait a moment ago, the
 * buckets hold what comes in for up to CATCH_UP_NS more: the rate is then that of the limit, and
 * not less.
 */
#include "devices/limit.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>

#include "vmm/log.h"

#define NS_PER_S    1000000000ull
#define CATCH_UP_NS 250000000ull

enum { BUCKET_OPS, BUCKET_BYTES, BUCKET_COUNT };

struct bucket {
	uint64_t rate; /* 0: no limit */
	uint64_t burst_ns;
	uint64_t full_ns;
	uint64_t remainder; /* of the last division by rate */
};

struct limit {
	pthread_mutex_t lock;
	uint64_t waited_ns; /* when somebody last had to wait; 0: never */
	struct bucket buckets[BUCKET_COUNT];
};

/* How long AMOUNT lasts; takes the carried remainder along. */
static uint64_t bucket_time(struct bucket *bucket, uint64_t amount)
{
	unsigned __int128 sum = (unsigned __int128)amount * NS_PER_S + bucket->remainder;
	unsigned __int128 ns = sum / bucket->rate;

	bucket->remainder = (uint64_t)(sum % bucket->rate);
	/* More than anybody will wait for, and far from wrapping. */
	return ns > UINT64_MAX / 16 ? UINT64_MAX / 16 : (uint64_t)ns;
}

/* The first moment from NOW on at which something that lasts TIME_NS may go. */
static uint64_t bucket_when(const struct bucket *bucket, uint64_t time_ns, uint64_t now)
{
	uint64_t need_ns = time_ns < bucket->burst_ns ? time_ns : bucket->burst_ns;
	uint64_t spare_ns = bucket->burst_ns - need_ns;

	return bucket->full_ns > now + spare_ns ? bucket->full_ns - spare_ns : now;
}

/* SLACK_NS is what the bucket holds beyond its burst now. */
static void bucket_take(struct bucket *bucket, uint64_t time_ns, uint64_t when, uint64_t slack_ns)
{
	uint64_t from = when > slack_ns ? when - slack_ns : 0;

	if (bucket->full_ns > from)
		from = bucket->full_ns;
	bucket->full_ns = from > UINT64_MAX / 2 ? from : from + time_ns;
}

static uint64_t slack(const struct limit *limit, uint64_t when)
{
	return limit->waited_ns && when < limit->waited_ns + CATCH_UP_NS ? CATCH_UP_NS : 0;
}

static uint64_t book(struct limit_user *user, uint64_t bytes, uint64_t now)
{
	const uint64_t amounts[BUCKET_COUNT] = { 1, bytes };
	struct limit *limit = user->limit;
	uint64_t when = now;

	pthread_mutex_lock(&limit->lock);
	for (unsigned i = 0; i < BUCKET_COUNT; i++) {
		struct bucket *bucket = &limit->buckets[i];
		uint64_t at;

		user->booked_ns[i] = 0;
		if (!bucket->rate || !amounts[i])
			continue;
		user->booked_ns[i] = bucket_time(bucket, amounts[i]);
		at = bucket_when(bucket, user->booked_ns[i], now);
		when = at > when ? at : when;
	}
	for (unsigned i = 0; i < BUCKET_COUNT; i++)
		if (user->booked_ns[i])
			bucket_take(&limit->buckets[i], user->booked_ns[i], when,
				    slack(limit, now));
	if (when > now)
		limit->waited_ns = now;
	pthread_mutex_unlock(&limit->lock);
	return when;
}

bool limit_take(struct limit_user *user, uint64_t bytes)
{
	uint64_t now, when;

	if (!user->limit)
		return true;
	assert(!user->waiting);
	now = loop_now_ns();
	when = book(user, bytes, now);
	if (when <= now)
		return true;
	user->waiting = true;
	loop_timer_arm(user->loop, &user->timer, when);
	return false;
}

void limit_charge(struct limit_user *user, uint64_t bytes)
{
	struct limit *limit = user->limit;
	struct bucket *bucket;
	uint64_t now;

	if (!limit || !bytes)
		return;
	bucket = &limit->buckets[BUCKET_BYTES];
	if (!bucket->rate)
		return;
	now = loop_now_ns();
	pthread_mutex_lock(&limit->lock);
	bucket_take(bucket, bucket_time(bucket, bytes), now, slack(limit, now));
	pthread_mutex_unlock(&limit->lock);
}

void limit_cancel(struct limit_user *user)
{
	struct limit *limit = user->limit;

	if (!user->waiting)
		return;
	user->waiting = false;
	loop_timer_disarm(user->loop, &user->timer);
	pthread_mutex_lock(&limit->lock);
	for (unsigned i = 0; i < BUCKET_COUNT; i++)
		limit->buckets[i].full_ns -= user->booked_ns[i];
	pthread_mutex_unlock(&limit->lock);
}

static void timer_fired(struct loop_timer *timer)
{
	struct limit_user *user = container_of(timer, struct limit_user, timer);
	uint64_t now = loop_now_ns();

	user->waiting = false;
	pthread_mutex_lock(&user->limit->lock);
	user->limit->waited_ns = now;
	pthread_mutex_unlock(&user->limit->lock);
	user->ready(user);
}

void limit_user_init(struct limit_user *user, struct limit *limit, struct loop *loop,
		     void (*ready)(struct limit_user *user))
{
	*user = (struct limit_user){
		.limit = limit, .loop = loop, .ready = ready, .timer.fn = timer_fired
	};
}

int limit_create(struct limit **out, const struct limit_options *options)
{
	uint64_t burst_ms = options->burst_ms ? options->burst_ms : LIMIT_BURST_DEFAULT_MS;
	struct limit *limit = calloc(1, sizeof(*limit));

	if (!limit)
		return log_errno(ENOMEM, "set up a limit");
	pthread_mutex_init(&limit->lock, NULL);
	limit->buckets[BUCKET_OPS].rate = options->ops_per_s;
	limit->buckets[BUCKET_BYTES].rate = options->bytes_per_s;
	for (unsigned i = 0; i < BUCKET_COUNT; i++)
		limit->buckets[i].burst_ns = burst_ms * 1000000;
	*out = limit;
	return 0;
}

void limit_destroy(struct limit *limit)
{
	if (!limit)
		return;
	pthread_mutex_destroy(&limit->lock);
	free(limit);
}
