/*
 * The mathematical library, as far as it is used here: by reports alone.
 */
#include <math.h>

#include "vmm/late/late.h"

static struct late_library m = { .soname = "libm.so.6", .package = "libc6" };

LATE(m, double, ceil, (double x), (x))
LATE(m, double, floor, (double x), (x))
LATE(m, double, fmax, (double x, double y), (x, y))
LATE(m, double, fmin, (double x, double y), (x, y))
LATE(m, double, log10, (double x), (x))
LATE(m, double, pow, (double x, double y), (x, y))
