/*
 * The one place where threads say that the machine has ended. Any thread.
 */
#include "vmm/end.h"

#include <stdio.h>
#include <string.h>

void end_init(struct end *end, struct loop *loop)
{
	memset(end, 0, sizeof(*end));
	pthread_mutex_init(&end->lock, NULL);
	end->loop = loop;
}

void end_fini(struct end *end)
{
	pthread_mutex_destroy(&end->lock);
}

void end_clear(struct end *end)
{
	pthread_mutex_lock(&end->lock);
	__atomic_store_n(&end->kind, END_NONE, __ATOMIC_RELEASE);
	end->status = 0;
	end->cpu = 0;
	end->detail[0] = '\0';
	pthread_mutex_unlock(&end->lock);
}

static bool end_say_all(struct end *end, enum end_kind kind, int status, unsigned cpu,
			const char *detail)
{
	bool counts;

	pthread_mutex_lock(&end->lock);
	counts = end->kind == END_NONE || (end->kind == END_RESET && kind == END_PANIC);
	if (counts) {
		__atomic_store_n(&end->kind, kind, __ATOMIC_RELEASE);
		end->status = status;
		end->cpu = cpu;
		snprintf(end->detail, sizeof(end->detail), "%s", detail);
	}
	pthread_mutex_unlock(&end->lock);
	if (counts && end->loop)
		loop_stop(end->loop);
	return counts;
}

bool end_say(struct end *end, enum end_kind kind, int status)
{
	return end_say_all(end, kind, status, 0, "");
}

bool end_say_detail(struct end *end, enum end_kind kind, unsigned cpu, const char *detail)
{
	return end_say_all(end, kind, 0, cpu, detail);
}

enum end_kind end_kind(struct end *end)
{
	enum end_kind kind;

	pthread_mutex_lock(&end->lock);
	kind = end->kind;
	pthread_mutex_unlock(&end->lock);
	return kind;
}

bool end_said(const struct end *end)
{
	return __atomic_load_n(&end->kind, __ATOMIC_ACQUIRE) != END_NONE;
}
