/* The keyboard controller resets the machine on command and lets a driver give up soon. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "devices/i8042.h"

static void count(void *opaque)
{
	(*(unsigned *)opaque)++;
}

static const struct i8042_ops ops = { count };

static void only_pulsing_line_0_resets(void **state)
{
	unsigned resets = 0;
	struct i8042 dev;

	(void)state;
	i8042_init(&dev, &ops, &resets);
	dev.command.ops->write(&dev.command, 0, 1, 0xfe);
	assert_int_equal(resets, 1);
	for (unsigned value = 0; value < 256; value++)
		if (value < 0xf0 || value & 1)
			dev.command.ops->write(&dev.command, 0, 1, value);
	assert_int_equal(resets, 1);
}

static void status_says_output_waiting_and_input_free(void **state)
{
	struct i8042 dev;

	(void)state;
	i8042_init(&dev, &ops, NULL);
	for (unsigned i = 0; i < 100; i++) {
		assert_int_equal(dev.command.ops->read(&dev.command, 0, 1), 0x01);
		assert_int_equal(dev.data.ops->read(&dev.data, 0, 1), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_pulsing_line_0_resets),
		cmocka_unit_test(status_says_output_waiting_and_input_free),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
