/*
 * The steps of a start and their times. Main thread.
 */
#include "vmm/timeline.h"

#include "vmm/log.h"
#include "vmm/loop.h"

void timeline_init(struct timeline *timeline)
{
	*timeline = (struct timeline){ .start_ns = loop_now_ns() };
}

void timeline_mark(struct timeline *timeline, const char *name)
{
	if (timeline->step_count == TIMELINE_STEPS_MAX)
		return;
	timeline->steps[timeline->step_count].name = name;
	timeline->steps[timeline->step_count++].done_ns = loop_now_ns();
}

void timeline_log(const struct timeline *timeline)
{
	uint64_t before = timeline->start_ns;

	if (!log_enabled(LOG_LEVEL_DEBUG))
		return;
	log_debug("main began at %llu ns of the monotonic clock",
		  (unsigned long long)timeline->start_ns);
	log_debug("%-34s %9s %9s", "step", "took ms", "at ms");
	for (unsigned i = 0; i < timeline->step_count; i++) {
		uint64_t done = timeline->steps[i].done_ns;

		log_debug("%-34s %9.3f %9.3f", timeline->steps[i].name,
			  (double)(done - before) / 1e6, (double)(done - timeline->start_ns) / 1e6);
		before = done;
	}
}
