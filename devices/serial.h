/*
 * A 16550A UART.
 *
 * Output goes to the character port at once; what the port does not take waits in a buffer, and
 * while that is nearly full THRE stays clear, so that a guest that looks at it loses nothing.
 */
#ifndef DEVICES_SERIAL_H
#define DEVICES_SERIAL_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "devices/char/char.h"
#include "vmm/bus.h"
#include "vmm/irq.h"

#define SERIAL_PORT_LEN	  8
#define SERIAL_FIFO_LEN	  16
#define SERIAL_OUTPUT_LEN 4096

/* All that a snapshot must hold. Registers as the datasheet names them. */
struct serial_state {
	uint8_t ier;
	uint8_t fcr;
	uint8_t lcr;
	uint8_t mcr;
	uint8_t msr_delta; /* low half of MSR: changes since it was read */
	uint8_t scr;
	uint16_t divisor;
	bool thre_pending; /* transmitter-empty interrupt not yet acknowledged */
	bool overrun;
	bool input_refused; /* the port holds bytes that did not fit */
	uint8_t input[SERIAL_FIFO_LEN];
	uint8_t input_start;
	uint8_t input_count;
	uint16_t output_start;
	uint16_t output_count;
	uint8_t output[SERIAL_OUTPUT_LEN]; /* a ring of what the port has not taken yet */
};

struct serial {
	struct bus_device bus; /* on the port I/O bus, SERIAL_PORT_LEN wide */
	pthread_mutex_t lock;
	struct irq_line *irq;
	struct char_port *port;
	struct serial_state state;
};

/* IRQ and PORT (NULL: output is dropped) are borrowed. Becomes the front end of PORT, whose back
 * end must not hold a lock that its write takes while it calls back. */
void serial_init(struct serial *serial, struct irq_line *irq, struct char_port *port);
void serial_fini(struct serial *serial);

/* To the state after power-on; output that waits still goes out. Any thread. */
void serial_reset(struct serial *serial);

#endif
