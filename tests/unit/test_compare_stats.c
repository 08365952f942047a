/* Statistics, claims and what is shown of a comparison; rows as data; words of --rows. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "vmm/compare/command.h"
#include "vmm/compare/report.h"
#include "vmm/compare/select.h"
#include "vmm/compare/stats.h"

static bool near(double a, double b)
{
	return fabs(a - b) < 1e-9 * fmax(1, fabs(b));
}

static void median_and_spread_stand_in_the_middle(void **state)
{
	const double values[] = { 9, 1, 2, 100, 3 };
	struct stats stats = stats_of(values, 5);

	(void)state;
	assert_int_equal(stats.count, 5);
	assert_true(near(stats.median, 3));
	assert_true(near(stats.spread, 2));
	assert_true(near(stats.low, 2));
	assert_true(near(stats.high, 9));
	assert_true(near(stats.min, 1));
	assert_true(near(stats.max, 100));
}

static void even_counts_take_the_mean_of_the_two(void **state)
{
	const double values[] = { 4, 1, 3, 2 };

	(void)state;
	assert_true(near(stats_of(values, 4).median, 2.5));
	assert_true(near(stats_of(values, 4).low, 1.75));
}

static void failed_runs_do_not_count(void **state)
{
	const double values[] = { NAN, 5, INFINITY, 7 }, none[] = { NAN };

	(void)state;
	assert_int_equal(stats_of(values, 4).count, 2);
	assert_true(near(stats_of(values, 4).median, 6));
	assert_int_equal(stats_of(none, 1).count, 0);
	assert_int_equal(stats_of(NULL, 0).count, 0);
}

static void ratio_is_of_the_same_run(void **state)
{
	struct compare_cell left = { .values = { 10, 40, NAN, 90 }, .value_count = 4 };
	struct compare_cell right = { .values = { 5, 10, 3 }, .value_count = 3 };
	struct compare_cell none = { .value_count = 0 };

	(void)state;
	assert_true(near(stats_ratio(&left, &right), 3));
	assert_true(isnan(stats_ratio(&left, &none)));
}

static void slope_is_of_the_nearest_line(void **state)
{
	const double x[] = { 1, 10, 50 }, y[] = { 7, 25, 105 }, same[] = { 2, 2, 2 };

	(void)state;
	assert_true(near(stats_slope(x, y, 3), 2));
	assert_true(isnan(stats_slope(same, y, 3)));
	assert_true(isnan(stats_slope(x, y, 0)));
}

static int row_named(const char *name)
{
	for (size_t i = 0; i < compare_row_count; i++)
		if (strcmp(compare_rows[i].name, name) == 0)
			return (int)i;
	fail_msg("no row %s", name);
	return -1;
}

static struct compare *make(void)
{
	struct compare *compare = calloc(1, sizeof(*compare));

	assert_non_null(compare);
	assert_int_equal(compare_add_column(compare, "machine"), 0);
	assert_int_equal(compare_add_column(compare, "container"), 0);
	assert_int_equal(compare_add_column(compare, "host"), 0);
	return compare;
}

static void drop(struct compare *compare)
{
	compare_fini(compare);
	free(compare);
}

static void put(struct compare *compare, int row, unsigned column, double value)
{
	struct compare_cell *cell = &compare->cells[row][column];

	cell->values[cell->value_count++] = value;
}

static void claim_holds_fails_or_has_no_figure(void **state)
{
	struct compare *compare = make();
	int start = row_named("start"), compress = row_named("cpu.compress");
	double ratio;

	(void)state;
	assert_string_equal(report_verdict(compare, (unsigned)start, &ratio), "no figure");
	put(compare, start, 0, 150e6);
	put(compare, start, 1, 100e6);
	assert_string_equal(report_verdict(compare, (unsigned)start, &ratio), "holds");
	assert_true(near(ratio, 1.5));
	compare->cells[start][1].values[0] = 101e6;
	assert_string_equal(report_verdict(compare, (unsigned)start, &ratio), "does not hold");
	put(compare, compress, 0, 82);
	put(compare, compress, 2, 100);
	assert_string_equal(report_verdict(compare, (unsigned)compress, &ratio), "holds");
	compare->cells[compress][0].values[0] = 67;
	assert_string_equal(report_verdict(compare, (unsigned)compress, &ratio), "does not hold");
	assert_null(report_verdict(compare, (unsigned)row_named("stop"), &ratio));
	drop(compare);
}

static void instructions_take_the_place_of_time(void **state)
{
	struct compare *compare = make();
	unsigned start = (unsigned)row_named("start"), copy = (unsigned)row_named("memory.copy");
	char room[48];

	(void)state;
	put(compare, (int)copy, 0, 2e9);
	put(compare, (int)copy, 2, 4e9);
	assert_string_equal(report_unit(compare, start, room, sizeof(room)), "ms");
	assert_true(near(report_shown(compare, start, 40e6), 40));
	assert_true(near(report_ratio(compare, copy, 0), 0.5));
	compare->icount = true;
	assert_string_equal(report_unit(compare, start, room, sizeof(room)), "M instr.");
	assert_true(near(report_shown(compare, start, 40e6), 20));
	assert_string_equal(report_unit(compare, copy, room, sizeof(room)), "instr./MiB");
	assert_int_equal(report_better(compare, copy), COMPARE_LESS);
	assert_true(near(report_shown(compare, copy, 1048576), 0.5e9));
	/* Half the speed is twice the work. */
	assert_true(near(report_ratio(compare, copy, 0), 2));
	drop(compare);
}

