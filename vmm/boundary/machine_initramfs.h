/*
 * What a machine that runs a command boots into: an initramfs in memory with guest-init, the
 * modules that its kernel needs, and the file that says what to do (vmm/guest/workload.h). Called
 * by boundary_machine.c on the main thread.
 */
#ifndef VMM_BOUNDARY_MACHINE_INITRAMFS_H
#define VMM_BOUNDARY_MACHINE_INITRAMFS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "vmm/boundary/process_user.h"
#include "vmm/config.h"

/* What the configuration does not say. */
struct machine_facts {
	struct process_user user;
	const char *volume_types[CONFIG_VOLUMES_MAX]; /* file systems; volume i is disk 1 + i */
	unsigned keep_disk; /* number of the disk with what was kept; 0: nothing was so far */
	bool terminal;
	uint16_t columns;
	uint16_t rows;
};

/* The initramfs as a descriptor, which the caller closes; or -errno, logged. */
int machine_initramfs_make(const struct config *config,
			   const struct machine_facts *facts) MUST_CHECK;

/* The part of it that guest-init reads, for the test. */
void machine_workload_write(FILE *out, const struct config *config,
			    const struct machine_facts *facts, char *const modules[],
			    unsigned module_count);

#endif
