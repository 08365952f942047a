/*
 * The HTML report: one file without scripts, fonts or pictures of elsewhere. See report.h.
 */
#include "vmm/compare/report.h"

#include <math.h>
#include <string.h>

#include "vmm/log.h"

static const char head[] =
	"<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
	"<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">"
	"<meta name=\"color-scheme\" content=\"light dark\">"
	"<link rel=\"icon\" href=\"data:,\"><title>What each boundary costs</title><style>"
	":root{--bg:#fff;--fg:#1a1a1a;--dim:#5a5f66;--line:#d9dce0;--card:#f6f7f8;--grid:#e4e6e9;"
	"--good:#166534;--bad:#b42318;--c0:#c2410c;--c1:#1d6fb8;--c2:#6b7280;--c3:#7c3aed;--c4:#"
	"0f766e;"
	"--c5:#a16207}"
	"@media(prefers-color-scheme:dark){:root{--bg:#15171a;--fg:#e6e6e6;--dim:#a3a9b1;--line:#"
	"33373d;"
	"--card:#1d2024;--grid:#2c2f34;--good:#6ee7a0;--bad:#ff9b8f;--c0:#fb923c;--c1:#60a5fa;--c2:"
	"#9ca3af;"
	"--c3:#c4a1ff;--c4:#2dd4bf;--c5:#facc15}}"
	"*{box-sizing:border-box}body{margin:0;background:var(--bg);color:var(--fg);"
	"font:16px/1.5 system-ui,sans-serif;overflow-wrap:anywhere}"
	"main,header,footer{max-width:1080px;margin:auto;padding:0 16px}"
	"h1{font-size:1.7rem;margin:1.2em 0 .2em}h2{font-size:1.25rem;margin:2em 0 .4em;"
	"padding-top:.4em;border-top:1px solid var(--line)}h3{font-size:1rem;margin:0}"
	"p{margin:.4em 0}.dim{color:var(--dim);font-size:.9rem}"
	"nav a{display:inline-block;padding:.3em .6em .3em 0}a{color:var(--c1)}"
	":focus-visible{outline:3px solid var(--c1);outline-offset:2px}"
	".skip{position:absolute;left:-999px}.skip:focus{left:8px;top:8px;background:var(--bg);"
	"padding:8px}"
	".warn{border-left:4px solid var(--bad);padding:.4em .8em;background:var(--card)}"
	".rows{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,480px),1fr));"
	"gap:16px}"
	".row{background:var(--card);border:1px solid var(--line);border-radius:8px;padding:12px "
	"14px;"
	"min-width:0}"
	".wide{overflow-x:auto;border:1px solid var(--line);border-radius:8px}"
	"table{border-collapse:collapse;font-size:.9rem;width:100%}th,td{padding:.35em .7em;"
	"text-align:left;border-bottom:1px solid "
	"var(--line);vertical-align:top;overflow-wrap:normal}"
	"td.n{text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}"
	"svg{display:block;overflow:visible;font:12px "
	"system-ui,sans-serif;max-width:100%;margin:.5em 0}"
	"svg svg{margin:0}text{fill:var(--fg)}.axis{stroke:var(--dim)}.grid{stroke:var(--grid)}"
	".whisker{stroke:var(--fg);stroke-width:2}"
	".c0{fill:var(--c0)}.c1{fill:var(--c1)}.c2{fill:var(--c2)}.c3{fill:var(--c3)}.c4{fill:var(-"
	"-c4)}"
	".c5{fill:var(--c5)}.holds{color:var(--good)}.fails{color:var(--bad)}"
	"summary{cursor:pointer;padding:.3em 0}code,pre{font:.85rem ui-monospace,monospace}"
	"pre{white-space:pre-wrap;background:var(--card);padding:10px;border-radius:8px}"
	"dl{display:grid;grid-template-columns:minmax(7em,auto) 1fr;gap:.2em 1em;margin:.5em 0}"
	"dt{color:var(--dim)}dd{margin:0}"
	"@media(max-width:520px){dl{grid-template-columns:1fr}dd{margin-bottom:.5em}}"
	"</style></head><body><a class=\"skip\" href=\"#rows\">To the rows</a>\n";