static void numbers_keep_three_digits(void **state)
{
	static const struct {
		double value;
		const char *text;
	} cases[] = { { 0, "0" },	    { 0.0123, "0.0123" }, { 1.234, "1.23" },
		      { 12.34, "12.3" },    { 123.4, "123" },	  { 9999, "9999" },
		      { 12345, "12.3k" },   { 1.5e6, "1.50M" },	  { 2.5e10, "25.0G" },
		      { -3.14159, "-3.14" } };
	char room[16];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_string_equal(report_number(cases[i].value, room, sizeof(room)),
				    cases[i].text);
}

static void every_row_is_complete(void **state)
{
	(void)state;
	assert_true(compare_row_count <= COMPARE_ROWS_MAX);
	for (size_t i = 0; i < compare_row_count; i++) {
		const struct compare_row *row = &compare_rows[i];
		const struct compare_task *task = compare_row_task(row);

		assert_non_null(task);
		assert_true(row->name && row->title && row->unit && row->key && row->scale > 0);
		assert_true(row->timed && strlen(row->timed) > 9);
		assert_true(task->method == COMPARE_IMAGE || task->method == COMPARE_NEVER ||
			    (task->command && task->timeout_s));
		if (row->kind == COMPARE_SPEED)
			assert_true(row->per && row->per_scale > 0);
		if (row->claim.text)
			assert_true(row->claim.source && row->claim.left && row->claim.right &&
				    row->claim.low + row->claim.high > 0);
		for (size_t other = 0; other < i; other++)
			assert_string_not_equal(row->name, compare_rows[other].name);
	}
}

static unsigned selected(const struct compare *compare)
{
	unsigned count = 0;

	for (size_t i = 0; i < compare_row_count; i++)
		count += compare->selected[i];
	return count;
}

static void rows_are_chosen_by_name_and_group(void **state)
{
	struct compare *compare = make();
	const char *nearest;
	char word[64];

	(void)state;
	assert_int_equal(compare_select(compare, "start,disk.volume", word, &nearest), 0);
	assert_true(compare->selected[row_named("start")]);
	assert_true(compare->selected[row_named("disk.volume.fsync")]);
	assert_false(compare->selected[row_named("disk.raw.fsync")]);
	assert_int_equal(compare_select(compare, "stop", word, &nearest), 0);
	assert_int_equal(selected(compare), 1);
	assert_int_equal(compare_select(compare, "all", word, &nearest), 0);
	assert_int_equal(selected(compare), compare_row_count);
	drop(compare);
}

static void unknown_rows_are_refused(void **state)
{
	static const char *const bad[] = { "", "strat", "start,", ",start", "disk.", "star", "al" };
	struct compare *compare = make();
	const char *nearest;
	char word[64];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(compare_select(compare, bad[i], word, &nearest), -EINVAL);
	assert_int_equal(compare_select(compare, "strat", word, &nearest), -EINVAL);
	assert_string_equal(nearest, "start");
	drop(compare);
}

static void each_level_holds_the_one_below(void **state)
{
	struct compare *compare = make();
	unsigned counts[3];

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		compare->level = i;
		compare_select_level(compare);
		counts[i] = selected(compare);
	}
	assert_true(counts[0] > 20 && counts[0] < counts[1] && counts[1] < counts[2]);
	assert_int_equal(counts[2], compare_row_count);
	drop(compare);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(median_and_spread_stand_in_the_middle),
		cmocka_unit_test(even_counts_take_the_mean_of_the_two),
		cmocka_unit_test(failed_runs_do_not_count),
		cmocka_unit_test(ratio_is_of_the_same_run),
		cmocka_unit_test(slope_is_of_the_nearest_line),
		cmocka_unit_test(claim_holds_fails_or_has_no_figure),
		cmocka_unit_test(instructions_take_the_place_of_time),
		cmocka_unit_test(numbers_keep_three_digits),
		cmocka_unit_test(every_row_is_complete),
		cmocka_unit_test(rows_are_chosen_by_name_and_group),
		cmocka_unit_test(unknown_rows_are_refused),
		cmocka_unit_test(each_level_holds_the_one_below),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
