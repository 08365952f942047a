/*
 * See runner.h. Columns take turns within each run, and another one begins each time, so that what
 * the host does beside hits all alike. A column that fails a task twice is not tried for it again.
 */
#include "vmm/compare/runner.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>

#include "vmm/compare/child.h"
#include "vmm/compare/measure.h"
#include "vmm/compare/root.h"
#include "vmm/compare/server.h"
#include "vmm/log.h"

#define FAILURES_MAX 2
/* Who has stood still so often is not asked twice again: each time takes long. */
#define SILENCES_MAX 2
/* How often a run is taken again that the lab broke. */
#define RETAKES_MAX 2

struct runner {
	struct compare *compare;
	unsigned task_number;
	unsigned task_total;
	bool terminal;
	struct output output;
	unsigned failures[COMPARE_COLUMNS_MAX];
};

static bool task_wanted(const struct compare *compare, const struct compare_task *task)
{
	for (size_t i = 0; i < compare_row_count; i++)
		if (compare->selected[i] && compare_row_task(&compare_rows[i]) == task)
			return true;
	return false;
}

static void progress(const struct runner *runner, const struct compare_task *task,
		     const char *column, unsigned run, unsigned runs)
{
	if (runner->terminal)
		fprintf(stderr, "\r\033[K%u/%u %s: %s, run %u of %u", runner->task_number,
			runner->task_total, task->name, column, run + 1, runs);
	else if (runner->compare->verbose ||
		 (run == 0 && column == runner->compare->columns[0].name))
		fprintf(stderr, "vmm: %u/%u %s%s%s\n", runner->task_number, runner->task_total,
			task->name, runner->compare->verbose ? ": " : "",
			runner->compare->verbose ? column : "");
}

/* How often a task is run: what looks at many instances at once, or at what never changes, less. */
static unsigned runs_of(const struct compare *compare, const struct compare_task *task)
{
	switch (task->method) {
	case COMPARE_PROBE:
	case COMPARE_IMAGE:
	case COMPARE_NEVER:
		return 1;
	case COMPARE_IDLE:
	case COMPARE_RATE:
	case COMPARE_TOUCH:
	case COMPARE_FIO:
		return (compare->runs + 2) / 3;
	default:
		return compare->runs;
	}
}

static void set_reason(struct compare_cell *cell, const char *reason)
{
	free(cell->reason);
	cell->reason = compare_text("%s", reason);
}

/* Puts what a run of TASK found, or why it found nothing (REASON), into the rows' cells. */
static void keep(struct runner *runner, const struct compare_task *task, unsigned column,
		 unsigned run, const char *reason)
{
	struct compare *compare = runner->compare;

	for (size_t i = 0; i < compare_row_count; i++) {
		struct compare_cell *cell = &compare->cells[i][column];
		int at = output_find(&runner->output, compare_rows[i].key);

		if (!compare->selected[i] || compare_row_task(&compare_rows[i]) != task)
			continue;
		while (cell->value_count < run)
			cell->values[cell->value_count++] = NAN;
		if (at < 0) {
			set_reason(cell, reason ? reason : "the workload did not say");
			continue;
		}
		if (compare_rows[i].kind == COMPARE_TEXT) {
			free(cell->text);
			cell->text = compare_text("%s", runner->output.items[at].text);
			continue;
		}
		cell->values[cell->value_count++] = runner->output.items[at].value;
	}
}

/* The lab's emulated processor interrupts a guest now and then that has interrupts off, so that its
 * kernel panics or, where instructions are counted, spins: see tests/lab/README.md. */
static bool lab_broke(const struct compare *compare, const struct compare_column *column, int ret,
		      const char *reason)
{
	if (!compare->in_lab || ret >= 0 || ret == -EINTR)
		return false;
	/* Other monitors do not say what became of their guest. */
	if (column->is_peer && (ret == -EIO || ret == -EPIPE))
		return true;
	return (compare->icount && ret == -ETIMEDOUT) ||
	       (reason && strstr(reason, "kernel panicked"));
}

/* Measures, and again where the lab was to blame; the report says how often. */
static int measure(struct runner *runner, struct compare_column *column,
		   const struct compare_task *task, char **reason)
{
	struct compare *compare = runner->compare;
	int ret = compare_measure(compare, column, task, &runner->output, reason);

	for (unsigned n = 0; n < RETAKES_MAX && lab_broke(compare, column, ret, *reason); n++) {
		column->retaken++;
		free(*reason);
		ret = compare_measure(compare, column, task, &runner->output, reason);
	}
	return ret;
}

