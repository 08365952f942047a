/* A 16550A as drivers know it: nothing is lost, and an interrupt comes for each new cause. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/eventfd.h>

#include <cmocka.h>

#include "devices/serial.h"

#define RBR 0
#define THR 0
#define IER 1
#define IIR 2
#define FCR 2
#define LCR 3
#define MCR 4
#define LSR 5
#define MSR 6
#define SCR 7

/* A port that takes ROOM bytes and remembers them. */
struct fake_port {
	struct char_port port;
	size_t room;
	size_t len;
	uint8_t data[16384];
	unsigned input_ready;
};

struct fixture {
	struct serial serial;
	struct fake_port port;
	struct irq_line irq;
};

static size_t fake_write(struct char_port *port, const uint8_t *data, size_t len)
{
	struct fake_port *fake = container_of(port, struct fake_port, port);

	if (len > fake->room)
		len = fake->room;
	memcpy(fake->data + fake->len, data, len);
	fake->len += len;
	fake->room -= len;
	return len;
}

static void fake_input_ready(struct char_port *port)
{
	container_of(port, struct fake_port, port)->input_ready++;
}

static const struct char_port_ops fake_ops = { .write = fake_write,
					       .input_ready = fake_input_ready };

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->port.port.ops = &fake_ops;
	f->port.room = sizeof(f->port.data);
	f->irq = (struct irq_line){ .fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK) };
	serial_init(&f->serial, &f->irq, &f->port.port);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	serial_fini(&f->serial);
	close(f->irq.fd);
	free(f);
	return 0;
}

static uint8_t in(struct fixture *f, unsigned reg)
{
	return (uint8_t)f->serial.bus.ops->read(&f->serial.bus, reg, 1);
}

static void out(struct fixture *f, unsigned reg, unsigned value)
{
	f->serial.bus.ops->write(&f->serial.bus, reg, 1, value);
}

static size_t input(struct fixture *f, const char *text)
{
	return f->port.port.front_ops->input(f->port.port.front, (const uint8_t *)text,
					     strlen(text));
}

/* How often the line was raised since the last call. */
static uint64_t raised(struct fixture *f)
{
	uint64_t count = 0;

	return read(f->irq.fd, &count, sizeof(count)) == sizeof(count) ? count : 0;
}

static void output_goes_to_the_port_at_once(void **state)
{
	struct fixture *f = *state;

	out(f, THR, 'h');
	out(f, THR, 'i');
	assert_int_equal(f->port.len, 2);
	assert_memory_equal(f->port.data, "hi", 2);
	assert_int_equal(in(f, LSR), 0x60);
}

static void a_stuck_port_clears_thre_and_loses_nothing(void **state)
{
	struct fixture *f = *state;
	unsigned written = 0;

	f->port.room = 10;
	while (in(f, LSR) & 0x20)
		/* A whole FIFO each time THRE was seen, as drivers do. */
		for (unsigned i = 0; i < 16; i++)
			out(f, THR, (uint8_t)written++);
	assert_in_range(written, SERIAL_OUTPUT_LEN - 64, SERIAL_OUTPUT_LEN + 10);
	assert_int_equal(f->port.len, 10);

	f->port.room = 100;
	f->port.port.front_ops->writable(f->port.port.front);
	assert_int_equal(f->port.len, 110);
	assert_true(in(f, LSR) & 0x20);
	f->port.room = sizeof(f->port.data) - f->port.len;
	f->port.port.front_ops->writable(f->port.port.front);
	assert_int_equal(f->port.len, written);
	for (unsigned i = 0; i < written; i++)
		assert_int_equal(f->port.data[i], (uint8_t)i);
	/* And in order with what comes after. */
	out(f, THR, 0xee);
	assert_int_equal(f->port.data[written], 0xee);
}

static void a_port_that_takes_output_again_raises_the_interrupt(void **state)
{
	struct fixture *f = *state;

	f->port.room = 0;
	while (in(f, LSR) & 0x20)
		out(f, THR, 'x');
	out(f, IER, 0x02);
	assert_int_equal(raised(f), 0);
	f->port.room = 4096;
	f->port.port.front_ops->writable(f->port.port.front);
	assert_int_equal(raised(f), 1);
	assert_int_equal(in(f, IIR), 0x02);
}

