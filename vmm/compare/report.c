/* What all reports share, and the terminal's table: see report.h. */
#include "vmm/compare/report.h"

#include <math.h>
#include <string.h>

#define INSTRUCTIONS_PER_NS 0.5

double report_shown(const struct compare *compare, unsigned row, double value)
{
	const struct compare_row *r = &compare_rows[row];

	if (!compare->icount)
		return value / r->scale;
	switch (r->kind) {
	case COMPARE_TIME:
		return value * INSTRUCTIONS_PER_NS / r->scale;
	case COMPARE_SPEED:
		return value > 0 ? INSTRUCTIONS_PER_NS * 1e9 / value * r->per_scale : NAN;
	case COMPARE_SHARE:
		return value * INSTRUCTIONS_PER_NS / 1e6;
	default:
		return value / r->scale;
	}
}

const char *report_unit(const struct compare *compare, unsigned row, char *room, size_t room_len)
{
	const struct compare_row *r = &compare_rows[row];

	if (!compare->icount)
		return r->unit;
	switch (r->kind) {
	case COMPARE_TIME:
		return r->scale >= 1e6 ? "M instr." : r->scale >= 1e3 ? "k instr." : "instr.";
	case COMPARE_SPEED:
		snprintf(room, room_len, "instr./%s", r->per);
		return room;
	case COMPARE_SHARE:
		return "M instr./s";
	default:
		return r->unit;
	}
}

enum compare_better report_better(const struct compare *compare, unsigned row)
{
	if (compare->icount && compare_rows[row].kind == COMPARE_SPEED)
		return COMPARE_LESS;
	return compare_rows[row].better;
}

struct stats report_stats(const struct compare *compare, unsigned row, unsigned column)
{
	const struct compare_cell *cell = &compare->cells[row][column];
	double shown[COMPARE_VALUES_MAX];

	for (unsigned i = 0; i < cell->value_count; i++)
		shown[i] = report_shown(compare, row, cell->values[i]);
	return stats_of(shown, cell->value_count);
}

double report_ratio(const struct compare *compare, unsigned row, unsigned column)
{
	const struct compare_cell *cells = compare->cells[row];
	double ratio = NAN;

	for (unsigned i = 0; i < compare->column_count; i++)
		if (i != column && strcmp(compare->columns[i].name, "host") == 0)
			ratio = stats_ratio(&cells[column], &cells[i]);
	/* Work is the inverse of speed. */
	if (compare->icount && compare_rows[row].kind == COMPARE_SPEED)
		ratio = 1 / ratio;
	return ratio;
}

double report_cost(const struct compare *compare, unsigned row, unsigned column)
{
	double ratio = report_ratio(compare, row, column);

	switch (report_better(compare, row)) {
	case COMPARE_LESS:
		return ratio > 0 ? ratio : NAN;
	case COMPARE_MORE:
		return ratio > 0 ? 1 / ratio : NAN;
	default:
		return NAN;
	}
}

const char *report_number(double value, char *room, size_t room_len)
{
	static const struct {
		double limit;
		double divisor;
		const char *suffix;
	} steps[] = { { 1e9, 1e9, "G" }, { 1e6, 1e6, "M" }, { 1e4, 1e3, "k" } };
	const char *suffix = "";
	double size = fabs(value);

	for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
		if (size >= steps[i].limit) {
			value /= steps[i].divisor;
			suffix = steps[i].suffix;
			break;
		}
	}
	size = fabs(value);
	snprintf(room, room_len, "%.*f%s",
		 size >= 100 || value == 0 ? 0
		 : size >= 10		   ? 1
		 : size >= 0.1		   ? 2
					   : 4,
		 value, suffix);
	return room;
}

const char *report_verdict(const struct compare *compare, unsigned row, double *ratio)
{
	static const char *const words[] = { [STATS_UNKNOWN] = "no figure",
					     [STATS_HOLDS] = "holds",
					     [STATS_FAILS] = "does not hold" };

	return compare_rows[row].claim.text ? words[stats_claim(compare, row, ratio)] : NULL;
}

#define NAME_WIDTH 24
#define UNIT_WIDTH 18
#define CELL_WIDTH 24

