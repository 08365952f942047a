/*
 * pvpanic (QEMU, docs/specs/pvpanic.rst): one byte; reading gives the events that may be written,
 * writing tells them. Reached from vCPU threads through the bus.
 */
#include "devices/pvpanic.h"

#define PVPANIC_EVENTS (PVPANIC_PANICKED | PVPANIC_CRASH_LOADED)

static uint64_t pvpanic_read(struct bus_device *dev, uint64_t offset, unsigned width)
{
	(void)dev;
	(void)offset;
	(void)width;
	return PVPANIC_EVENTS;
}

static void pvpanic_write(struct bus_device *dev, uint64_t offset, unsigned width, uint64_t value)
{
	struct pvpanic *pvpanic = container_of(dev, struct pvpanic, bus);
	unsigned events = (unsigned)value & PVPANIC_EVENTS;

	(void)offset;
	(void)width;
	if (events)
		pvpanic->ops->event(pvpanic->opaque, events);
}

static const struct bus_device_ops pvpanic_bus_ops = {
	.name = "pvpanic",
	.widths = BUS_WIDTH_1,
	.read = pvpanic_read,
	.write = pvpanic_write,
};

void pvpanic_init(struct pvpanic *dev, const struct pvpanic_ops *ops, void *opaque)
{
	*dev = (struct pvpanic){
		.bus = { .ops = &pvpanic_bus_ops },
		.ops = ops,
		.opaque = opaque,
	};
}