static void output_beyond_a_full_buffer_is_dropped_not_overwritten(void **state)
{
	struct fixture *f = *state;

	f->port.room = 0;
	for (unsigned i = 0; i < SERIAL_OUTPUT_LEN + 100; i++)
		out(f, THR, i < SERIAL_OUTPUT_LEN ? 'a' : 'b');
	f->port.room = sizeof(f->port.data);
	f->port.port.front_ops->writable(f->port.port.front);
	assert_int_equal(f->port.len, SERIAL_OUTPUT_LEN);
	assert_null(memchr(f->port.data, 'b', f->port.len));
}

static void transmit_interrupt_comes_once_until_acknowledged(void **state)
{
	struct fixture *f = *state;

	out(f, IER, 0x02);
	assert_int_equal(raised(f), 1);
	for (unsigned i = 0; i < 16; i++)
		out(f, THR, 'x');
	assert_int_equal(raised(f), 0);
	assert_int_equal(in(f, IIR), 0x02);
	assert_int_equal(in(f, IIR), 0x01); /* reading acknowledged it */
	for (unsigned i = 0; i < 16; i++)
		out(f, THR, 'x');
	assert_int_equal(raised(f), 1);
	/* Disabling and enabling brings it anew: how Linux tests for it. */
	(void)in(f, IIR);
	out(f, IER, 0);
	out(f, IER, 0x02);
	assert_int_equal(raised(f), 1);
	assert_int_equal(in(f, IIR), 0x02);
}

static void input_is_read_in_order_and_raises_one_interrupt_a_burst(void **state)
{
	struct fixture *f = *state;

	out(f, FCR, 0x01);
	out(f, IER, 0x01);
	assert_int_equal(input(f, "abc"), 3);
	assert_int_equal(raised(f), 1);
	assert_int_equal(in(f, IIR), 0xc4); /* trigger level 1 */
	assert_true(in(f, LSR) & 0x01);
	assert_int_equal(in(f, RBR), 'a');
	assert_int_equal(in(f, RBR), 'b');
	assert_int_equal(in(f, RBR), 'c');
	assert_false(in(f, LSR) & 0x01);
	assert_int_equal(in(f, IIR), 0xc1);
	assert_int_equal(in(f, RBR), 0);
	assert_int_equal(input(f, "d"), 1);
	assert_int_equal(raised(f), 1);
}

static void input_below_the_trigger_level_shows_as_timeout(void **state)
{
	struct fixture *f = *state;

	out(f, FCR, 0x81); /* 8 bytes */
	out(f, IER, 0x01);
	input(f, "abc");
	assert_int_equal(in(f, IIR), 0xcc);
	input(f, "defgh");
	assert_int_equal(in(f, IIR), 0xc4);
}

static void input_beyond_the_fifo_is_refused_and_asked_for_when_read(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(input(f, "ab"), 1); /* no FIFO: one byte */
	assert_int_equal(f->port.input_ready, 0);
	assert_int_equal(in(f, RBR), 'a');
	assert_int_equal(f->port.input_ready, 1);
	out(f, FCR, 0x01);
	assert_int_equal(input(f, "0123456789abcdefgh"), 16);
	for (unsigned i = 0; i < 15; i++)
		(void)in(f, RBR);
	assert_int_equal(f->port.input_ready, 1);
	assert_int_equal(in(f, RBR), 'f');
	assert_int_equal(f->port.input_ready, 2);
	(void)in(f, RBR);
	assert_int_equal(f->port.input_ready, 2);
}

static void clearing_the_fifo_asks_for_refused_input(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(input(f, "ab"), 1);
	out(f, FCR, 0x03);
	assert_false(in(f, LSR) & 0x01);
	assert_int_equal(f->port.input_ready, 1);
}

static void loopback_turns_output_into_input_and_modem_lines_round(void **state)
{
	struct fixture *f = *state;

	out(f, MCR, 0x1a); /* loop, OUT2, RTS: what Linux probes with */
	assert_int_equal(in(f, MSR) & 0xf0, 0x90);
	out(f, THR, 'L');
	assert_int_equal(f->port.len, 0);
	assert_int_equal(in(f, RBR), 'L');
	assert_int_equal(input(f, "x"), 0); /* cut off from the line */
	out(f, MCR, 0x0b);
	assert_int_equal(f->port.input_ready, 1);
	assert_int_equal(in(f, MSR) & 0xf0, 0xb0);
}

static void overrun_in_loopback_is_reported_once(void **state)
{
	struct fixture *f = *state;

	out(f, IER, 0x04);
	out(f, MCR, 0x10);
	out(f, THR, '1');
	assert_int_equal(raised(f), 0);
	out(f, THR, '2');
	assert_int_equal(raised(f), 1);
	assert_int_equal(in(f, IIR), 0x06);
	assert_true(in(f, LSR) & 0x02);
	assert_false(in(f, LSR) & 0x02);
	assert_int_equal(in(f, RBR), '1');
}