static int run_column(struct runner *runner, const struct compare_task *task, unsigned column,
		      unsigned run)
{
	struct compare *compare = runner->compare;
	struct compare_column *where = &compare->columns[column];
	char *reason = NULL;
	int ret;

	runner->output.count = 0;
	if (where->reason && task->method != COMPARE_IMAGE && task->method != COMPARE_NEVER) {
		runner->failures[column] = FAILURES_MAX;
		keep(runner, task, column, run, where->reason);
		return 0;
	}
	if (task->needs && !compare_root_has(compare, task->needs)) {
		reason = compare_text(
			"%s is not in the root: install it here, or in DIR of --rootfs",
			task->needs);
		ret = -ENOENT;
	} else {
		ret = measure(runner, where, task, &reason);
	}
	if (ret == -EINTR) {
		free(reason);
		return ret;
	}
	if (ret == -ETIMEDOUT)
		runner->failures[column] += where->silences++ < SILENCES_MAX ? 1 : FAILURES_MAX;
	else if (ret)
		runner->failures[column] += ret == -EIO || ret == -EPIPE ? 1 : FAILURES_MAX;
	keep(runner, task, column, run, reason);
	free(reason);
	return 0;
}

/*
 * In the lab, where a run takes as long as the machine below lets it, rows get fewer runs each when
 * a good part of the time for all is over: better than none for the last. N says so.
 */
static bool late(const struct compare *compare)
{
	static const unsigned limits_s[] = { 130, 400, 700 };

	return compare->in_lab && !compare->icount &&
	       child_now_ns() - compare->started_ns >
		       limits_s[compare->level] * UINT64_C(1000000000);
}

static int run_task(struct runner *runner, const struct compare_task *task)
{
	struct compare *compare = runner->compare;
	unsigned runs = runs_of(compare, task);

	memset(runner->failures, 0, sizeof(runner->failures));
	for (unsigned run = 0; run < runs && (run == 0 || !late(compare)); run++) {
		for (unsigned i = 0; i < compare->column_count; i++) {
			unsigned column = (i + run) % compare->column_count;
			int ret;

			if (compare_stop)
				return -EINTR;
			if (runner->failures[column] >= FAILURES_MAX)
				continue;
			progress(runner, task, compare->columns[column].name, run, runs);
			ret = run_column(runner, task, column, run);
			if (ret < 0)
				return ret;
		}
	}
	return 0;
}

/* Once in each column, unmeasured: images and caches are made, and a column that cannot be used
 * says so here. */
static int warm_up(struct runner *runner)
{
	static const struct compare_task task = { .name = "warm-up",
						  .method = COMPARE_LIFE,
						  .command = "vmm-load wait",
						  .timeout_s = 60 };
	/* Where instructions are counted, until the host's tables have the size that they keep. */
	unsigned rounds = runner->compare->icount ? 3 : 1;
	struct compare *compare = runner->compare;
	bool wanted = false;

	for (size_t i = 0; i < compare_task_count; i++)
		wanted |= compare_tasks[i].command && task_wanted(compare, &compare_tasks[i]);
	for (unsigned n = 0; wanted && n < rounds * compare->column_count; n++) {
		unsigned i = n % compare->column_count;
		char *reason = NULL;
		int ret;

		if (compare->columns[i].reason)
			continue;
		progress(runner, &task, compare->columns[i].name, 0, 1);
		ret = measure(runner, &compare->columns[i], &task, &reason);
		if (ret == -EINTR) {
			free(reason);
			return ret;
		}
		if (ret)
			compare->columns[i].reason = reason;
		else
			free(reason);
	}
	return 0;
}

static void mark_unfinished(struct compare *compare, const struct compare_task *from)
{
	bool reached = false;

	for (size_t i = 0; i < compare_task_count; i++) {
		reached |= &compare_tasks[i] == from;
		for (size_t row = 0; reached && row < compare_row_count; row++)
			if (compare_row_task(&compare_rows[row]) == &compare_tasks[i])
				compare->unfinished[row] = compare->selected[row];
	}
}

int compare_run(struct compare *compare)
{
	struct runner runner = { .compare = compare, .terminal = isatty(STDERR_FILENO) };
	struct server server;
	int ret;

	/* Processes that a tool leaves behind are still counted as its own. */
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	for (size_t i = 0; i < compare_task_count; i++)
		runner.task_total += task_wanted(compare, &compare_tasks[i]);
	compare->started_ns = child_now_ns();
	ret = server_start(&server, compare);
	if (!ret)
		ret = warm_up(&runner);
	for (size_t i = 0; i < compare_task_count; i++) {
		if (!task_wanted(compare, &compare_tasks[i]))
			continue;
		runner.task_number++;
		if (ret != -EINTR)
			ret = run_task(&runner, &compare_tasks[i]);
		if (ret == -EINTR && !compare->interrupted) {
			compare->interrupted = true;
			mark_unfinished(compare, &compare_tasks[i]);
		}
	}
	for (unsigned i = 0; i < compare->column_count; i++)
		if (compare->columns[i].retaken)
			compare_fact(compare, "runs taken again",
				     "%u as %s: the guest's kernel panicked there, or stood still",
				     compare->columns[i].retaken, compare->columns[i].name);
	server_stop(&server, compare);
	if (runner.terminal)
		fputs("\r\033[K", stderr);
	compare->took_ns = child_now_ns() - compare->started_ns;
	return 0;
}
