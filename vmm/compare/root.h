/*
 * The place where a comparison happens: its cache, its scratch directory, and the root with the
 * workloads. Main thread.
 */
#ifndef VMM_COMPARE_ROOT_H
#define VMM_COMPARE_ROOT_H

#include "vmm/compare/compare.h"

/*
 * Makes cache, scratch and the workload program, and the root unless one was given. Logs what
 * fails. 0 or -errno; compare_root_fini in any case.
 */
int compare_root_prepare(struct compare *compare) MUST_CHECK;
/* Only makes the root in the cache, for a later comparison. 0 or -errno, logged. */
int compare_root_make(struct compare *compare) MUST_CHECK;
/* Makes the images of volumes that the selected tasks need. 0 or -errno, logged. */
int compare_root_volumes(struct compare *compare) MUST_CHECK;
/* Whether the root holds PROGRAM. */
bool compare_root_has(const struct compare *compare, const char *program);
/* Removes the scratch directory. */
void compare_root_fini(struct compare *compare);

#endif
