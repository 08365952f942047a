/*
 * The charts, as SVG: see report.h. Positions are percentages and letters have their own size, so
 * that a chart is as readable on a phone as on a wide screen; colours come from the page's style.
 */
#include "vmm/compare/report.h"

#include <math.h>
#include <string.h>

#include "vmm/log.h"

#define LINE 20

void report_escape(FILE *file, const char *text)
{
	for (; *text; text++) {
		switch (*text) {
		case '&':
			fputs("&amp;", file);
			break;
		case '<':
			fputs("&lt;", file);
			break;
		case '>':
			fputs("&gt;", file);
			break;
		case '"':
			fputs("&quot;", file);
			break;
		case '\'':
			fputs("&#39;", file);
			break;
		default:
			/* Control characters are not allowed in either format. */
			putc((unsigned char)*text < ' ' ? ' ' : *text, file);
		}
	}
}

/* Largest and smallest ratio of all rows, widened to powers of ten; false when there is none. */
static bool ratio_range(const struct compare *compare, double *low, double *high, unsigned *rows)
{
	*low = 0;
	*high = 0;
	*rows = 0;
	for (unsigned row = 0; row < compare_row_count; row++) {
		bool has = false;

		for (unsigned i = 0; i < compare->column_count; i++) {
			double ratio = report_cost(compare, row, i);

			if (!compare->selected[row] || !isfinite(ratio) || ratio <= 0)
				continue;
			*low = fmin(*low, floor(log10(ratio)));
			*high = fmax(*high, ceil(log10(ratio)));
			has = true;
		}
		*rows += has;
	}
	if (*high == *low)
		*high = *low + 1;
	return *rows > 0;
}

static const char standalone_style[] =
	"<style>svg{background:#fff;font:12px system-ui,sans-serif}text{fill:#1a1a1a}"
	".axis{stroke:#999}.grid{stroke:#e4e4e4}.c0{fill:#c2410c}.c1{fill:#1d6fb8}.c2{fill:#6b7280}"
	".c3{fill:#7c3aed}.c4{fill:#0f766e}.c5{fill:#a16207}"
	"@media(prefers-color-scheme:dark){svg{background:#15171a}text{fill:#e6e6e6}"
	".axis{stroke:#8a8a8a}.grid{stroke:#2c2f34}.c0{fill:#fb923c}.c1{fill:#60a5fa}"
	".c2{fill:#9ca3af}.c3{fill:#c4a1ff}.c4{fill:#2dd4bf}.c5{fill:#facc15}}</style>";

#define LEFT  42.0 /* where the scale begins, percent */
#define RIGHT 97.0

static double at_ratio(double ratio, double low, double high)
{
	return LEFT + (RIGHT - LEFT) * (log10(ratio) - low) / (high - low);
}

/* One mark a column; each has a shape besides its colour. */
static void mark(FILE *file, unsigned column, double x, int y)
{
	switch (column % 3) {
	case 0:
		fprintf(file, "<circle class=\"c%u\" cx=\"%.2f%%\" cy=\"%d\" r=\"5\"/>", column, x,
			y);
		break;
	case 1:
		fprintf(file,
			"<svg x=\"%.2f%%\" y=\"%d\" overflow=\"visible\"><path class=\"c%u\" "
			"d=\"M0-6L6 0L0 6L-6 0z\"/></svg>",
			x, y, column);
		break;
	default:
		fprintf(file,
			"<svg x=\"%.2f%%\" y=\"%d\" overflow=\"visible\"><path class=\"c%u\" "
			"d=\"M-4.5-4.5h9v9h-9z\"/></svg>",
			x, y, column);
	}
}

static void overview_row(const struct compare *compare, FILE *file, unsigned row, int y, double low,
			 double high)
{
	fprintf(file, "<g><title>");
	report_escape(file, compare_rows[row].title);
	for (unsigned i = 0; i < compare->column_count; i++) {
		double ratio = report_cost(compare, row, i);

		if (isfinite(ratio))
			fprintf(file, ", %s %.2f", compare->columns[i].name, ratio);
	}
	fprintf(file, "</title><text x=\"0\" y=\"%d\">", y + 4);
	report_escape(file, compare_rows[row].name);
	fprintf(file, "</text><line class=\"grid\" x1=\"%g%%\" x2=\"%g%%\" y1=\"%d\" y2=\"%d\"/>",
		LEFT, RIGHT, y, y);
	for (unsigned i = compare->column_count; i-- > 0;) {
		double ratio = report_cost(compare, row, i);

		if (isfinite(ratio) && ratio > 0)
			mark(file, i, at_ratio(ratio, low, high), y);
	}
	fprintf(file, "</g>");
}

