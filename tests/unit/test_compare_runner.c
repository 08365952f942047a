/* Runs that the lab's emulator broke are taken again, and counted, for each column by itself. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "vmm/compare/measure.h"
#include "vmm/compare/runner.h"
#include "vmm/compare/server.h"

#define RUNS 3

static struct compare *compare;

/* How the next measurements of a column end; 0 from then on. */
struct column_plan {
	int results[8];
	const char *reason; /* of those that fail */
	unsigned count;	    /* measured so far */
};

static struct column_plan plans[3];

/* These take the place of what measures and serves. */
int compare_measure(struct compare *of, const struct compare_column *column,
		    const struct compare_task *task, struct output *output, char **reason)
{
	struct column_plan *plan = &plans[column - of->columns];
	int ret;

	/* What is warmed up with is no row's. */
	if (strcmp(task->name, "warm-up") == 0)
		return 0;
	ret = plan->count < ARRAY_SIZE(plan->results) ? plan->results[plan->count] : 0;
	plan->count++;
	*reason = NULL;
	if (ret == 0)
		output_add(output, "stop", plan->count, "");
	else if (plan->reason)
		*reason = compare_text("%s", plan->reason);
	return ret;
}

int server_start(struct server *server, struct compare *of)
{
	(void)server;
	(void)of;
	return 0;
}

void server_stop(struct server *server, struct compare *of)
{
	(void)server;
	(void)of;
}

static size_t find_row(const char *name)
{
	for (size_t i = 0; i < compare_row_count; i++) {
		if (strcmp(compare_rows[i].name, name) == 0)
			return i;
	}
	fail_msg("no row %s", name);
	return 0;
}

static int setup(void **state)
{
	(void)state;
	compare = calloc(1, sizeof(*compare));
	memset(plans, 0, sizeof(plans));
	compare->runs = RUNS;
	compare->in_lab = true;
	compare->selected[find_row("stop")] = true;
	compare->column_count = ARRAY_SIZE(plans);
	compare->columns[0].name = "machine";
	compare->columns[1].name = "container";
	compare->columns[2].name = "qemu";
	compare->columns[2].is_peer = true;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	compare_fini(compare);
	free(compare);
	return 0;
}

/* Whether the report has that line among those of runs taken again. */
static bool report_has(const char *text)
{
	for (unsigned i = 0; i < compare->fact_count; i++) {
		if (strcmp(compare->facts[i].name, "runs taken again") == 0 &&
		    strncmp(compare->facts[i].value, text, strlen(text)) == 0)
			return true;
	}
	return false;
}

static const struct compare_cell *cell_of(unsigned column)
{
	return &compare->cells[find_row("stop")][column];
}

static void broken_runs_are_taken_again_and_counted_by_column(void **state)
{
	(void)state;
	plans[0] = (struct column_plan){ .results = { -EIO, 0, -EIO },
					 .reason = "the guest's kernel panicked; its last line" };
	plans[2].results[1] = -EPIPE; /* whatever it says */
	plans[2].reason = "ended with status 1 and no word";
	assert_int_equal(compare_run(compare), 0);
	assert_int_equal(compare->columns[0].retaken, 2);
	assert_int_equal(compare->columns[1].retaken, 0);
	assert_int_equal(compare->columns[2].retaken, 1);
	assert_true(report_has("2 as machine"));
	assert_true(report_has("1 as qemu"));
	assert_int_equal(compare->fact_count, 2);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(cell_of(i)->value_count, RUNS);
		assert_null(cell_of(i)->reason);
		for (unsigned run = 0; run < RUNS; run++)
			assert_true(cell_of(i)->values[run] > 0);
	}
	assert_int_equal(plans[0].count, RUNS + 2);
	assert_int_equal(plans[2].count, RUNS + 1);
}

static void what_breaks_again_and_again_has_failed(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(plans[2].results); i++)
		plans[2].results[i] = -EIO;
	plans[2].reason = "ended";
	assert_int_equal(compare_run(compare), 0);
	/* Each of the two runs that are tried is taken three times. */
	assert_int_equal(plans[2].count, 6);
	assert_int_equal(compare->columns[2].retaken, 4);
	assert_string_equal(cell_of(2)->reason, "ended");
	assert_int_equal(plans[1].count, RUNS);
}

static void what_the_lab_did_not_break_stays_as_it_was(void **state)
{
	(void)state;
	plans[0] = (struct column_plan){ .results = { -EIO }, .reason = "no such thing" };
	plans[2] = (struct column_plan){ .results = { -ENOENT }, .reason = "not installed" };
	assert_int_equal(compare_run(compare), 0);
	assert_int_equal(compare->columns[0].retaken, 0);
	assert_int_equal(compare->columns[2].retaken, 0);
	assert_int_equal(compare->fact_count, 0);
	assert_false(cell_of(0)->values[0] > 0);
	assert_int_equal(plans[2].count, 1);
}

static void elsewhere_nothing_is_taken_again(void **state)
{
	(void)state;
	compare->in_lab = false;
	plans[0] = (struct column_plan){ .results = { -EIO },
					 .reason = "the guest's kernel panicked" };
	plans[2] = (struct column_plan){ .results = { -EIO }, .reason = "ended" };
	assert_int_equal(compare_run(compare), 0);
	assert_int_equal(compare->columns[0].retaken + compare->columns[2].retaken, 0);
	assert_int_equal(plans[0].count, RUNS);
}

/* Where the clock does not say who hangs. */
static void who_spins_is_asked_again_where_instructions_count(void **state)
{
	(void)state;
	compare->icount = true;
	plans[1] = (struct column_plan){ .results = { -ETIMEDOUT }, .reason = "stood still" };
	assert_int_equal(compare_run(compare), 0);
	assert_int_equal(compare->columns[1].retaken, 1);
	assert_int_equal(compare->columns[1].silences, 0);
	assert_true(report_has("1 as container"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(broken_runs_are_taken_again_and_counted_by_column),
		TEST(what_breaks_again_and_again_has_failed),
		TEST(what_the_lab_did_not_break_stays_as_it_was),
		TEST(elsewhere_nothing_is_taken_again),
		TEST(who_spins_is_asked_again_where_instructions_count),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
