/*
 * One measurement: a task run once in a column. Main thread.
 */
#ifndef VMM_COMPARE_MEASURE_H
#define VMM_COMPARE_MEASURE_H

#include "vmm/compare/compare.h"
#include "vmm/compare/output.h"

/*
 * Runs TASK in COLUMN and adds what was found to OUTPUT. 0; -EINTR when compare_stop was set; else
 * -errno with a new string in *REASON (NULL when memory is short).
 */
int compare_measure(struct compare *compare, const struct compare_column *column,
		    const struct compare_task *task, struct output *output,
		    char **reason) MUST_CHECK;

#endif
