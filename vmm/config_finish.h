/*
 * What completing a configuration asks the host, for those who tell about it. Main thread.
 */
#ifndef VMM_CONFIG_FINISH_H
#define VMM_CONFIG_FINISH_H

#include <stdbool.h>

#include "vmm/config.h"

/* True when PROGRAM can be run from a directory in PATH. */
bool config_is_in_path(const char *program);

/*
 * The part of config_finish that is about a command in a root directory: refuses what contradicts
 * itself, chooses the boundary, takes variables from our environment. Looks at the directories
 * named. 0 or -errno, logged.
 */
int config_finish_workload(struct config *config) MUST_CHECK;

#endif
