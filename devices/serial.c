/*
 * A 16550A UART (National Semiconductor PC16550D datasheet, section 8; register names are its).
 * Registers are reached from vCPU threads through the bus, input and the port's readiness from the
 * loop's thread; one mutex serialises them.
 *
 * The interrupt line is an edge: it is raised when a cause appears that was not there before. The
 * transmitter is never busy while the output buffer has room, so a byte written sets the
 * transmitter-empty cause at once; until the guest has read IIR, further bytes raise nothing.
 * Baud rate, parity and stop bits are kept and read back but have no effect.
 */
#include "devices/serial.h"

#include <string.h>

/* Register offsets; RBR, THR, IER give way to the divisor while LCR.DLAB is set. */
#define SERIAL_RBR_THR	    0
#define SERIAL_IER	    1
#define SERIAL_IIR_FCR	    2
#define SERIAL_LCR	    3
#define SERIAL_MCR	    4
#define SERIAL_LSR	    5
#define SERIAL_MSR	    6
#define SERIAL_SCR	    7

#define IER_ERBFI	    0x01 /* received data */
#define IER_ETBEI	    0x02 /* transmitter empty */
#define IER_ELSI	    0x04 /* line status */
#define IER_EDSSI	    0x08 /* modem status */
#define IER_MASK	    0x0f

#define IIR_NONE	    0x01
#define IIR_MODEM	    0x00
#define IIR_TRANSMIT	    0x02
#define IIR_RECEIVE	    0x04
#define IIR_LINE	    0x06
#define IIR_TIMEOUT	    0x0c
#define IIR_FIFO	    0xc0

#define FCR_ENABLE	    0x01
#define FCR_CLEAR_INPUT	    0x02
#define FCR_TRIGGER_SHIFT   6
#define FCR_MASK	    0xc9

#define LCR_DLAB	    0x80

#define MCR_DTR		    0x01
#define MCR_RTS		    0x02
#define MCR_OUT1	    0x04
#define MCR_OUT2	    0x08
#define MCR_LOOP	    0x10
#define MCR_MASK	    0x1f

#define LSR_DR		    0x01
#define LSR_OE		    0x02
#define LSR_THRE	    0x20
#define LSR_TEMT	    0x40

#define MSR_CTS		    0x10
#define MSR_DSR		    0x20
#define MSR_RI		    0x40
#define MSR_DCD		    0x80

#define SERIAL_DIVISOR_9600 12

/* A guest that has seen THRE may write a whole FIFO before it looks again. */
#define SERIAL_OUTPUT_HIGH (SERIAL_OUTPUT_LEN - 2 * SERIAL_FIFO_LEN)

static bool serial_output_ready(const struct serial_state *s)
{
	return s->output_count < SERIAL_OUTPUT_HIGH;
}

static unsigned serial_input_capacity(const struct serial_state *s)
{
	return s->fcr & FCR_ENABLE ? SERIAL_FIFO_LEN : 1;
}

/* Modem status, upper half: a peer that is always there, or in loopback our own outputs. */
static uint8_t serial_modem_lines(const struct serial_state *s)
{
	uint8_t lines = 0;

	if (!(s->mcr & MCR_LOOP))
		return MSR_DCD | MSR_DSR | MSR_CTS;
	if (s->mcr & MCR_DTR)
		lines |= MSR_DSR;
	if (s->mcr & MCR_RTS)
		lines |= MSR_CTS;
	if (s->mcr & MCR_OUT1)
		lines |= MSR_RI;
	if (s->mcr & MCR_OUT2)
		lines |= MSR_DCD;
	return lines;
}

/* The cause of highest priority that is enabled, as IIR shows it. */
static uint8_t serial_cause(const struct serial_state *s)
{
	static const uint8_t trigger[] = { 1, 4, 8, 14 };

	if (s->ier & IER_ELSI && s->overrun)
		return IIR_LINE;
	if (s->ier & IER_ERBFI && s->input_count) {
		if (!(s->fcr & FCR_ENABLE) ||
		    s->input_count >= trigger[s->fcr >> FCR_TRIGGER_SHIFT])
			return IIR_RECEIVE;
		/* No line to be idle on: what is there is all there is. */
		return IIR_TIMEOUT;
	}
	if (s->ier & IER_ETBEI && s->thre_pending)
		return IIR_TRANSMIT;
	if (s->ier & IER_EDSSI && s->msr_delta)
		return IIR_MODEM;
	return IIR_NONE;
}

/* Causes as a set, to notice one that appears beside another. */
static unsigned serial_causes(const struct serial_state *s)
{
	unsigned causes = 0;

	if (s->ier & IER_ELSI && s->overrun)
		causes |= IER_ELSI;
	if (s->ier & IER_ERBFI && s->input_count)
		causes |= IER_ERBFI;
	if (s->ier & IER_ETBEI && s->thre_pending)
		causes |= IER_ETBEI;
	if (s->ier & IER_EDSSI && s->msr_delta)
		causes |= IER_EDSSI;
	return causes;
}

