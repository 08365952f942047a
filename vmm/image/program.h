/*
 * Programs that this one has do its work: found, run, and what they said told when they fail. Inner
 * header of vmm/image. Main thread.
 */
#ifndef VMM_IMAGE_PROGRAM_H
#define VMM_IMAGE_PROGRAM_H

#include <stdbool.h>

#include "vmm/err.h"

/*
 * Runs argv[0], looked for in PATH and in the directories of the system's programs, with its output
 * put aside, and waits. It dies with this process. 0; or logged: -ENOENT with CURE when it is not
 * installed, -EIO when it fails, with the last line that it said, -errno.
 */
int program_run(char *const argv[], const char *cure) MUST_CHECK;

/* Whether program_run would find NAME. */
bool program_exists(const char *name);

#endif
