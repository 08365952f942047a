/*
 * Work that other threads hand to the event loop's thread and wait for. The list is looked at once
 * a round, without its lock while it is empty.
 */
#include <assert.h>
#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "vmm/loop_engine.h"

static bool call_is_done(struct loop_call *call)
{
	return __atomic_load_n(&call->state, __ATOMIC_ACQUIRE) != 0;
}

void loop_call(struct loop *loop, struct loop_call *call)
{
	assert(!loop_is_current(loop));
	call->next = NULL;
	__atomic_store_n(&call->state, 0, __ATOMIC_RELAXED);

	pthread_mutex_lock(&loop->call_lock);
	if (loop->running) {
		__atomic_store_n(loop->call_tail, call, __ATOMIC_RELEASE);
		loop->call_tail = &call->next;
		loop_wake(loop);
	} else {
		/* Under the lock, so that the loop's thread cannot start in the middle. */
		call->fn(call);
	}
	pthread_mutex_unlock(&loop->call_lock);

	while (!call_is_done(call))
		syscall(SYS_futex, &call->state, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0);
}

void loop_call_done(struct loop_call *call)
{
	/* The caller may return and reuse the memory as soon as it sees this; waking an address
	 * that nobody waits on any more does no harm. */
	__atomic_store_n(&call->state, 1, __ATOMIC_RELEASE);
	syscall(SYS_futex, &call->state, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

void loop_run_calls(struct loop *loop)
{
	struct loop_call *call;

	if (!__atomic_load_n(&loop->call_head, __ATOMIC_ACQUIRE))
		return;
	pthread_mutex_lock(&loop->call_lock);
	call = loop->call_head;
	__atomic_store_n(&loop->call_head, NULL, __ATOMIC_RELAXED);
	loop->call_tail = &loop->call_head;
	pthread_mutex_unlock(&loop->call_lock);
	while (call) {
		struct loop_call *next = call->next;

		call->fn(call);
		call = next;
	}
}

bool loop_is_current(const struct loop *loop)
{
	return __atomic_load_n(&loop->owner, __ATOMIC_RELAXED) == (uintptr_t)pthread_self();
}
