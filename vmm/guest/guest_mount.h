/*
 * File systems within a machine: from the initramfs to the command's root. Called by guest-init, in
 * this order. Only libc.
 */
#ifndef VMM_GUEST_GUEST_MOUNT_H
#define VMM_GUEST_GUEST_MOUNT_H

#include <stddef.h>

#include "vmm/guest/workload.h"

/* Each gives 0, or -errno with a sentence in ERROR. */

/* /sys and /dev of the initramfs. */
int guest_mount_first(char *error, size_t error_len);
/* The image, and over it what was kept, under an overlay whose upper layer is in memory, as the new
 * root. *UPPER_FD is that layer where it is wanted at the end, else -1. */
int guest_mount_root(const struct workload *workload, int *upper_fd, char *error, size_t error_len);
/* What every root has: /proc, /sys, /dev with what belongs there. */
int guest_mount_system(char *error, size_t error_len);
int guest_mount_volumes(const struct workload *workload, char *error, size_t error_len);

/* Brings what was written to volumes onto their disks. */
void guest_mount_finish(const struct workload *workload);

#endif
