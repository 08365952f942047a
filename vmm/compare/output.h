/*
 * What a workload printed, read into values by key. The text comes from inside a boundary: anything
 * may stand in it. Pure; fuzzed.
 */
#ifndef VMM_COMPARE_OUTPUT_H
#define VMM_COMPARE_OUTPUT_H

#include <stddef.h>

#define OUTPUT_ITEMS_MAX 64

struct output {
	struct {
		char key[48];
		double value; /* NAN: it has only text */
		char text[400];
	} items[OUTPUT_ITEMS_MAX];
	unsigned count;
};

/* Adds an item; one too many is dropped. Characters that are not printable ASCII become "?". */
void output_add(struct output *output, const char *key, double value, const char *text);
/* The item of that key, or NULL pointer's worth: -1. */
int output_find(const struct output *output, const char *key);
/* Lines "KEY TEXT"; a text that is a number is a value too. Other lines are passed over. */
void output_parse_lines(struct output *output, const char *text);
/*
 * What `vmm run -v` says of its steps: stage_main (ns of the monotonic clock), stage_entry (ns
 * after that) and stage_steps (text). Nothing where it says nothing; other lines are passed over.
 */
void output_parse_steps(struct output *output, const char *text);
/*
 * fio's JSON. For each job: JOB_ns and JOB_ops, JOB_bytes (a request's time, requests and bytes a
 * second, at the job's depth and block size) and JOB_sync_ns. -EINVAL when it is not fio's.
 */
int output_parse_fio(struct output *output, const char *text);

#endif
