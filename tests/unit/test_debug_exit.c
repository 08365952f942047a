/* A guest's status is reported as it is up to 119; the monitor's own codes cannot be forged. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "devices/debug_exit.h"

static void record(void *opaque, unsigned status)
{
	*(unsigned *)opaque = status;
}

static const struct debug_exit_ops ops = { record };

static void statuses_up_to_119_are_reported_and_larger_ones_become_119(void **state)
{
	struct debug_exit dev;
	unsigned status;

	(void)state;
	debug_exit_init(&dev, &ops, &status);
	for (unsigned value = 0; value < 256; value++) {
		status = 1000;
		dev.bus.ops->write(&dev.bus, 0, 1, value);
		assert_int_equal(status, value <= 119 ? value : 119);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(statuses_up_to_119_are_reported_and_larger_ones_become_119),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
