/*
 * The port devices of a PC under a guest that reads and writes anything: the input is a list of
 * accesses through a bus, with bytes typed and a console that stops and goes on in between.
 * Checked: the UART's buffers keep their bounds, it sends no byte that was not written, and the
 * status that the debug-exit port reports cannot be one of the monitor's own.
 */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "devices/debug_exit.h"
#include "devices/i8042.h"
#include "devices/power.h"
#include "devices/pvpanic.h"
#include "devices/rtc.h"
#include "devices/serial.h"
#include "tests/fuzz/quiet_log.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

struct ports {
	struct bus bus;
	struct serial serial;
	struct rtc rtc;
	struct power power;
	struct i8042 i8042;
	struct pvpanic pvpanic;
	struct debug_exit debug_exit;
	struct char_port port;
	struct irq_line irq;
	size_t room;	 /* what the console takes before it is full */
	size_t sent;	 /* bytes that came out of the UART */
	size_t writable; /* bytes that may have gone in */
};

static size_t take_output(struct char_port *port, const uint8_t *data, size_t len)
{
	struct ports *p = container_of(port, struct ports, port);
	volatile uint8_t sink;

	if (len > p->room)
		len = p->room;
	for (size_t i = 0; i < len; i++)
		sink = data[i];
	(void)sink;
	p->room -= len;
	p->sent += len;
	return len;
}

static const struct char_port_ops port_ops = { .write = take_output };

static void ignore(void *opaque)
{
	(void)opaque;
}

static void check_events(void *opaque, unsigned events)
{
	(void)opaque;
	assert(events && events <= 3);
}

static void check_status(void *opaque, unsigned status)
{
	(void)opaque;
	assert(status <= DEBUG_EXIT_STATUS_MAX);
}

static const struct power_ops power_ops = { ignore, ignore };
static const struct i8042_ops i8042_ops = { ignore };
static const struct pvpanic_ops pvpanic_ops = { check_events };
static const struct debug_exit_ops debug_exit_ops = { check_status };

/* Ports one after the other, so that a byte of input reaches all of them. */
static void ports_init(struct ports *p)
{
	int ret = bus_init(&p->bus, NULL, NULL);

	p->irq = IRQ_LINE_NONE;
	p->port.ops = &port_ops;
	serial_init(&p->serial, &p->irq, &p->port);
	rtc_init(&p->rtc);
	power_init(&p->power, &p->irq, &power_ops, NULL);
	i8042_init(&p->i8042, &i8042_ops, NULL);
	pvpanic_init(&p->pvpanic, &pvpanic_ops, NULL);
	debug_exit_init(&p->debug_exit, &debug_exit_ops, NULL);
	ret |= bus_add(&p->bus, 0, SERIAL_PORT_LEN, &p->serial.bus);
	ret |= bus_add(&p->bus, 8, RTC_PORT_LEN, &p->rtc.bus);
	ret |= bus_add(&p->bus, 10, POWER_PORT_LEN, &p->power.bus);
	ret |= bus_add(&p->bus, 18, 1, &p->i8042.data);
	ret |= bus_add(&p->bus, 19, 1, &p->i8042.command);
	ret |= bus_add(&p->bus, 20, PVPANIC_PORT_LEN, &p->pvpanic.bus);
	ret |= bus_add(&p->bus, 21, DEBUG_EXIT_PORT_LEN, &p->debug_exit.bus);
	assert(!ret);
}

static void ports_fini(struct ports *p)
{
	serial_fini(&p->serial);
	rtc_fini(&p->rtc);
	power_fini(&p->power);
	bus_fini(&p->bus);
}

static void outside_world(struct ports *p, uint8_t what, const uint8_t *data, size_t len)
{
	switch (what % 6) {
	case 0:
		assert(p->port.front_ops->input(p->port.front, data, len) <= len);
		break;
	case 1:
		p->room += len ? data[0] : 0;
		p->port.front_ops->writable(p->port.front);
		break;
	case 2:
		p->room = 0;
		break;
	case 3:
		power_button_press(&p->power);
		break;
	case 4:
		serial_reset(&p->serial);
		break;
	case 5:
		rtc_reset(&p->rtc);
		power_reset(&p->power);
		break;
	}
}

static void check(const struct ports *p)
{
	const struct serial_state *s = &p->serial.state;

	assert(s->input_count <= SERIAL_FIFO_LEN && s->input_start < SERIAL_FIFO_LEN);
	assert(s->output_count <= SERIAL_OUTPUT_LEN && s->output_start < SERIAL_OUTPUT_LEN);
	assert(p->sent + s->output_count <= p->writable);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const unsigned widths[] = { 1, 1, 2, 4 };
	static struct ports p;

	memset(&p, 0, sizeof(p));
	ports_init(&p);
	/* Three bytes an access: how, where, what. */
	for (; len >= 3; data += 3, len -= 3) {
		unsigned width = widths[data[0] >> 2 & 3];
		uint8_t value[8] = { data[2], data[0], data[1], data[2] };

		if ((data[0] & 3) == 0) {
			outside_world(&p, data[1], data + 2, len - 2 < 40 ? len - 2 : 40);
		} else if ((data[0] & 3) == 1) {
			bus_read(&p.bus, data[1] % 24, width, value);
		} else {
			/* The same byte many times over fills buffers. */
			for (unsigned i = 0; i < (data[0] & 0x80 ? 400u : 1u); i++) {
				p.writable += data[1] % 24 == 0;
				bus_write(&p.bus, data[1] % 24, width, value);
			}
		}
		check(&p);
	}
	ports_fini(&p);
	return 0;
}