static const struct {
	const char *name;
	const char *title;
} groups[] = {
	{ "start", "Start and stop" },
	{ "stop", NULL },
	{ "restart", NULL },
	{ "rate", NULL },
	{ "cpu", "Processor" },
	{ "memory", "Memory" },
	{ "kernel", "Kernel" },
	{ "idle", "Idle instances" },
	{ "density", NULL },
	{ "touch", "Memory, used and freed" },
	{ "image", "Images" },
	{ "disk", "Disk" },
	{ "net", "Network" },
	{ "redis", "Databases" },
	{ "oltp", NULL },
	{ "sees", "What is visible" },
	{ "host", NULL },
	{ "suspend", "Suspend and resume" },
	{ "resume", NULL },
};

static bool in_group(const char *row, const char *group)
{
	size_t len = strlen(group);

	return strncmp(row, group, len) == 0 && (row[len] == '\0' || row[len] == '.');
}

/* The title of the group that begins before ROW; NULL when none does. */
static const char *group_title(unsigned row)
{
	for (size_t i = 0; i < ARRAY_SIZE(groups); i++)
		if (in_group(compare_rows[row].name, groups[i].name))
			return groups[i].title;
	return NULL;
}

static void put(FILE *file, const char *before, const char *text, const char *after)
{
	fputs(before, file);
	report_escape(file, text);
	fputs(after, file);
}

static void claim(const struct compare *compare, FILE *file, unsigned row)
{
	const struct compare_claim *c = &compare_rows[row].claim;
	double ratio;
	const char *verdict = report_verdict(compare, row, &ratio);

	if (!verdict)
		return;
	put(file, "<p class=\"dim\">Claim: ", c->text, " (");
	report_escape(file, c->source);
	fprintf(file, "): <b class=\"%s\">%s</b>",
		strcmp(verdict, "holds") == 0	    ? "holds"
		: strcmp(verdict, "no figure") == 0 ? ""
						    : "fails",
		verdict);
	if (isfinite(ratio))
		fprintf(file, "; %s is %.2f times %s", c->left, ratio, c->right);
	fputs("</p>", file);
}

static void row_card(const struct compare *compare, FILE *file, unsigned row)
{
	/* The first two characters are left out after no unit. */
	static const char *const better[] = { [COMPARE_LESS] = ", less is better",
					      [COMPARE_MORE] = ", more is better",
					      [COMPARE_NEITHER] = "\0\0" };
	char unit[48];
	const char *shown = report_unit(compare, row, unit, sizeof(unit));

	put(file, "<section class=\"row\" id=\"", compare_rows[row].name, "\">");
	put(file, "<h3>", compare_rows[row].title, "</h3><p class=\"dim\">");
	report_escape(file, shown);
	fputs(better[report_better(compare, row)] + (shown[0] ? 0 : 2), file);
	fputs("</p>", file);
	report_bars(compare, file, row);
	for (unsigned i = 0; i < compare->column_count; i++) {
		const struct compare_cell *cell = &compare->cells[row][i];

		if (cell->text) {
			fprintf(file, "<p><b>%s</b>: ", compare->columns[i].name);
			put(file, "", cell->text, "</p>");
		}
		if (cell->reason) {
			fprintf(file, "<p class=\"dim\"><b>%s</b>: ", compare->columns[i].name);
			put(file, "", cell->reason, "</p>");
		}
	}
	claim(compare, file, row);
	put(file, "<p class=\"dim\">", compare_rows[row].timed, ".</p>");
	if (compare->unfinished[row])
		fputs("<p class=\"fails\">Interrupted: fewer runs than asked for.</p>", file);
	fputs("</section>\n", file);
}

static void row_cards(const struct compare *compare, FILE *file)
{
	const char *last = NULL;

	for (unsigned row = 0; row < compare_row_count; row++) {
		const char *title = group_title(row);

		if (!compare->selected[row])
			continue;
		if (title && title != last) {
			fprintf(file, "%s<h2>%s</h2><div class=\"rows\">", last ? "</div>" : "",
				title);
			last = title;
		} else if (!last) {
			fputs("<div class=\"rows\">", file);
			last = "";
		}
		row_card(compare, file, row);
	}
	if (last)
		fputs("</div>", file);
}

static void table_cell(const struct compare *compare, FILE *file, unsigned row, unsigned column)
{
	const struct compare_cell *cell = &compare->cells[row][column];
	struct stats stats = report_stats(compare, row, column);
	double ratio = report_ratio(compare, row, column);
	char number[16];

	if (cell->text) {
		put(file, "<td>", cell->text, "</td>");
		return;
	}
	if (stats.count == 0) {
		fputs("<td class=\"n\">–</td>", file);
		return;
	}
	fprintf(file, "<td class=\"n\">%s", report_number(stats.median, number, sizeof(number)));
	if (stats.count > 1)
		fprintf(file, " <span class=\"dim\">±%s (%u)</span>",
			report_number(stats.spread, number, sizeof(number)), stats.count);
	if (isfinite(ratio))
		fprintf(file, " ×%.2f", ratio);
	fputs("</td>", file);
}

