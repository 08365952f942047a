/*
 * What completing a configuration asks the host, for those who tell about it. Main thread.
 */
#ifndef VMM_CONFIG_FINISH_H
#define VMM_CONFIG_FINISH_H

#include <stdbool.h>

/* True when PROGRAM can be run from a directory in PATH. */
bool config_is_in_path(const char *program);

#endif
