/*
 * The sleep control and status registers (ACPI 6.5, 4.8.3.7), the reset register (4.8.3.6) and the
 * event register of a generic event device (5.6.9), which stands for the power button. Reached from
 * vCPU threads through the bus; the button is pressed from any thread.
 */
#include "devices/power.h"

#include <string.h>

#define SLEEP_CONTROL_SLP_TYP_SHIFT 2
#define SLEEP_CONTROL_SLP_TYP_MASK  7
#define SLEEP_CONTROL_SLP_EN	    0x20

static void power_write_sleep_control(struct power *power, uint8_t value)
{
	power->state.sleep_type = value >> SLEEP_CONTROL_SLP_TYP_SHIFT & SLEEP_CONTROL_SLP_TYP_MASK;
	if (value & SLEEP_CONTROL_SLP_EN && power->state.sleep_type == POWER_SLEEP_TYPE_OFF)
		power->ops->off(power->opaque);
}

static void power_write(struct bus_device *dev, uint64_t offset, unsigned width, uint64_t value)
{
	struct power *power = container_of(dev, struct power, bus);

	(void)width;
	switch (offset) {
	case POWER_REG_SLEEP_CONTROL:
		power_write_sleep_control(power, (uint8_t)value);
		break;
	case POWER_REG_RESET:
		if ((uint8_t)value == POWER_RESET_VALUE)
			power->ops->reset(power->opaque);
		break;
	default: /* WAK_STS is never set, so that clearing it does nothing */
		break;
	}
}

static uint64_t power_read(struct bus_device *dev, uint64_t offset, unsigned width)
{
	struct power *power = container_of(dev, struct power, bus);
	uint8_t events;

	(void)width;
	switch (offset) {
	case POWER_REG_SLEEP_CONTROL: /* SLP_EN reads as zero */
		return (uint64_t)power->state.sleep_type << SLEEP_CONTROL_SLP_TYP_SHIFT;
	case POWER_REG_EVENT:
		events = power->state.events;
		power->state.events = 0;
		return events;
	default:
		return 0;
	}
}

static const struct bus_device_ops power_bus_ops = {
	.name = "power",
	.widths = BUS_WIDTH_1,
	.read = power_read,
	.write = power_write,
};

void power_init(struct power *power, struct irq_line *irq, const struct power_ops *ops,
		void *opaque)
{
	memset(power, 0, sizeof(*power));
	pthread_mutex_init(&power->lock, NULL);
	power->bus = (struct bus_device){ .ops = &power_bus_ops, .lock = &power->lock };
	power->irq = irq;
	power->ops = ops;
	power->opaque = opaque;
}

void power_fini(struct power *power)
{
	pthread_mutex_destroy(&power->lock);
}

void power_reset(struct power *power)
{
	pthread_mutex_lock(&power->lock);
	power->state = (struct power_state){ 0 };
	pthread_mutex_unlock(&power->lock);
}

void power_button_press(struct power *power)
{
	pthread_mutex_lock(&power->lock);
	power->state.events |= POWER_EVENT_BUTTON;
	pthread_mutex_unlock(&power->lock);
	irq_raise(power->irq);
}
