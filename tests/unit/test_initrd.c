/* The initrd lies as high as it may, whole, and over nothing else. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "arch/x86_64/initrd.h"
#include "tests/support/fake_kernel.h"
#include "vmm/log.h"

#define MIB    (1ULL << 20)
#define KERNEL (16 * MIB)

static struct guest_mem mem;

static int setup(void **state)
{
	(void)state;
	log_set_level(LOG_LEVEL_ERR);
	return guest_mem_add(&mem, 0, 64 * MIB);
}

static int teardown(void **state)
{
	(void)state;
	guest_mem_fini(&mem);
	return 0;
}

static gpa_t place(uint64_t len, gpa_t limit, gpa_t kernel_gpa, uint64_t kernel_len)
{
	gpa_t gpa = ~0ULL;
	int ret = initrd_find_place(&mem, len, limit, kernel_gpa, kernel_len, &gpa);

	return ret == 0 ? gpa : (gpa_t)ret;
}

static void place_is_high_and_on_a_huge_page(void **state)
{
	(void)state;
	assert_int_equal(place(3 * MIB + 1, 1ULL << 31, KERNEL, 8 * MIB), 60 * MIB);
	assert_int_equal(place(2 * MIB, 1ULL << 31, KERNEL, 8 * MIB), 62 * MIB);
}

static void place_stays_below_the_limit(void **state)
{
	(void)state;
	assert_int_equal(place(2 * MIB, 48 * MIB, KERNEL, 8 * MIB), 46 * MIB);
	/* Between kernel and limit is too little: under the kernel then. */
	assert_int_equal(place(2 * MIB, 25 * MIB, KERNEL, 8 * MIB), 14 * MIB);
}

static void place_uses_single_pages_when_it_is_tight(void **state)
{
	(void)state;
	assert_int_equal(place(40 * MIB - 5000, 1ULL << 31, KERNEL, 8 * MIB + 1), 24 * MIB + 4096);
	assert_int_equal(place(40 * MIB, 1ULL << 31, KERNEL, 8 * MIB), 24 * MIB);
}

static void place_refuses_what_does_not_fit(void **state)
{
	(void)state;
	assert_int_equal(place(40 * MIB + 1, 1ULL << 31, KERNEL, 8 * MIB), (gpa_t)-ENOSPC);
	assert_int_equal(place(UINT64_MAX, 1ULL << 31, KERNEL, 8 * MIB), (gpa_t)-ENOSPC);
	assert_int_equal(place(4096, MIB, KERNEL, 8 * MIB), (gpa_t)-ENOSPC);
	assert_int_equal(place(15 * MIB + 1, KERNEL, KERNEL, 48 * MIB), (gpa_t)-ENOSPC);
}

static void load_maps_the_file(void **state)
{
	uint8_t *data = malloc(5 * MIB + 77);
	struct arch_boot boot = { .kernel_gpa = KERNEL, .kernel_len = MIB };
	struct arch_kernel kernel = { .initrd_path = "initrd" };

	(void)state;
	for (size_t i = 0; i < 5 * MIB + 77; i++)
		data[i] = fake_byte(i);
	kernel.initrd_fd = fake_file(data, 5 * MIB + 77);
	assert_int_equal(initrd_load(&mem, &kernel, 1ULL << 31, &boot), 0);
	assert_int_equal(boot.initrd_gpa, 58 * MIB);
	assert_int_equal(boot.initrd_len, 5 * MIB + 77);
	assert_int_equal(boot.mapped_len, 5 * MIB);
	assert_int_equal(boot.copied_len, 77);
	assert_memory_equal(guest_mem_ptr(&mem, 58 * MIB, 5 * MIB + 77), data, 5 * MIB + 77);
	close(kernel.initrd_fd);
	free(data);
}

static void load_copies_what_is_in_memory(void **state)
{
	struct arch_boot boot = { .kernel_gpa = KERNEL, .kernel_len = MIB };
	struct arch_kernel kernel = { .initrd_fd = -1,
				      .initrd_data = "070701",
				      .initrd_data_len = 6 };

	(void)state;
	assert_int_equal(initrd_load(&mem, &kernel, 1ULL << 31, &boot), 0);
	assert_int_equal(boot.initrd_gpa, 62 * MIB);
	assert_memory_equal(guest_mem_ptr(&mem, boot.initrd_gpa, 6), "070701", 6);
}

static void load_without_initrd_leaves_it_absent(void **state)
{
	struct arch_boot boot = { .kernel_gpa = KERNEL, .kernel_len = MIB };
	struct arch_kernel kernel = { .initrd_fd = -1 };

	(void)state;
	assert_int_equal(initrd_load(&mem, &kernel, 1ULL << 31, &boot), 0);
	assert_int_equal(boot.initrd_gpa, 0);
	assert_int_equal(boot.initrd_len, 0);
}

static void load_refuses_a_directory(void **state)
{
	struct arch_boot boot = { .kernel_gpa = KERNEL, .kernel_len = MIB };
	struct arch_kernel kernel = { .initrd_path = "/" };

	(void)state;
	kernel.initrd_fd = open("/", O_RDONLY | O_CLOEXEC);
	assert_int_equal(initrd_load(&mem, &kernel, 1ULL << 31, &boot), -EISDIR);
	close(kernel.initrd_fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(place_is_high_and_on_a_huge_page, setup, teardown),
		cmocka_unit_test_setup_teardown(place_stays_below_the_limit, setup, teardown),
		cmocka_unit_test_setup_teardown(place_uses_single_pages_when_it_is_tight, setup,
						teardown),
		cmocka_unit_test_setup_teardown(place_refuses_what_does_not_fit, setup, teardown),
		cmocka_unit_test_setup_teardown(load_maps_the_file, setup, teardown),
		cmocka_unit_test_setup_teardown(load_copies_what_is_in_memory, setup, teardown),
		cmocka_unit_test_setup_teardown(load_without_initrd_leaves_it_absent, setup,
						teardown),
		cmocka_unit_test_setup_teardown(load_refuses_a_directory, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
