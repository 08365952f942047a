/*
 * The port on which a guest's kernel says that it panicked.
 */
#ifndef DEVICES_PVPANIC_H
#define DEVICES_PVPANIC_H

#include "vmm/bus.h"

#define PVPANIC_PORT_LEN     1
#define PVPANIC_PANICKED     0x01
#define PVPANIC_CRASH_LOADED 0x02 /* panicked, and a crash kernel of its own takes over */

struct pvpanic_ops {
	/* EVENTS is a set of PVPANIC_*, never empty. On the vCPU's thread. */
	void (*event)(void *opaque, unsigned events);
};

/* No state, no lock. */
struct pvpanic {
	struct bus_device bus; /* on the port I/O bus, PVPANIC_PORT_LEN wide */
	const struct pvpanic_ops *ops;
	void *opaque;
};

void pvpanic_init(struct pvpanic *dev, const struct pvpanic_ops *ops, void *opaque);

#endif
