/*
 * The guest's software: kernel, initrd, command line and tables, put into its memory. Private to
 * vmm/machine*.c. Main thread.
 */
#ifndef VMM_MACHINE_LOAD_H
#define VMM_MACHINE_LOAD_H

#include "arch/arch.h"
#include "vmm/config.h"
#include "vmm/guest_mem.h"
#include "vmm/timeline.h"

/* Loads what CONFIG names for a board as BOARD says; BOOT tells where to enter. 0 or -errno,
 * logged. */
int machine_load(struct guest_mem *mem, const struct config *config, const struct arch_board *board,
		 struct arch_boot *boot, struct timeline *timeline) MUST_CHECK;

#endif
