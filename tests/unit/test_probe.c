/* A software /dev/kvm is told from a hardware one, in bounded time, and explained in one line. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/support/skip.h"
#include "vmm/probe.h"

static void hardware_needs_no_explanation(void **state)
{
	struct probe_result result = { .instructions_per_s = 2000000000 };
	char line[512] = "untouched";

	(void)state;
	assert_false(probe_explain(&result, line, sizeof(line)));
	assert_string_equal(line, "untouched");
}

static void software_is_explained_with_what_fails(void **state)
{
	struct probe_result result = { .instructions_per_s = 1200000,
				       .software = true,
				       .failed_count = 2,
				       .failed = { "popcnt", "int3" } };
	char line[512];

	(void)state;
	assert_true(probe_explain(&result, line, sizeof(line)));
	assert_non_null(strstr(line, "1.2 million"));
	assert_non_null(strstr(line, "popcnt, int3"));
	assert_null(strchr(line, '\n'));
}

static void a_short_buffer_is_not_overrun(void **state)
{
	struct probe_result result = { .software = true, .failed_count = PROBE_FAILED_MAX };
	char line[40];

	(void)state;
	for (unsigned i = 0; i < PROBE_FAILED_MAX; i++)
		result.failed[i] = "an instruction with a name that is rather long";
	memset(line, 'x', sizeof(line));
	assert_true(probe_explain(&result, line, 32));
	assert_int_equal(strlen(line), 31);
	assert_int_equal(line[32], 'x');
}

static void the_kvm_at_hand_is_probed_in_bounded_time(void **state)
{
	int kvm_fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	struct probe_result result;
	struct timespec start;
	struct timespec end;

	(void)state;
	if (kvm_fd < 0)
		skip_because("no /dev/kvm");
	clock_gettime(CLOCK_MONOTONIC, &start);
	assert_int_equal(probe_kvm(kvm_fd, &result), 0);
	clock_gettime(CLOCK_MONOTONIC, &end);
	close(kvm_fd);
	assert_true(end.tv_sec - start.tv_sec < 10);
	assert_true(result.instructions_per_s > 0);
	assert_true(result.failed_count <= PROBE_FAILED_MAX);
}

static void a_descriptor_that_is_no_kvm_is_an_error(void **state)
{
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	struct probe_result result;

	(void)state;
	assert_true(probe_kvm(fd, &result) < 0);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hardware_needs_no_explanation),
		cmocka_unit_test(software_is_explained_with_what_fails),
		cmocka_unit_test(a_short_buffer_is_not_overrun),
		cmocka_unit_test(the_kvm_at_hand_is_probed_in_bounded_time),
		cmocka_unit_test(a_descriptor_that_is_no_kvm_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
