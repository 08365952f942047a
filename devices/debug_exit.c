/*
 * The debug-exit port, this monitor's own: one byte, write-only; see the header. It has no state.
 * Reached from vCPU threads through the bus.
 */
#include "devices/debug_exit.h"

static void debug_exit_write(struct bus_device *dev, uint64_t offset, unsigned width,
			     uint64_t value)
{
	struct debug_exit *d = container_of(dev, struct debug_exit, bus);

	(void)offset;
	(void)width;
	d->ops->exit(d->opaque,
		     value < DEBUG_EXIT_STATUS_MAX ? (unsigned)value : DEBUG_EXIT_STATUS_MAX);
}

static const struct bus_device_ops debug_exit_bus_ops = {
	.name = "debug-exit",
	.widths = BUS_WIDTH_1,
	.write = debug_exit_write,
};

void debug_exit_init(struct debug_exit *dev, const struct debug_exit_ops *ops, void *opaque)
{
	*dev = (struct debug_exit){
		.bus = { .ops = &debug_exit_bus_ops },
		.ops = ops,
		.opaque = opaque,
	};
}