static void overview_legend(const struct compare *compare, FILE *file)
{
	double x = 2;

	for (unsigned i = 0; i < compare->column_count; i++) {
		if (strcmp(compare->columns[i].name, "host") == 0)
			continue;
		mark(file, i, x, 10);
		fprintf(file, "<text x=\"%g%%\" dx=\"10\" y=\"14\">%s</text>", x,
			compare->columns[i].name);
		x += 24;
	}
	fprintf(file, "<text x=\"%g%%\" y=\"14\" text-anchor=\"end\">times the host's cost</text>",
		RIGHT);
}

void report_overview(const struct compare *compare, FILE *file, bool standalone)
{
	double low, high;
	unsigned rows;
	int height, y = 58;

	if (!ratio_range(compare, &low, &high, &rows))
		return;
	height = y + (int)rows * LINE;
	fprintf(file,
		"<svg %swidth=\"%s\" height=\"%d\" role=\"img\" "
		"aria-label=\"What each row costs, in times of the host's, on a logarithmic "
		"scale\">%s",
		standalone ? "xmlns=\"http://www.w3.org/2000/svg\" " : "",
		standalone ? "760" : "100%", height, standalone ? standalone_style : "");
	if (standalone)
		fputs("<svg x=\"12\" width=\"736\">", file);
	overview_legend(compare, file);
	for (int power = (int)low; power <= (int)high; power++) {
		double x = at_ratio(pow(10, power), low, high);

		fprintf(file,
			"<line class=\"%s\" x1=\"%.2f%%\" x2=\"%.2f%%\" y1=\"40\" y2=\"%d\"/>"
			"<text x=\"%.2f%%\" y=\"34\" text-anchor=\"middle\">%g</text>",
			power == 0 ? "axis" : "grid", x, x, height - 6, x, pow(10, power));
	}
	for (unsigned row = 0; row < compare_row_count; row++) {
		bool has = false;

		for (unsigned i = 0; i < compare->column_count; i++)
			has |= isfinite(report_cost(compare, row, i));
		if (!compare->selected[row] || !has)
			continue;
		overview_row(compare, file, row, y, low, high);
		y += LINE;
	}
	fputs(standalone ? "</svg></svg>\n" : "</svg>", file);
}

void report_bars(const struct compare *compare, FILE *file, unsigned row)
{
	double most = 0;
	unsigned bars = 0;
	char unit[48], number[16];
	int y = 0;

	for (unsigned i = 0; i < compare->column_count; i++) {
		struct stats stats = report_stats(compare, row, i);

		most = fmax(most, fmax(stats.high, stats.median));
		bars += stats.count > 0;
	}
	if (bars == 0 || most <= 0)
		return;
	fprintf(file, "<svg width=\"100%%\" height=\"%u\" role=\"img\" aria-label=\"", bars * 22);
	report_escape(file, compare_rows[row].title);
	for (unsigned i = 0; i < compare->column_count; i++) {
		struct stats stats = report_stats(compare, row, i);

		if (stats.count)
			fprintf(file, ", %s %s", compare->columns[i].name,
				report_number(stats.median, number, sizeof(number)));
	}
	fprintf(file, " %s\">", report_unit(compare, row, unit, sizeof(unit)));
	for (unsigned i = 0; i < compare->column_count; i++) {
		struct stats stats = report_stats(compare, row, i);
		double width = 55 * fmax(stats.median, 0) / most;

		if (stats.count == 0)
			continue;
		fprintf(file,
			"<text x=\"0\" y=\"%d\">%s</text>"
			"<svg x=\"84\" y=\"%d\" width=\"100%%\" height=\"16\" overflow=\"visible\">"
			"<rect class=\"c%u\" width=\"%.2f%%\" height=\"13\" rx=\"2\"/>",
			y + 13, compare->columns[i].name, y + 2, i, fmax(width, 0.3));
		if (stats.count > 1)
			fprintf(file,
				"<line class=\"whisker\" x1=\"%.2f%%\" x2=\"%.2f%%\" y1=\"6.5\" "
				"y2=\"6.5\"/>",
				55 * stats.low / most, 55 * stats.high / most);
		fprintf(file, "<text x=\"%.2f%%\" dx=\"6\" y=\"11\">%s</text></svg>",
			fmax(width, 55 * stats.high / most),
			report_number(stats.median, number, sizeof(number)));
		y += 22;
	}
	fputs("</svg>", file);
}

int report_svg(const struct compare *compare, const char *path)
{
	FILE *file = fopen(path, "we");

	if (!file)
		return log_errno(errno, "compare: make %s", path);
	report_overview(compare, file, true);
	return fclose(file) == 0 ? 0 : log_errno(errno, "compare: write %s", path);
}
