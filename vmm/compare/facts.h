/*
 * The conditions under which a comparison was made: host, kernel, processor, KVM, versions. Main
 * thread.
 */
#ifndef VMM_COMPARE_FACTS_H
#define VMM_COMPARE_FACTS_H

#include "vmm/compare/compare.h"

void compare_facts_gather(struct compare *compare, const char *command_line);

#endif
