/*
 * What a machine has done, in numbers: for -v and for --stats. Private to vmm/machine*.c. Main
 * thread; the vCPUs and the loops are stopped.
 */
#ifndef VMM_MACHINE_STATS_H
#define VMM_MACHINE_STATS_H

#include "devices/virtio/virtio.h"
#include "vmm/io_threads.h"
#include "vmm/vcpu.h"

#define MACHINE_STATS_DEVICES_MAX 32

/* Whose numbers; all borrowed. */
struct machine_stats {
	int vm_fd;
	const struct vcpu *vcpus;
	unsigned vcpu_count;
	const struct io_threads *io;
	const struct virtio_device *devices[MACHINE_STATS_DEVICES_MAX];
	unsigned device_count;
};

/* A line a device, at debug level. */
void machine_stats_log(const struct machine_stats *stats);
/* All of it as JSON, in place of what FD, a file, held; `vmm help stats` says what is in it. 0 or
 * -errno, logged. */
int machine_stats_write(const struct machine_stats *stats, int fd) MUST_CHECK;

#endif
