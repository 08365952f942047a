/*
 * Where the time to the first instruction goes: named steps with the moment each was done, shown by
 * -v.
 */
#ifndef VMM_TIMELINE_H
#define VMM_TIMELINE_H

#include <pthread.h>
#include <stdint.h>

#define TIMELINE_STEPS_MAX 24

struct timeline {
	uint64_t start_ns; /* CLOCK_MONOTONIC */
	struct {
		const char *name; /* static */
		uint64_t done_ns;
	} steps[TIMELINE_STEPS_MAX];
	unsigned step_count;
};

/* Starts at the call. Main thread. */
void timeline_init(struct timeline *timeline);
/* The step NAME (a static string) is done now. More than TIMELINE_STEPS_MAX are dropped. Main
 * thread. */
void timeline_mark(struct timeline *timeline, const char *name);
/* Logs the table at debug level; nothing when that is not shown. */
void timeline_log(const struct timeline *timeline);

#endif
