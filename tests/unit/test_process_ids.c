/*
 * Ranges of subordinate ids. Each name says what must happen.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "vmm/boundary/process_ids.h"

static bool parse(const char *text, struct process_id_range *range)
{
	return process_ids_parse(text, strlen(text), "ann", 1000, range);
}

static void the_first_range_of_a_name_is_found(void **state)
{
	struct process_id_range range;

	(void)state;
	assert_true(parse("bob:1:2\nanna:5:6\nann:100000:65536\nann:7:8\n", &range));
	assert_int_equal(range.first, 100000);
	assert_int_equal(range.count, 65536);
}

static void a_number_stands_for_a_name(void **state)
{
	struct process_id_range range;

	(void)state;
	assert_true(parse("10000:1:1\n1000:300000:10", &range));
	assert_int_equal(range.first, 300000);
	assert_int_equal(range.count, 10);
}

static void a_bad_line_grants_nothing(void **state)
{
	static const char *const lines[] = { "",
					     "ann",
					     "ann:",
					     "ann:5",
					     "ann:5:",
					     "ann::5",
					     "ann:5:x",
					     "ann:-5:5",
					     "ann:0:5",
					     "ann:5:0",
					     "ann:4294967295:1",
					     "ann:99999999999:1",
					     "ann:5:6:7",
					     ":5:6",
					     "bob:5:6" };
	struct process_id_range range;

	(void)state;
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		if (parse(lines[i], &range))
			fail_msg("accepted %s", lines[i]);
		assert_int_equal(range.count, 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_first_range_of_a_name_is_found),
		cmocka_unit_test(a_number_stands_for_a_name),
		cmocka_unit_test(a_bad_line_grants_nothing),
	};

	return cmocka_run_group_tests_name("process_ids", tests, NULL, NULL);
}
