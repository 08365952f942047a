/*
 * Of a PC's keyboard controller, the command that resets the machine.
 */
#ifndef DEVICES_I8042_H
#define DEVICES_I8042_H

#include "vmm/bus.h"

struct i8042_ops {
	/* The guest asks for a reset. On the vCPU's thread. */
	void (*reset)(void *opaque);
};

/* No state, no lock. */
struct i8042 {
	struct bus_device data;	   /* one port */
	struct bus_device command; /* one port: status when read */
	const struct i8042_ops *ops;
	void *opaque;
};

void i8042_init(struct i8042 *dev, const struct i8042_ops *ops, void *opaque);

#endif
