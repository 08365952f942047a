/*
 * The debug-exit port: a guest ends the machine with a status of its choice, by one write.
 * The statuses 0 to DEBUG_EXIT_STATUS_MAX are the guest's; those above are the monitor's own
 * (panic, triple fault, time-out ...), so a larger value is reported as DEBUG_EXIT_STATUS_MAX.
 */
#ifndef DEVICES_DEBUG_EXIT_H
#define DEVICES_DEBUG_EXIT_H

#include "vmm/bus.h"

#define DEBUG_EXIT_PORT_LEN   1
#define DEBUG_EXIT_STATUS_MAX 119

struct debug_exit_ops {
	/* The guest ends with STATUS. On the vCPU's thread. */
	void (*exit)(void *opaque, unsigned status);
};

struct debug_exit {
	struct bus_device bus; /* on the port I/O bus, DEBUG_EXIT_PORT_LEN wide; needs no lock */
	const struct debug_exit_ops *ops;
	void *opaque;
};

void debug_exit_init(struct debug_exit *dev, const struct debug_exit_ops *ops, void *opaque);

#endif
