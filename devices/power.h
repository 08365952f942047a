/*
 * Power: off, reset and the power button of a hardware-reduced ACPI machine.
 */
#ifndef DEVICES_POWER_H
#define DEVICES_POWER_H

#include <pthread.h>
#include <stdint.h>

#include "vmm/bus.h"
#include "vmm/irq.h"

/* Registers, one byte each, and their values: what the ACPI tables tell a guest. */
#define POWER_REG_SLEEP_CONTROL 0
#define POWER_REG_SLEEP_STATUS	1
#define POWER_REG_RESET		2
#define POWER_REG_EVENT		4 /* reading acknowledges */
#define POWER_PORT_LEN		8

#define POWER_SLEEP_TYPE_OFF	5
#define POWER_RESET_VALUE	0x06
#define POWER_EVENT_BUTTON	0x01

struct power_ops {
	/* The guest asks for power-off, or for a reset. On the vCPU's thread, under the device's
	 * lock. */
	void (*off)(void *opaque);
	void (*reset)(void *opaque);
};

/* All that a snapshot must hold. */
struct power_state {
	uint8_t sleep_type; /* as last written to SLEEP_CONTROL */
	uint8_t events;	    /* POWER_EVENT_* not yet read */
};

struct power {
	struct bus_device bus; /* on the port I/O bus, POWER_PORT_LEN wide */
	pthread_mutex_t lock;
	struct irq_line *irq;
	const struct power_ops *ops;
	void *opaque;
	struct power_state state;
};

/* IRQ, OPS and OPAQUE are borrowed. */
void power_init(struct power *power, struct irq_line *irq, const struct power_ops *ops,
		void *opaque);
void power_fini(struct power *power);
void power_reset(struct power *power);

/* Presses the power button. Any thread, not under the device's lock. */
void power_button_press(struct power *power);

#endif