static void table(const struct compare *compare, FILE *file)
{
	char unit[48];

	fputs("<h2 id=\"table\">Table</h2><p class=\"dim\">Median, ± the median distance from it, "
	      "(runs), × the ratio to the host: the median of the quotients, run by run.</p>"
	      "<div class=\"wide\" tabindex=\"0\" role=\"region\" aria-label=\"Table of all rows\">"
	      "<table><thead><tr><th scope=\"col\">row</th><th scope=\"col\">unit</th>",
	      file);
	for (unsigned i = 0; i < compare->column_count; i++)
		fprintf(file, "<th scope=\"col\">%s</th>", compare->columns[i].name);
	fputs("</tr></thead><tbody>\n", file);
	for (unsigned row = 0; row < compare_row_count; row++) {
		if (!compare->selected[row])
			continue;
		put(file, "<tr><th scope=\"row\"><a href=\"#", compare_rows[row].name, "\">");
		put(file, "", compare_rows[row].name, "</a></th>");
		put(file, "<td>", report_unit(compare, row, unit, sizeof(unit)), "</td>");
		for (unsigned i = 0; i < compare->column_count; i++)
			table_cell(compare, file, row, i);
		fputs("</tr>\n", file);
	}
	fputs("</tbody></table></div>", file);
}

static void conditions(const struct compare *compare, FILE *file)
{
	fputs("<h2 id=\"conditions\">Conditions</h2><dl>", file);
	for (unsigned i = 0; i < compare->fact_count; i++) {
		put(file, "<dt>", compare->facts[i].name, "</dt>");
		put(file, "<dd>", compare->facts[i].value, "</dd>");
	}
	fprintf(file, "<dt>amount</dt><dd>%s, %u runs; it took %.0f s</dd></dl>",
		compare_level_names[compare->level], compare->runs, (double)compare->took_ns / 1e9);
	if (compare->command_count == 0)
		return;
	fputs("<details><summary>Command lines</summary><pre>", file);
	for (size_t i = 0; i < compare->command_count; i++)
		put(file, "", compare->commands[i], "\n");
	fputs("</pre></details>", file);
}

static void page(const struct compare *compare, FILE *file)
{
	fputs(head, file);
	fputs("<header><h1>What each boundary costs</h1><p>The same workload", file);
	for (unsigned i = 0; i < compare->column_count; i++)
		fprintf(file, "%s<b>%s</b>",
			i == 0				 ? " as "
			: i + 1 == compare->column_count ? " and "
							 : ", ",
			compare->columns[i].name);
	fputs(", run in turn by <code>vmm compare</code>.</p>", file);
	if (compare->icount)
		fputs("<p class=\"warn\">Figures are instructions of guest, monitor and host "
		      "together, "
		      "not time. They do not show caches, memory, or what an exit to the monitor "
		      "costs "
		      "on hardware; time asleep counts as 500 million a second.</p>",
		      file);
	else if (compare->in_lab)
		fputs("<p class=\"warn\">Taken on an emulated host: times say nothing about "
		      "hardware, and "
		      "ratios little.</p>",
		      file);
	if (compare->interrupted)
		fputs("<p class=\"warn\">Interrupted: rows so marked are not finished.</p>", file);
	fputs("<nav aria-label=\"Parts\"><a href=\"#overview\">Overview</a><a "
	      "href=\"#table\">Table</a>"
	      "<a href=\"#rows\">Rows</a><a "
	      "href=\"#conditions\">Conditions</a></nav></header>\n<main>"
	      "<h2 id=\"overview\">Overview</h2><p class=\"dim\">What each row costs, in times of "
	      "the host's: "
	      "further right is worse. Where more is better, half is twice the cost.</p>",
	      file);
	report_overview(compare, file, false);
	table(compare, file);
	fputs("<div id=\"rows\" tabindex=\"-1\"></div>", file);
	row_cards(compare, file);
	conditions(compare, file);
	fputs("</main><footer><p class=\"dim\">Written by vmm "
	      "compare.</p></footer></body></html>\n",
	      file);
}

int report_html(const struct compare *compare, const char *path)
{
	FILE *file = fopen(path, "we");

	if (!file)
		return log_errno(errno, "compare: make %s", path);
	page(compare, file);
	return fclose(file) == 0 ? 0 : log_errno(errno, "compare: write %s", path);
}
