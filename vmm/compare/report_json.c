/* The JSON report, to compare.schema.json: see report.h. */
#include "vmm/compare/report.h"

#include <jansson.h>
#include <math.h>
#include <string.h>

#include "vmm/log.h"

static json_t *number_or_null(double value)
{
	return isfinite(value) ? json_real(value) : json_null();
}

static json_t *text_or_null(const char *text)
{
	json_t *json = text ? json_string(text) : json_null();

	/* What is not UTF-8 is not told. */
	return json ? json : json_null();
}

static json_t *cell_to_json(const struct compare *compare, unsigned row, unsigned column)
{
	const struct compare_cell *cell = &compare->cells[row][column];
	struct stats stats = report_stats(compare, row, column);
	json_t *values = json_array(), *json = json_object();

	for (unsigned i = 0; i < cell->value_count; i++)
		json_array_append_new(values,
				      number_or_null(report_shown(compare, row, cell->values[i])));
	json_object_set_new(json, "values", values);
	json_object_set_new(json, "n", json_integer(stats.count));
	json_object_set_new(json, "median", number_or_null(stats.count ? stats.median : NAN));
	json_object_set_new(json, "spread", number_or_null(stats.count ? stats.spread : NAN));
	json_object_set_new(json, "low", number_or_null(stats.count ? stats.low : NAN));
	json_object_set_new(json, "high", number_or_null(stats.count ? stats.high : NAN));
	json_object_set_new(json, "ratio_to_host",
			    number_or_null(report_ratio(compare, row, column)));
	json_object_set_new(json, "text", text_or_null(cell->text));
	json_object_set_new(json, "reason", text_or_null(cell->reason));
	return json;
}

static json_t *claim_to_json(const struct compare *compare, unsigned row)
{
	const struct compare_claim *claim = &compare_rows[row].claim;
	double ratio;
	const char *verdict = report_verdict(compare, row, &ratio);

	if (!verdict)
		return json_null();
	return json_pack("{s:s, s:s, s:s, s:o, s:s}", "text", claim->text, "source", claim->source,
			 "measured_of", claim->left, "ratio", number_or_null(ratio), "verdict",
			 verdict);
}

static json_t *row_to_json(const struct compare *compare, unsigned row)
{
	static const char *const better[] = {
		[COMPARE_LESS] = "less", [COMPARE_MORE] = "more", [COMPARE_NEITHER] = "neither"
	};
	const struct compare_row *r = &compare_rows[row];
	json_t *columns = json_object();
	char unit[48];

	for (unsigned i = 0; i < compare->column_count; i++)
		json_object_set_new(columns, compare->columns[i].name,
				    cell_to_json(compare, row, i));
	return json_pack("{s:s, s:s, s:s, s:s, s:s, s:b, s:o, s:o}", "name", r->name, "title",
			 r->title, "unit", report_unit(compare, row, unit, sizeof(unit)), "better",
			 better[report_better(compare, row)], "timed", r->timed, "finished",
			 !compare->unfinished[row], "columns", columns, "claim",
			 claim_to_json(compare, row));
}

static json_t *to_json(const struct compare *compare)
{
	json_t *rows = json_array(), *facts = json_array(), *commands = json_array();
	json_t *columns = json_array();

	for (unsigned i = 0; i < compare->column_count; i++)
		json_array_append_new(columns, json_string(compare->columns[i].name));
	for (unsigned row = 0; row < compare_row_count; row++)
		if (compare->selected[row])
			json_array_append_new(rows, row_to_json(compare, row));
	for (unsigned i = 0; i < compare->fact_count; i++)
		json_array_append_new(facts,
				      json_pack("{s:s, s:o}", "name", compare->facts[i].name,
						"value", text_or_null(compare->facts[i].value)));
	for (size_t i = 0; i < compare->command_count; i++)
		json_array_append_new(commands, text_or_null(compare->commands[i]));
	return json_pack("{s:i, s:s, s:s, s:i, s:b, s:f, s:o, s:o, s:o, s:o}", "version", 1,
			 "measures", compare->icount ? "instructions" : "time", "level",
			 compare_level_names[compare->level], "runs", (int)compare->runs,
			 "interrupted", compare->interrupted, "seconds",
			 (double)compare->took_ns / 1e9, "columns", columns, "facts", facts,
			 "commands", commands, "rows", rows);
}

int report_json(const struct compare *compare, const char *path)
{
	json_t *json = to_json(compare);
	int ret = 0;

	if (!json)
		return log_errno(ENOMEM, "compare --json");
	if (strcmp(path, "-") == 0) {
		ret = json_dumpf(json, stdout, JSON_INDENT(1) | JSON_REAL_PRECISION(9));
		putchar('\n');
	} else {
		ret = json_dump_file(json, path, JSON_INDENT(1) | JSON_REAL_PRECISION(9));
	}
	json_decref(json);
	return ret < 0 ? log_errno(errno ? errno : EIO, "compare: write %s", path) : 0;
}
