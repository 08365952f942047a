/* Power-off, reset and the power button reach who asked for them, and nothing else does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/eventfd.h>

#include <cmocka.h>

#include "devices/power.h"

struct fixture {
	struct power power;
	struct irq_line irq;
	unsigned offs;
	unsigned resets;
};

static void count_off(void *opaque)
{
	((struct fixture *)opaque)->offs++;
}

static void count_reset(void *opaque)
{
	((struct fixture *)opaque)->resets++;
}

static const struct power_ops ops = { count_off, count_reset };

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->irq = (struct irq_line){ .fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK) };
	power_init(&f->power, &f->irq, &ops, f);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	power_fini(&f->power);
	close(f->irq.fd);
	free(f);
	return 0;
}

static uint64_t in(struct fixture *f, uint64_t reg)
{
	return f->power.bus.ops->read(&f->power.bus, reg, 1);
}

static void out(struct fixture *f, uint64_t reg, uint64_t value)
{
	f->power.bus.ops->write(&f->power.bus, reg, 1, value);
}

static void sleep_type_5_with_enable_powers_off(void **state)
{
	struct fixture *f = *state;

	out(f, POWER_REG_SLEEP_CONTROL, 5 << 2 | 0x20);
	assert_int_equal(f->offs, 1);
	assert_int_equal(in(f, POWER_REG_SLEEP_CONTROL), 5 << 2); /* enable is write-only */
}

static void other_sleep_types_and_no_enable_do_nothing(void **state)
{
	struct fixture *f = *state;

	for (unsigned value = 0; value < 256; value++)
		if (!(value & 0x20) || (value >> 2 & 7) != 5)
			out(f, POWER_REG_SLEEP_CONTROL, value);
	out(f, POWER_REG_SLEEP_STATUS, 0xff);
	assert_int_equal(f->offs, 0);
	assert_int_equal(in(f, POWER_REG_SLEEP_STATUS), 0);
}

static void only_the_reset_value_resets(void **state)
{
	struct fixture *f = *state;

	for (unsigned value = 0; value < 256; value++)
		out(f, POWER_REG_RESET, value);
	assert_int_equal(f->resets, 1);
}

static void button_raises_the_interrupt_and_is_read_once(void **state)
{
	struct fixture *f = *state;
	uint64_t count;

	assert_int_equal(in(f, POWER_REG_EVENT), 0);
	power_button_press(&f->power);
	assert_int_equal(read(f->irq.fd, &count, sizeof(count)), sizeof(count));
	assert_int_equal(in(f, POWER_REG_EVENT), POWER_EVENT_BUTTON);
	assert_int_equal(in(f, POWER_REG_EVENT), 0);
}

static void reset_forgets_a_pressed_button(void **state)
{
	struct fixture *f = *state;

	power_button_press(&f->power);
	power_reset(&f->power);
	assert_int_equal(in(f, POWER_REG_EVENT), 0);
}

static void unused_registers_read_as_zero(void **state)
{
	struct fixture *f = *state;

	out(f, 3, 0xff);
	out(f, 7, 0xff);
	assert_int_equal(in(f, 3) | in(f, 7) | in(f, POWER_REG_RESET), 0);
	assert_int_equal(f->offs + f->resets, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(sleep_type_5_with_enable_powers_off),
		TEST(other_sleep_types_and_no_enable_do_nothing),
		TEST(only_the_reset_value_resets),
		TEST(button_raises_the_interrupt_and_is_read_once),
		TEST(reset_forgets_a_pressed_button),
		TEST(unused_registers_read_as_zero),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
