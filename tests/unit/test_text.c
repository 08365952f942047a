/*
 * Text without stdio. Each name says what must happen.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "vmm/guest/text.h"

static void strings_are_joined(void **state)
{
	char out[16];

	(void)state;
	assert_int_equal(text_join(out, sizeof(out), "a", "", "bc"), 3);
	assert_string_equal(out, "abc");
	assert_int_equal(text_join(out, sizeof(out), ""), 0);
	assert_string_equal(out, "");
}

static void what_does_not_fit_is_cut_off_and_its_length_told(void **state)
{
	char out[8] = "......";

	(void)state;
	assert_int_equal(text_join(out, 4, "ab", "cd", "ef"), 6);
	assert_string_equal(out, "abc");
	assert_int_equal(out[4], '.');
	assert_int_equal(text_join(out, 4, "abcd"), 4);
	assert_string_equal(out, "abc");
	assert_int_equal(text_join(out, 1, "ab"), 2);
	assert_string_equal(out, "");
	out[0] = 'x';
	assert_int_equal(text_join(out, 0, "ab"), 2);
	assert_int_equal(out[0], 'x');
}

static void numbers_are_written(void **state)
{
	char out[TEXT_NUMBER_MAX];

	(void)state;
	assert_string_equal(text_number(out, 0), "0");
	assert_string_equal(text_number(out, 10), "10");
	assert_string_equal(text_number(out, UINT64_MAX), "18446744073709551615");
}

static void numbers_are_read_to_their_end(void **state)
{
	const char *at = "18446744073709551615:7";
	uint64_t number;

	(void)state;
	assert_true(text_read_number(&at, &number));
	assert_true(number == UINT64_MAX);
	assert_string_equal(at, ":7");
}

static void what_is_no_number_is_refused_and_stays(void **state)
{
	static const char *const wrong[] = {
		"", "x1", "-1", " 1", "18446744073709551616", "99999999999999999999999"
	};

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		const char *at = wrong[i];
		uint64_t number;

		assert_false(text_read_number(&at, &number));
		assert_ptr_equal(at, wrong[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(strings_are_joined),
		cmocka_unit_test(what_does_not_fit_is_cut_off_and_its_length_told),
		cmocka_unit_test(numbers_are_written),
		cmocka_unit_test(numbers_are_read_to_their_end),
		cmocka_unit_test(what_is_no_number_is_refused_and_stays),
	};

	return cmocka_run_group_tests_name("text", tests, NULL, NULL);
}
