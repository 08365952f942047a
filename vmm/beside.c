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

static void *beside_thread(void *opaque)
{
	struct beside *beside = opaque;

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

/* False when there is no other CPU. Not left to the thread: until this one sleeps it may not run.
 */
static bool beside_elsewhere(pthread_attr_t *attr)
{
	int here = sched_getcpu();
	cpu_set_t cpus;

	if (here < 0 || here >= CPU_SETSIZE || sched_getaffinity(0, sizeof(cpus), &cpus) < 0)
		return false;
	CPU_CLR((size_t)here, &cpus);
	return CPU_COUNT(&cpus) > 0 && pthread_attr_setaffinity_np(attr, sizeof(cpus), &cpus) == 0;
}

void beside_init(struct beside *beside)
{
	pthread_attr_t attr;
	sigset_t all, old;

	memset(beside, 0, sizeof(*beside));
	pthread_mutex_init(&beside->lock, NULL);
	pthread_cond_init(&beside->changed, NULL);
	if (pthread_attr_init(&attr) != 0)
		return;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	beside->started = beside_elsewhere(&attr) &&
			  pthread_create(&beside->thread, &attr, beside_thread, beside) == 0;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
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
