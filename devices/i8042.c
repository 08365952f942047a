/*
 * Intel 8042 as a PC has it (IBM PC AT technical reference, "keyboard controller"): pulsing output
 * line 0 resets the machine, which is what Linux's "reboot=k" does. There is no keyboard.
 *
 * Status always reads as "a byte is waiting, none is being taken in": a driver that empties the
 * controller before probing it gives up after a few reads, and one that waits until a command may
 * be written goes on at once. Reached from vCPU threads through the bus.
 */
#include "devices/i8042.h"

#define STATUS_OUTPUT_FULL   0x01
#define COMMAND_PULSE_MASK   0xf0
#define COMMAND_PULSE	     0xf0 /* low half: lines to leave alone */
#define COMMAND_PULSE_KEEP_0 0x01

static uint64_t i8042_read_data(struct bus_device *dev, uint64_t offset, unsigned width)
{
	(void)dev;
	(void)offset;
	(void)width;
	return 0;
}

static uint64_t i8042_read_status(struct bus_device *dev, uint64_t offset, unsigned width)
{
	(void)dev;
	(void)offset;
	(void)width;
	return STATUS_OUTPUT_FULL;
}

static void i8042_write_command(struct bus_device *dev, uint64_t offset, unsigned width,
				uint64_t value)
{
	struct i8042 *i8042 = container_of(dev, struct i8042, command);

	(void)offset;
	(void)width;
	if ((value & COMMAND_PULSE_MASK) == COMMAND_PULSE && !(value & COMMAND_PULSE_KEEP_0))
		i8042->ops->reset(i8042->opaque);
}

static const struct bus_device_ops i8042_data_ops = {
	.name = "i8042-data",
	.widths = BUS_WIDTH_1,
	.read = i8042_read_data,
};

static const struct bus_device_ops i8042_command_ops = {
	.name = "i8042-command",
	.widths = BUS_WIDTH_1,
	.read = i8042_read_status,
	.write = i8042_write_command,
};

void i8042_init(struct i8042 *dev, const struct i8042_ops *ops, void *opaque)
{
	*dev = (struct i8042){
		.data = { .ops = &i8042_data_ops },
		.command = { .ops = &i8042_command_ops },
		.ops = ops,
		.opaque = opaque,
	};
}
