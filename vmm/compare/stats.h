/*
 * Statistics of a row: what stands in the middle, how far the runs lie apart, and quotients.
 */
#ifndef VMM_COMPARE_STATS_H
#define VMM_COMPARE_STATS_H

#include <stdbool.h>

#include "vmm/compare/compare.h"

struct stats {
	unsigned count; /* numbers among the values; all else is 0 when there are none */
	double median;
	double spread; /* the median distance from the median */
	double low;    /* the quartiles */
	double high;
	double min;
	double max;
};

/* VALUES may hold NAN, which does not count. COUNT is at most COMPARE_VALUES_MAX. */
struct stats stats_of(const double *values, unsigned count);

/*
 * The median of the quotients of LEFT's and RIGHT's runs of the same number, or NAN where no run
 * has both: what the host does beside hits the runs of one round alike.
 */
double stats_ratio(const struct compare_cell *left, const struct compare_cell *right);

/* The slope of the line that lies nearest to COUNT points; NAN when they have one x. */
double stats_slope(const double *x, const double *y, unsigned count);

enum stats_verdict { STATS_UNKNOWN, STATS_HOLDS, STATS_FAILS };

/* Whether the row's claim holds here; RATIO becomes what was measured. */
enum stats_verdict stats_claim(const struct compare *compare, unsigned row, double *ratio);

#endif
