/* Memory goes below the hole first, the rest to 4 GiB. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "arch/arch.h"

#define MIB (1ULL << 20)
#define GIB (1ULL << 30)

static void memory_up_to_3_gib_is_one_range(void **state)
{
	struct arch_ram_layout layout;

	(void)state;
	assert_int_equal(arch_ram_layout(16 * MIB, &layout), 0);
	assert_int_equal(layout.range_count, 1);
	assert_int_equal(layout.ranges[0].len, 16 * MIB);
	assert_int_equal(arch_ram_layout(3 * GIB, &layout), 0);
	assert_int_equal(layout.range_count, 1);
	assert_int_equal(layout.ranges[0].gpa, 0);
	assert_int_equal(layout.ranges[0].len, 3 * GIB);
}

static void more_continues_at_4_gib_and_adds_up(void **state)
{
	struct arch_ram_layout layout;

	(void)state;
	assert_int_equal(arch_ram_layout(3 * GIB + 2 * MIB, &layout), 0);
	assert_int_equal(layout.range_count, 2);
	assert_int_equal(layout.ranges[1].gpa, 4 * GIB);
	assert_int_equal(layout.ranges[1].len, 2 * MIB);
	assert_int_equal(arch_ram_layout(4096 * GIB, &layout), 0);
	assert_int_equal(layout.ranges[0].len + layout.ranges[1].len, 4096 * GIB);
}

static void too_little_too_much_and_odd_lengths_are_refused(void **state)
{
	struct arch_ram_layout layout;

	(void)state;
	assert_int_equal(arch_ram_layout(0, &layout), -EINVAL);
	assert_int_equal(arch_ram_layout(14 * MIB, &layout), -EINVAL);
	assert_int_equal(arch_ram_layout(17 * MIB, &layout), -EINVAL);
	assert_int_equal(arch_ram_layout(4096 * GIB + 2 * MIB, &layout), -EINVAL);
	assert_int_equal(arch_ram_layout(UINT64_MAX & ~(2 * MIB - 1), &layout), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(memory_up_to_3_gib_is_one_range),
		cmocka_unit_test(more_continues_at_4_gib_and_adds_up),
		cmocka_unit_test(too_little_too_much_and_odd_lengths_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
