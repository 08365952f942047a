/*
 * A test that cannot run here says why, on a line of its own that tests/support/run-tests.sh
 * collects. After <cmocka.h>.
 */
#ifndef TESTS_SUPPORT_SKIP_H
#define TESTS_SUPPORT_SKIP_H

#include <stdio.h>

#define skip_because(...)                                                                          \
	do {                                                                                       \
		fprintf(stderr, "# skip: " __VA_ARGS__);                                           \
		fputc('\n', stderr);                                                               \
		skip();                                                                            \
	} while (0)

#endif