static void modem_change_is_a_cause_until_msr_is_read(void **state)
{
	struct fixture *f = *state;

	out(f, IER, 0x08);
	out(f, MCR, 0x10); /* all lines fall */
	assert_int_equal(raised(f), 1);
	assert_int_equal(in(f, IIR), 0x00);
	assert_int_equal(in(f, MSR), 0x0b);
	assert_int_equal(in(f, IIR), 0x01);
	assert_int_equal(in(f, MSR), 0x00);
}

static void causes_show_by_priority(void **state)
{
	struct fixture *f = *state;

	out(f, IER, 0x0f);
	input(f, "a");
	assert_int_equal(in(f, IIR), 0x04);
	assert_int_equal(in(f, RBR), 'a');
	assert_int_equal(in(f, IIR), 0x02);
	assert_int_equal(in(f, IIR), 0x01);
}

static void divisor_takes_the_place_of_two_registers(void **state)
{
	struct fixture *f = *state;

	out(f, IER, 0x05);
	out(f, LCR, 0x83);
	assert_int_equal(in(f, 0) | in(f, 1) << 8, 12); /* 9600 */
	out(f, 0, 0x34);
	out(f, 1, 0x12);
	assert_int_equal(in(f, 0), 0x34);
	assert_int_equal(in(f, 1), 0x12);
	out(f, LCR, 0x03);
	assert_int_equal(in(f, LCR), 0x03);
	assert_int_equal(in(f, IER), 0x05);
	assert_int_equal(f->port.len, 0);
}

static void unimplemented_bits_read_as_zero_and_scratch_as_written(void **state)
{
	struct fixture *f = *state;

	out(f, IER, 0xff);
	assert_int_equal(in(f, IER), 0x0f);
	out(f, MCR, 0xff);
	assert_int_equal(in(f, MCR), 0x1f);
	out(f, SCR, 0x5a);
	assert_int_equal(in(f, SCR), 0x5a);
	out(f, LSR, 0xff);
	out(f, MSR, 0xff);
	assert_int_equal(in(f, LSR), 0x60);
}

static void reset_clears_registers_but_not_waiting_output(void **state)
{
	struct fixture *f = *state;

	f->port.room = 0;
	out(f, THR, 'o');
	input(f, "ab");
	out(f, IER, 0x0f);
	out(f, SCR, 1);
	serial_reset(&f->serial);
	assert_int_equal(in(f, IER), 0);
	assert_int_equal(in(f, SCR), 0);
	assert_false(in(f, LSR) & 0x01);
	assert_int_equal(f->port.input_ready, 1);
	f->port.room = 10;
	f->port.port.front_ops->writable(f->port.port.front);
	assert_int_equal(f->port.len, 1);
}

static void without_a_port_output_vanishes(void **state)
{
	struct irq_line none = IRQ_LINE_NONE;
	struct serial serial;

	(void)state;
	serial_init(&serial, &none, NULL);
	for (unsigned i = 0; i < 10000; i++)
		serial.bus.ops->write(&serial.bus, THR, 1, 'x');
	assert_int_equal(serial.bus.ops->read(&serial.bus, LSR, 1), 0x60);
	serial_fini(&serial);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(output_goes_to_the_port_at_once),
		TEST(a_stuck_port_clears_thre_and_loses_nothing),
		TEST(a_port_that_takes_output_again_raises_the_interrupt),
		TEST(output_beyond_a_full_buffer_is_dropped_not_overwritten),
		TEST(transmit_interrupt_comes_once_until_acknowledged),
		TEST(input_is_read_in_order_and_raises_one_interrupt_a_burst),
		TEST(input_below_the_trigger_level_shows_as_timeout),
		TEST(input_beyond_the_fifo_is_refused_and_asked_for_when_read),
		TEST(clearing_the_fifo_asks_for_refused_input),
		TEST(loopback_turns_output_into_input_and_modem_lines_round),
		TEST(overrun_in_loopback_is_reported_once),
		TEST(modem_change_is_a_cause_until_msr_is_read),
		TEST(causes_show_by_priority),
		TEST(divisor_takes_the_place_of_two_registers),
		TEST(unimplemented_bits_read_as_zero_and_scratch_as_written),
		TEST(reset_clears_registers_but_not_waiting_output),
		cmocka_unit_test(without_a_port_output_vanishes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
