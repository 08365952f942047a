/*
 * The reports of a comparison: a table for the terminal, JSON to the schema beside this file, a
 * chart as SVG, and one HTML file that holds all. Main thread.
 */
#ifndef VMM_COMPARE_REPORT_H
#define VMM_COMPARE_REPORT_H

#include <stdio.h>

#include "vmm/compare/compare.h"
#include "vmm/compare/stats.h"

/* How a row is shown: instructions where they are what the clock counts. */
const char *report_unit(const struct compare *compare, unsigned row, char *room, size_t room_len);
enum compare_better report_better(const struct compare *compare, unsigned row);
/* A value of the row's base unit in the unit that is shown. */
double report_shown(const struct compare *compare, unsigned row, double value);
/* The statistics of a cell in the unit that is shown. */
struct stats report_stats(const struct compare *compare, unsigned row, unsigned column);
/* The cell over the host's as they are shown; NAN when one lacks, or for the host itself. */
double report_ratio(const struct compare *compare, unsigned row, unsigned column);
/* The same so that more than 1 is worse than the host; NAN also where nothing is better. */
double report_cost(const struct compare *compare, unsigned row, unsigned column);
/* Three digits that count. */
const char *report_number(double value, char *room, size_t room_len);
/* "holds", "does not hold" or "no figure"; NULL when the row has no claim. */
const char *report_verdict(const struct compare *compare, unsigned row, double *ratio);

void report_table(const struct compare *compare, FILE *file);
/* 0 or -errno, logged. */
int report_json(const struct compare *compare, const char *path) MUST_CHECK;
/* The overview: each row's cost over the host's, one mark a column. STANDALONE: a file of its own.
 */
void report_overview(const struct compare *compare, FILE *file, bool standalone);
/* One row's bars. */
void report_bars(const struct compare *compare, FILE *file, unsigned row);
/* TEXT with what HTML takes as markup written so that it stands for itself. */
void report_escape(FILE *file, const char *text);
int report_html(const struct compare *compare, const char *path) MUST_CHECK;
int report_svg(const struct compare *compare, const char *path) MUST_CHECK;

#endif
