/*
 * A machine from its first start to its end, resets included.
 */
#ifndef VMM_RUN_H
#define VMM_RUN_H

#include "vmm/config.h"

/* Runs the machine that CONFIG (complete) describes on the calling thread. Returns the process's
 * exit status. */
struct timeline;

int run_machine(const struct config *config, struct timeline *timeline) MUST_CHECK;

#endif