static void serial_raise_if_new(const struct serial *serial, unsigned before)
{
	if (serial_causes(&serial->state) & ~before)
		irq_raise(serial->irq);
}

/* Offers what waits to the port, in at most two pieces round the ring. */
static void serial_flush(struct serial *serial)
{
	struct serial_state *s = &serial->state;

	while (s->output_count) {
		size_t run = SERIAL_OUTPUT_LEN - s->output_start;
		size_t taken;

		if (run > s->output_count)
			run = s->output_count;
		taken = char_write(serial->port, &s->output[s->output_start], run);
		s->output_start = (uint16_t)((s->output_start + taken) % SERIAL_OUTPUT_LEN);
		s->output_count = (uint16_t)(s->output_count - taken);
		if (taken < run)
			return;
	}
}

/* One byte into the receiver; false when it is full. */
static bool serial_receive(struct serial_state *s, uint8_t byte)
{
	if (s->input_count >= serial_input_capacity(s))
		return false;
	s->input[(s->input_start + s->input_count) % SERIAL_FIFO_LEN] = byte;
	s->input_count++;
	return true;
}

/* Asked for when empty, not for every byte, so that input comes in bursts. */
static void serial_ask_input(struct serial *serial)
{
	struct serial_state *s = &serial->state;

	if (!s->input_refused || s->input_count || s->mcr & MCR_LOOP)
		return;
	s->input_refused = false;
	char_input_ready(serial->port);
}

static void serial_write_thr(struct serial *serial, uint8_t byte)
{
	struct serial_state *s = &serial->state;

	s->thre_pending = false;
	if (s->mcr & MCR_LOOP) {
		if (!serial_receive(s, byte))
			s->overrun = true;
	} else if (s->output_count || !char_write(serial->port, &byte, 1)) {
		/* A guest that writes without looking at THRE loses what exceeds the buffer. */
		if (s->output_count < SERIAL_OUTPUT_LEN) {
			s->output[(s->output_start + s->output_count) % SERIAL_OUTPUT_LEN] = byte;
			s->output_count++;
		}
	}
	s->thre_pending = serial_output_ready(s);
}

static void serial_write_ier(struct serial_state *s, uint8_t value)
{
	/* Enabling the transmitter's interrupt while it is empty is itself a cause. */
	if (value & IER_ETBEI && !(s->ier & IER_ETBEI))
		s->thre_pending = serial_output_ready(s);
	s->ier = value & IER_MASK;
}

static void serial_write_fcr(struct serial_state *s, uint8_t value)
{
	/* Switching the FIFOs on or off empties them. */
	if (value & FCR_CLEAR_INPUT || (value ^ s->fcr) & FCR_ENABLE) {
		s->input_count = 0;
		s->input_start = 0;
	}
	s->fcr = value & FCR_ENABLE ? value & FCR_MASK : 0;
}

static void serial_write_mcr(struct serial_state *s, uint8_t value)
{
	uint8_t before = serial_modem_lines(s);
	uint8_t changed;

	s->mcr = value & MCR_MASK;
	changed = (uint8_t)(before ^ serial_modem_lines(s));
	/* Deltas of CTS, DSR and DCD; RI only counts when it goes off. */
	s->msr_delta |= (uint8_t)((changed & ~MSR_RI) >> 4);
	if (changed & MSR_RI && before & MSR_RI)
		s->msr_delta |= MSR_RI >> 4;
}

static void serial_write_register(struct serial *serial, uint64_t offset, uint8_t value)
{
	struct serial_state *s = &serial->state;

	switch (offset) {
	case SERIAL_RBR_THR:
		if (s->lcr & LCR_DLAB)
			s->divisor = (uint16_t)((s->divisor & 0xff00) | value);
		else
			serial_write_thr(serial, value);
		break;
	case SERIAL_IER:
		if (s->lcr & LCR_DLAB)
			s->divisor = (uint16_t)((s->divisor & 0x00ff) | value << 8);
		else
			serial_write_ier(s, value);
		break;
	case SERIAL_IIR_FCR:
		serial_write_fcr(s, value);
		break;
	case SERIAL_LCR:
		s->lcr = value;
		break;
	case SERIAL_MCR:
		serial_write_mcr(s, value);
		break;
	case SERIAL_SCR:
		s->scr = value;
		break;
	default: /* LSR and MSR are read-only */
		break;
	}
}

static void serial_write(struct bus_device *dev, uint64_t offset, unsigned width, uint64_t value)
{
	struct serial *serial = container_of(dev, struct serial, bus);
	unsigned before = serial_causes(&serial->state);

	(void)width;
	/* A byte sent makes the transmitter empty anew, but while that cause is still unread the
	 * guest has an interrupt coming already. */
	serial_write_register(serial, offset, (uint8_t)value);
	serial_raise_if_new(serial, before);
	serial_ask_input(serial);
}

