/* The clock tells the host's time in every format that a guest may choose, and cannot be moved. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "devices/rtc.h"

static struct timespec fake_time;

static void fake_now(struct timespec *now)
{
	*now = fake_time;
}

static int setup(void **state)
{
	struct rtc *rtc = calloc(1, sizeof(*rtc));

	rtc_init(rtc);
	rtc->now = fake_now;
	/* Thursday 2024-02-29 23:58:07 UTC */
	fake_time = (struct timespec){ .tv_sec = 1709251087, .tv_nsec = 500000000 };
	*state = rtc;
	return 0;
}

static int teardown(void **state)
{
	rtc_fini(*state);
	free(*state);
	return 0;
}

static uint8_t get(struct rtc *rtc, unsigned reg)
{
	rtc->bus.ops->write(&rtc->bus, 0, 1, reg);
	return (uint8_t)rtc->bus.ops->read(&rtc->bus, 1, 1);
}

static void set(struct rtc *rtc, unsigned reg, unsigned value)
{
	rtc->bus.ops->write(&rtc->bus, 0, 1, reg);
	rtc->bus.ops->write(&rtc->bus, 1, 1, value);
}

static void time_reads_as_bcd_of_24_hours_at_first(void **state)
{
	struct rtc *rtc = *state;

	assert_int_equal(get(rtc, 0x00), 0x07);
	assert_int_equal(get(rtc, 0x02), 0x58);
	assert_int_equal(get(rtc, 0x04), 0x23);
	assert_int_equal(get(rtc, 0x06), 5);
	assert_int_equal(get(rtc, 0x07), 0x29);
	assert_int_equal(get(rtc, 0x08), 0x02);
	assert_int_equal(get(rtc, 0x09), 0x24);
	assert_int_equal(get(rtc, 0x32), 0x20);
	assert_int_equal(get(rtc, 0x0d), 0x80);
}

static void binary_mode_reads_as_binary(void **state)
{
	struct rtc *rtc = *state;

	set(rtc, 0x0b, 0x06);
	assert_int_equal(get(rtc, 0x02), 58);
	assert_int_equal(get(rtc, 0x04), 23);
	assert_int_equal(get(rtc, 0x07), 29);
	assert_int_equal(get(rtc, 0x32), 20);
}

static void twelve_hour_mode_marks_the_afternoon(void **state)
{
	struct rtc *rtc = *state;

	set(rtc, 0x0b, 0x04);
	assert_int_equal(get(rtc, 0x04), 0x80 | 11);
	fake_time.tv_sec += 3600; /* half past midnight */
	assert_int_equal(get(rtc, 0x04), 12);
	fake_time.tv_sec += 12 * 3600;
	assert_int_equal(get(rtc, 0x04), 0x80 | 12);
	set(rtc, 0x0b, 0x00);
	assert_int_equal(get(rtc, 0x04), 0x80 | 0x12);
}

static void update_flag_shows_before_the_second_turns_unless_set_stops_it(void **state)
{
	struct rtc *rtc = *state;

	assert_int_equal(get(rtc, 0x0a) & 0x80, 0);
	fake_time.tv_nsec = 999800000;
	assert_int_equal(get(rtc, 0x0a) & 0x80, 0x80);
	set(rtc, 0x0b, 0x82);
	assert_int_equal(get(rtc, 0x0a) & 0x80, 0);
}

static void writes_to_the_time_are_dropped_and_to_the_ram_are_kept(void **state)
{
	struct rtc *rtc = *state;

	set(rtc, 0x00, 0x33);
	set(rtc, 0x09, 0x70);
	set(rtc, 0x32, 0x19);
	set(rtc, 0x0c, 0xff);
	set(rtc, 0x0d, 0x00);
	set(rtc, 0x40, 0x5a);
	set(rtc, 0x05, 0x11); /* an alarm is storage */
	assert_int_equal(get(rtc, 0x00), 0x07);
	assert_int_equal(get(rtc, 0x09), 0x24);
	assert_int_equal(get(rtc, 0x32), 0x20);
	assert_int_equal(get(rtc, 0x0c), 0x00);
	assert_int_equal(get(rtc, 0x0d), 0x80);
	assert_int_equal(get(rtc, 0x40), 0x5a);
	assert_int_equal(get(rtc, 0x05), 0x11);
}

static void the_nmi_bit_of_the_index_selects_nothing(void **state)
{
	struct rtc *rtc = *state;

	set(rtc, 0xff, 0x77);
	assert_int_equal(get(rtc, 0x7f), 0x77);
	assert_int_equal(rtc->bus.ops->read(&rtc->bus, 0, 1), 0xff);
}

static void reset_keeps_the_ram_and_disables_interrupts(void **state)
{
	struct rtc *rtc = *state;

	set(rtc, 0x40, 0x5a);
	set(rtc, 0x0b, 0x76);
	rtc_reset(rtc);
	assert_int_equal(get(rtc, 0x40), 0x5a);
	assert_int_equal(get(rtc, 0x0b), 0x06);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(time_reads_as_bcd_of_24_hours_at_first),
		TEST(binary_mode_reads_as_binary),
		TEST(twelve_hour_mode_marks_the_afternoon),
		TEST(update_flag_shows_before_the_second_turns_unless_set_stops_it),
		TEST(writes_to_the_time_are_dropped_and_to_the_ram_are_kept),
		TEST(the_nmi_bit_of_the_index_selects_nothing),
		TEST(reset_keeps_the_ram_and_disables_interrupts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
