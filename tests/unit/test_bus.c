/* The bus hands a device exactly the accesses that it declared, and nothing else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/eventfd.h>

#include <cmocka.h>

#include "vmm/bus.h"

struct fake {
	struct bus_device dev;
	uint64_t last_offset;
	uint64_t last_value;
	unsigned last_width;
	unsigned reads;
	unsigned writes;
};

static uint64_t fake_read(struct bus_device *dev, uint64_t offset, unsigned width)
{
	struct fake *fake = container_of(dev, struct fake, dev);

	fake->reads++;
	fake->last_offset = offset;
	fake->last_width = width;
	return 0x1122334455667788;
}

static void fake_write(struct bus_device *dev, uint64_t offset, unsigned width, uint64_t value)
{
	struct fake *fake = container_of(dev, struct fake, dev);

	fake->writes++;
	fake->last_offset = offset;
	fake->last_width = width;
	fake->last_value = value;
}

static const struct bus_device_ops fake_ops = { "fake", BUS_WIDTH_1 | BUS_WIDTH_4, fake_read,
						fake_write };

static int setup(void **state)
{
	struct bus *bus = malloc(sizeof(*bus));

	*state = bus;
	return bus_init(bus, NULL, NULL);
}

static int teardown(void **state)
{
	bus_fini(*state);
	free(*state);
	return 0;
}

static void bus_add_refuses_zero_length_wrap_and_overlap(void **state)
{
	struct bus *bus = *state;
	struct fake a = { .dev.ops = &fake_ops };

	assert_int_equal(bus_add(bus, 0x100, 0, &a.dev), -EINVAL);
	assert_int_equal(bus_add(bus, UINT64_MAX, 2, &a.dev), -EINVAL);
	assert_int_equal(bus_add(bus, 0x100, 0x10, &a.dev), 0);
	assert_int_equal(bus_add(bus, 0x10f, 1, &a.dev), -EEXIST);
	assert_int_equal(bus_add(bus, 0xff, 2, &a.dev), -EEXIST);
	assert_int_equal(bus_add(bus, 0x0, 0x1000, &a.dev), -EEXIST);
	assert_int_equal(bus_add(bus, 0x110, 1, &a.dev), 0);
	assert_int_equal(bus_add(bus, 0xff, 1, &a.dev), 0);
	assert_int_equal(bus_add(bus, UINT64_MAX, 1, &a.dev), 0);
}

static void bus_hands_over_only_declared_widths_fully_inside(void **state)
{
	struct bus *bus = *state;
	struct fake a = { .dev.ops = &fake_ops };
	uint8_t data[8];

	assert_int_equal(bus_add(bus, 0x1000, 8, &a.dev), 0);
	assert_true(bus_read(bus, 0x1004, 4, data));
	assert_int_equal(a.last_offset, 4);
	assert_memory_equal(data, "\x88\x77\x66\x55", 4);

	memset(data, 0, sizeof(data));
	assert_false(bus_read(bus, 0x1000, 2, data)); /* not declared */
	assert_memory_equal(data, "\xff\xff", 2);
	assert_false(bus_read(bus, 0x1006, 4, data)); /* across the end */
	assert_false(bus_read(bus, 0xffe, 4, data));  /* across the start */
	assert_false(bus_write(bus, 0x1008, 1, data));
	assert_false(bus_read(bus, UINT64_MAX, 8, data));
	assert_int_equal(a.reads, 1);
	assert_int_equal(a.writes, 0);
}

static void bus_unclaimed_read_is_all_ones(void **state)
{
	uint64_t data = 0;

	assert_false(bus_read(*state, 0x1234, 8, &data));
	assert_true(data == UINT64_MAX);
}

static void bus_removed_device_is_not_called_again(void **state)
{
	struct bus *bus = *state;
	struct fake a = { .dev.ops = &fake_ops }, b = { .dev.ops = &fake_ops };
	uint8_t data = 5;

	assert_int_equal(bus_add(bus, 0x10, 4, &a.dev), 0);
	bus_remove(bus, 0x10, &b.dev); /* another's: nothing happens */
	assert_true(bus_write(bus, 0x10, 1, &data));
	bus_remove(bus, 0x10, &a.dev);
	assert_false(bus_write(bus, 0x10, 1, &data));
	assert_int_equal(a.writes, 1);
}

static uint64_t rung(int fd)
{
	uint64_t value = 0;

	return read(fd, &value, sizeof(value)) == sizeof(value) ? value : 0;
}

static void doorbell_rings_instead_of_the_device_and_matches_its_value(void **state)
{
	struct bus *bus = *state;
	struct fake a = { .dev.ops = &fake_ops };
	int any = eventfd(0, EFD_NONBLOCK), two = eventfd(0, EFD_NONBLOCK);
	uint32_t data = 2;

	assert_int_equal(bus_add(bus, 0x100, 0x100, &a.dev), 0);
	assert_int_equal(bus_add_doorbell(bus, 0x120, 0, false, 0, any), 0);
	assert_int_equal(bus_add_doorbell(bus, 0x150, 4, true, 2, two), 0);
	assert_int_equal(bus_add_doorbell(bus, 0x150, 0, true, 2, two), -EINVAL);
	assert_true(bus_write(bus, 0x120, 1, &data));
	assert_true(bus_write(bus, 0x150, 4, &data));
	assert_int_equal(a.writes, 0);
	assert_int_equal(rung(any), 1);
	assert_int_equal(rung(two), 1);

	data = 3; /* no match: an ordinary write */
	assert_true(bus_write(bus, 0x150, 4, &data));
	assert_int_equal(a.writes, 1);
	assert_int_equal(rung(two), 0);

	bus_remove_doorbell(bus, 0x120, any);
	assert_true(bus_write(bus, 0x120, 4, &data));
	assert_int_equal(a.writes, 2);
	close(any);
	close(two);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(bus_add_refuses_zero_length_wrap_and_overlap, setup,
						teardown),
		cmocka_unit_test_setup_teardown(bus_hands_over_only_declared_widths_fully_inside,
						setup, teardown),
		cmocka_unit_test_setup_teardown(bus_unclaimed_read_is_all_ones, setup, teardown),
		cmocka_unit_test_setup_teardown(bus_removed_device_is_not_called_again, setup,
						teardown),
		cmocka_unit_test_setup_teardown(
			doorbell_rings_instead_of_the_device_and_matches_its_value, setup,
			teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
