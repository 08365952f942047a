/* See stats.h. Called by the runner and the reports. */
#include "vmm/compare/stats.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static int by_value(const void *left, const void *right)
{
	double a = *(const double *)left, b = *(const double *)right;

	return (a > b) - (a < b);
}

/* The value at SHARE of the way through sorted VALUES, between two where it falls between. */
static double quantile(const double *values, unsigned count, double share)
{
	double at = share * (double)(count - 1);
	unsigned below = (unsigned)at;
	double part = at - below;

	if (below + 1 >= count)
		return values[count - 1];
	return values[below] + part * (values[below + 1] - values[below]);
}

struct stats stats_of(const double *values, unsigned count)
{
	double sorted[COMPARE_VALUES_MAX], distances[COMPARE_VALUES_MAX];
	struct stats stats = { 0 };
	unsigned n = 0;

	for (unsigned i = 0; i < count && i < COMPARE_VALUES_MAX; i++)
		if (isfinite(values[i]))
			sorted[n++] = values[i];
	if (n == 0)
		return stats;
	qsort(sorted, n, sizeof(sorted[0]), by_value);
	stats.count = n;
	stats.median = quantile(sorted, n, 0.5);
	stats.low = quantile(sorted, n, 0.25);
	stats.high = quantile(sorted, n, 0.75);
	stats.min = sorted[0];
	stats.max = sorted[n - 1];
	for (unsigned i = 0; i < n; i++)
		distances[i] = fabs(sorted[i] - stats.median);
	qsort(distances, n, sizeof(distances[0]), by_value);
	stats.spread = quantile(distances, n, 0.5);
	return stats;
}

double stats_ratio(const struct compare_cell *left, const struct compare_cell *right)
{
	double ratios[COMPARE_VALUES_MAX];
	unsigned count = 0;
	struct stats stats;

	for (unsigned i = 0; i < left->value_count && i < right->value_count; i++) {
		double a = left->values[i], b = right->values[i];

		if (isfinite(a) && isfinite(b) && b != 0)
			ratios[count++] = a / b;
	}
	stats = stats_of(ratios, count);
	return stats.count ? stats.median : NAN;
}

double stats_slope(const double *x, const double *y, unsigned count)
{
	double mean_x = 0, mean_y = 0, above = 0, below = 0;

	for (unsigned i = 0; i < count; i++) {
		mean_x += x[i] / count;
		mean_y += y[i] / count;
	}
	for (unsigned i = 0; i < count; i++) {
		above += (x[i] - mean_x) * (y[i] - mean_y);
		below += (x[i] - mean_x) * (x[i] - mean_x);
	}
	return below > 0 ? above / below : NAN;
}

static const struct compare_cell *cell_of(const struct compare *compare, unsigned row,
					  const char *column)
{
	for (unsigned i = 0; i < compare->column_count; i++)
		if (strcmp(compare->columns[i].name, column) == 0)
			return &compare->cells[row][i];
	return NULL;
}

enum stats_verdict stats_claim(const struct compare *compare, unsigned row, double *ratio)
{
	const struct compare_claim *claim = &compare_rows[row].claim;
	const struct compare_cell *left, *right;

	*ratio = NAN;
	if (!claim->text || !claim->left)
		return STATS_UNKNOWN;
	left = cell_of(compare, row, claim->left);
	right = cell_of(compare, row, claim->right);
	if (left && right)
		*ratio = stats_ratio(left, right);
	if (!isfinite(*ratio))
		return STATS_UNKNOWN;
	if (*ratio < claim->low || (claim->high != 0 && *ratio > claim->high))
		return STATS_FAILS;
	return STATS_HOLDS;
}