/* "12.3 ±0.4 (5) x1.20": the median, the spread, how many, and how many times the host's. */
static void table_cell(const struct compare *compare, unsigned row, unsigned column, char *text,
		       size_t room)
{
	const struct compare_cell *cell = &compare->cells[row][column];
	struct stats stats = report_stats(compare, row, column);
	double ratio = report_ratio(compare, row, column);
	char median[16], spread[16];
	int len;

	if (stats.count == 0) {
		snprintf(text, room, cell->text ? "" : "-");
		return;
	}
	len = snprintf(text, room, "%s", report_number(stats.median, median, sizeof(median)));
	if (stats.count > 1)
		len += snprintf(text + len, room - (size_t)len, " ±%s (%u)",
				report_number(stats.spread, spread, sizeof(spread)), stats.count);
	if (isfinite(ratio))
		snprintf(text + len, room - (size_t)len, " x%.2f", ratio);
}

/* Columns on the screen: bytes that continue a character take none. */
static int shown_width(const char *text)
{
	int width = 0;

	for (; *text; text++)
		width += ((unsigned char)*text & 0xc0) != 0x80;
	return width;
}

static void print_padded(FILE *file, const char *text, int width)
{
	fprintf(file, "%s%*s", text, width > shown_width(text) ? width - shown_width(text) : 1, "");
}

/* Texts have a line each: they are longer than a column. */
static void table_texts(const struct compare *compare, FILE *file, unsigned row)
{
	for (unsigned i = 0; i < compare->column_count; i++)
		if (compare->cells[row][i].text)
			fprintf(file, "    %-10s %s\n", compare->columns[i].name,
				compare->cells[row][i].text);
}

static void table_notes(const struct compare *compare, FILE *file, unsigned row)
{
	double ratio;
	const char *verdict = report_verdict(compare, row, &ratio);
	const struct compare_claim *claim = &compare_rows[row].claim;

	/* What holds for a whole column stands above the table. */
	for (unsigned i = 0; i < compare->column_count; i++)
		if (compare->cells[row][i].reason &&
		    (!compare->columns[i].reason ||
		     strcmp(compare->columns[i].reason, compare->cells[row][i].reason) != 0))
			fprintf(file, "    %s: %s\n", compare->columns[i].name,
				compare->cells[row][i].reason);
	if (verdict) {
		fprintf(file, "    claim: %s (%s): %s", claim->text, claim->source, verdict);
		if (isfinite(ratio))
			fprintf(file, ", %s is x%.2f of %s", claim->left, ratio, claim->right);
		fputc('\n', file);
	}
	if (compare->unfinished[row])
		fputs("    interrupted: with fewer runs than asked for\n", file);
}

void report_table(const struct compare *compare, FILE *file)
{
	char text[64], unit[48];

	fputs("median ±spread (runs) x ratio to the host; the spread is the median distance from "
	      "the median\n",
	      file);
	if (compare->icount)
		fputs("Instructions of guest, monitor and host together, not time. They do not "
		      "show "
		      "caches, memory, or\nwhat an exit to the monitor costs on hardware; time "
		      "asleep "
		      "counts, 500 million a second.\n",
		      file);
	if (compare->interrupted)
		fputs("INTERRUPTED: rows so marked are not finished.\n", file);
	for (unsigned i = 0; i < compare->column_count; i++)
		if (compare->columns[i].reason)
			fprintf(file, "Nothing runs as %s: %s\n", compare->columns[i].name,
				compare->columns[i].reason);
	fputc('\n', file);
	print_padded(file, "row", NAME_WIDTH);
	print_padded(file, "unit", UNIT_WIDTH);
	for (unsigned i = 0; i < compare->column_count; i++)
		print_padded(file, compare->columns[i].name, CELL_WIDTH);
	fputc('\n', file);
	for (unsigned row = 0; row < compare_row_count; row++) {
		if (!compare->selected[row])
			continue;
		print_padded(file, compare_rows[row].name, NAME_WIDTH);
		print_padded(file, report_unit(compare, row, unit, sizeof(unit)), UNIT_WIDTH);
		for (unsigned i = 0; i < compare->column_count; i++) {
			table_cell(compare, row, i, text, sizeof(text));
			print_padded(file, text, CELL_WIDTH);
		}
		fputc('\n', file);
		table_texts(compare, file, row);
		table_notes(compare, file, row);
	}
}
