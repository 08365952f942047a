/*
 * Work beside the start's.
 *
 * A new thread begins on the CPU of the one that made it as often as not. What it does in the
 * kernel keeps that CPU from both the main thread (1 to 2 ms until the scheduler notices, measured
 * on two CPUs) and the kernel's own workers, for which KVM_SET_USER_MEMORY_REGION waits (1.0 ms
 * instead of 0.05). Hence the other CPUs only. And one thread for all: to make one takes the main
 * thread 0.07 ms.
 */
#include "vmm/beside.h"

#include <sched.h>
#include <signal.h>
#include <string.h>

static void beside_carry_out(struct beside_job *job)
{
	log_hold(&job->held);
	job->result = job->fn(job->opaque);
	log_hold(NULL);
}

/* Asked for by the thread itself: whoever makes a thread on a CPU of its choice waits for it. */
static void beside_move(const struct beside *beside)
{
	cpu_set_t cpus;

	if (sched_getaffinity(0, sizeof(cpus), &cpus) < 0)
		return;
	CPU_CLR((size_t)beside->elsewhere_than, &cpus);
	(void)sched_setaffinity(0, sizeof(cpus), &cpus);
}

static void *beside_thread(void *opaque)
{
	struct beside *beside = opaque;

	beside_move(beside);
	pthread_mutex_lock(&beside->lock);
	for (;;) {
		struct beside_job *job = beside->first;

		if (job) {
			pthread_mutex_unlock(&beside->lock);
			beside_carry_out(job);
			pthread_mutex_lock(&beside->lock);
			beside->first = job->next;
			job->done = true;
			pthread_cond_broadcast(&beside->changed);
		} else if (beside->ending) {
			break;
		} else {
			pthread_cond_wait(&beside->changed, &beside->lock);
		}
	}
	pthread_mutex_unlock(&beside->lock);
	return NULL;
}

void beside_init(struct beside *beside)
{
	cpu_set_t cpus;
	sigset_t all, old;

	memset(beside, 0, sizeof(*beside));
	pthread_mutex_init(&beside->lock, NULL);
	pthread_cond_init(&beside->changed, NULL);
	beside->elsewhere_than = sched_getcpu();
	if (beside->elsewhere_than < 0 || beside->elsewhere_than >= CPU_SETSIZE ||
	    sched_getaffinity(0, sizeof(cpus), &cpus) < 0 || CPU_COUNT(&cpus) < 2)
		return;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	beside->started = pthread_create(&beside->thread, NULL, beside_thread, beside) == 0;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
}

void beside_fini(struct beside *beside)
{
	if (beside->started) {
		pthread_mutex_lock(&beside->lock);
		beside->ending = true;
		pthread_cond_broadcast(&beside->changed);
		pthread_mutex_unlock(&beside->lock);
		pthread_join(beside->thread, NULL);
	}
	beside->started = false;
	pthread_cond_destroy(&beside->changed);
	pthread_mutex_destroy(&beside->lock);
}

void beside_do(struct beside *beside, struct beside_job *job, int (*fn)(void *opaque), void *opaque)
{
	struct beside_job **last = &beside->first;

	*job = (struct beside_job){ .fn = fn, .opaque = opaque, .given = true };
	if (!beside->started) {
		beside_carry_out(job);
		job->done = true;
		return;
	}
	pthread_mutex_lock(&beside->lock);
	while (*last)
		last = &(*last)->next;
	*last = job;
	pthread_cond_broadcast(&beside->changed);
	pthread_mutex_unlock(&beside->lock);
}

static void beside_wait(struct beside *beside, struct beside_job *job)
{
	if (!job->given)
		return;
	pthread_mutex_lock(&beside->lock);
	while (!job->done)
		pthread_cond_wait(&beside->changed, &beside->lock);
	pthread_mutex_unlock(&beside->lock);
	job->given = false;
}

int beside_join(struct beside *beside, struct beside_job *job)
{
	beside_wait(beside, job);
	log_release(&job->held);
	return job->result;
}

void beside_abandon(struct beside *beside, struct beside_job *job)
{
	beside_wait(beside, job);
	job->held.len = 0;
}
