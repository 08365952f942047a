/*
 * The whole comparison on the emulated host of the source tree's tests/lab. Main thread.
 */
#ifndef VMM_COMPARE_LAB_H
#define VMM_COMPARE_LAB_H

#include "vmm/compare/compare.h"

/*
 * Becomes the lab, which runs `vmm compare` with ARGC words ARGV (those after "compare", without
 * what concerns the lab). FILES are paths to be written, NULL where there is none: their
 * directories are shared. Returns only when that fails: -errno, logged.
 */
int compare_lab(const struct compare *compare, int argc, char **argv, const char *const *files,
		size_t file_count);

#endif
