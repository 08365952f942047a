/* A panic is reported with what the guest said about it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "devices/pvpanic.h"

struct seen {
	unsigned calls;
	unsigned events;
};

static void record(void *opaque, unsigned events)
{
	struct seen *seen = opaque;

	seen->calls++;
	seen->events = events;
}

static const struct pvpanic_ops ops = { record };

static void reading_tells_which_events_are_known(void **state)
{
	struct pvpanic dev;

	(void)state;
	pvpanic_init(&dev, &ops, NULL);
	assert_int_equal(dev.bus.ops->read(&dev.bus, 0, 1), 0x03);
}

static void known_events_are_reported_and_unknown_ones_left_out(void **state)
{
	struct seen seen = { 0 };
	struct pvpanic dev;

	(void)state;
	pvpanic_init(&dev, &ops, &seen);
	dev.bus.ops->write(&dev.bus, 0, 1, 0xfc);
	assert_int_equal(seen.calls, 0);
	dev.bus.ops->write(&dev.bus, 0, 1, 0x01);
	assert_int_equal(seen.events, PVPANIC_PANICKED);
	dev.bus.ops->write(&dev.bus, 0, 1, 0x82);
	assert_int_equal(seen.events, PVPANIC_CRASH_LOADED);
	assert_int_equal(seen.calls, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reading_tells_which_events_are_known),
		cmocka_unit_test(known_events_are_reported_and_unknown_ones_left_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
