/*
 * Runs every selected task in every column, run by run in turn, and fills in the cells. Main
 * thread.
 */
#ifndef VMM_COMPARE_RUNNER_H
#define VMM_COMPARE_RUNNER_H

#include "vmm/compare/compare.h"

/* Rows that cannot be had get their reason. 0, or -errno, logged, when nothing can be measured. */
int compare_run(struct compare *compare) MUST_CHECK;

#endif
