/*
 * Work beside the start's.
 *
 * A new thread begins on the CPU of the one that made it as often as not. What it does in the
 * kernel keeps that CPU from both the main thread (1 to 2 ms until the scheduler notices, measured
 * on two CPUs) and the kernel's own workers, for which KVM_SET_USER_MEMORY_REGION waits (1.0 ms
 * instead of 0.05). Hence the other CPUs only.
 */
#include "vmm/beside.h"

#include <sched.h>
#include <signal.h>

static void *beside_thread(void *opaque)
{
	struct beside *beside = opaque;

	log_hold(&beside->held);
	beside->result = beside->fn(beside->opaque);
	log_hold(NULL);
	return NULL;
}

/* False when there is no other CPU. */
static bool beside_elsewhere(pthread_attr_t *attr)
{
	int here = sched_getcpu();
	cpu_set_t cpus;

	if (here < 0 || here >= CPU_SETSIZE || sched_getaffinity(0, sizeof(cpus), &cpus) < 0)
		return false;
	CPU_CLR((size_t)here, &cpus);
	return CPU_COUNT(&cpus) > 0 && pthread_attr_setaffinity_np(attr, sizeof(cpus), &cpus) == 0;
}

void beside_start(struct beside *beside, int (*fn)(void *opaque), void *opaque)
{
	pthread_attr_t attr;
	sigset_t all, old;

	*beside = (struct beside){ .fn = fn, .opaque = opaque };
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	if (pthread_attr_init(&attr) == 0) {
		beside->started =
			beside_elsewhere(&attr) &&
			pthread_create(&beside->thread, &attr, beside_thread, beside) == 0;
		pthread_attr_destroy(&attr);
	}
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (!beside->started)
		beside_thread(beside);
}

static void beside_wait(struct beside *beside)
{
	if (beside->started)
		pthread_join(beside->thread, NULL);
	beside->started = false;
}

int beside_join(struct beside *beside)
{
	beside_wait(beside);
	log_release(&beside->held);
	return beside->result;
}

void beside_abandon(struct beside *beside)
{
	beside_wait(beside);
	beside->held.len = 0;
}