static uint8_t serial_read_rbr(struct serial *serial)
{
	struct serial_state *s = &serial->state;
	uint8_t byte;

	if (!s->input_count)
		return 0;
	byte = s->input[s->input_start];
	s->input_start = (uint8_t)((s->input_start + 1) % SERIAL_FIFO_LEN);
	s->input_count--;
	serial_ask_input(serial);
	return byte;
}

static uint8_t serial_read_iir(struct serial_state *s)
{
	uint8_t cause = serial_cause(s);

	if (cause == IIR_TRANSMIT)
		s->thre_pending = false;
	return cause | (s->fcr & FCR_ENABLE ? IIR_FIFO : 0);
}

static uint8_t serial_read_lsr(struct serial_state *s)
{
	uint8_t value = 0;

	if (s->input_count)
		value |= LSR_DR;
	if (s->overrun)
		value |= LSR_OE;
	if (serial_output_ready(s))
		value |= LSR_THRE | LSR_TEMT;
	s->overrun = false;
	return value;
}

static uint8_t serial_read_register(struct serial *serial, uint64_t offset)
{
	struct serial_state *s = &serial->state;
	uint8_t value;

	switch (offset) {
	case SERIAL_RBR_THR:
		return s->lcr & LCR_DLAB ? (uint8_t)s->divisor : serial_read_rbr(serial);
	case SERIAL_IER:
		return s->lcr & LCR_DLAB ? (uint8_t)(s->divisor >> 8) : s->ier;
	case SERIAL_IIR_FCR:
		return serial_read_iir(s);
	case SERIAL_LCR:
		return s->lcr;
	case SERIAL_MCR:
		return s->mcr;
	case SERIAL_LSR:
		return serial_read_lsr(s);
	case SERIAL_MSR:
		value = serial_modem_lines(s) | s->msr_delta;
		s->msr_delta = 0;
		return value;
	case SERIAL_SCR:
	default:
		return s->scr;
	}
}

static uint64_t serial_read(struct bus_device *dev, uint64_t offset, unsigned width)
{
	(void)width;
	return serial_read_register(container_of(dev, struct serial, bus), offset);
}

static const struct bus_device_ops serial_bus_ops = {
	.name = "serial",
	.widths = BUS_WIDTH_1,
	.read = serial_read,
	.write = serial_write,
};

static size_t serial_input(void *front, const uint8_t *data, size_t len)
{
	struct serial *serial = front;
	unsigned before;
	size_t taken = 0;

	pthread_mutex_lock(&serial->lock);
	before = serial_causes(&serial->state);
	/* In loopback the receiver is cut off from the line. */
	if (!(serial->state.mcr & MCR_LOOP))
		while (taken < len && serial_receive(&serial->state, data[taken]))
			taken++;
	serial->state.input_refused = taken < len;
	serial_raise_if_new(serial, before);
	pthread_mutex_unlock(&serial->lock);
	return taken;
}

static void serial_writable(void *front)
{
	struct serial *serial = front;
	struct serial_state *s = &serial->state;
	unsigned before;
	bool ready;

	pthread_mutex_lock(&serial->lock);
	before = serial_causes(s);
	ready = serial_output_ready(s);
	serial_flush(serial);
	if (!ready && serial_output_ready(s))
		s->thre_pending = true;
	serial_raise_if_new(serial, before);
	pthread_mutex_unlock(&serial->lock);
}

static const struct char_front_ops serial_front_ops = {
	.input = serial_input,
	.writable = serial_writable,
};

static void serial_reset_state(struct serial_state *s)
{
	s->ier = 0;
	s->fcr = 0;
	s->lcr = 0x03; /* 8N1, as firmware would leave it */
	s->mcr = 0;
	s->msr_delta = 0;
	s->scr = 0;
	s->divisor = SERIAL_DIVISOR_9600;
	s->thre_pending = false;
	s->overrun = false;
	s->input_start = 0;
	s->input_count = 0;
}

void serial_init(struct serial *serial, struct irq_line *irq, struct char_port *port)
{
	memset(serial, 0, sizeof(*serial));
	pthread_mutex_init(&serial->lock, NULL);
	serial->bus = (struct bus_device){ .ops = &serial_bus_ops, .lock = &serial->lock };
	serial->irq = irq;
	serial->port = port;
	serial_reset_state(&serial->state);
	if (port) {
		port->front = serial;
		port->front_ops = &serial_front_ops;
	}
}

void serial_fini(struct serial *serial)
{
	if (serial->port) {
		serial->port->front_ops = NULL;
		serial->port->front = NULL;
	}
	pthread_mutex_destroy(&serial->lock);
}

void serial_reset(struct serial *serial)
{
	pthread_mutex_lock(&serial->lock);
	serial_reset_state(&serial->state);
	serial_ask_input(serial);
	pthread_mutex_unlock(&serial->lock);
}
