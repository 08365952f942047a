/* No guest address becomes a pointer unless every byte behind it is guest memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "vmm/guest_mem.h"

#define MIB (1ull << 20)

static int setup(void **state)
{
	struct guest_mem *mem = calloc(1, sizeof(*mem));

	*state = mem;
	return guest_mem_add(mem, 0, 4 * MIB) || guest_mem_add(mem, 4ull << 30, 2 * MIB);
}

static int teardown(void **state)
{
	guest_mem_fini(*state);
	free(*state);
	return 0;
}

static void guest_mem_ptr_refuses_what_is_not_wholly_inside_one_region(void **state)
{
	struct guest_mem *mem = *state;

	assert_non_null(guest_mem_ptr(mem, 0, 4 * MIB));
	assert_null(guest_mem_ptr(mem, 0, 4 * MIB + 1));
	assert_null(guest_mem_ptr(mem, 4 * MIB - 1, 2));
	assert_null(guest_mem_ptr(mem, 4 * MIB, 0));
	assert_null(guest_mem_ptr(mem, 1, UINT64_MAX));
	assert_null(guest_mem_ptr(mem, UINT64_MAX, 2));
	assert_null(guest_mem_ptr(mem, (4ull << 30) - 1, 2));
	assert_non_null(guest_mem_ptr(mem, (4ull << 30) + 2 * MIB - 1, 1));
	assert_null(guest_mem_ptr(mem, (4ull << 30) + 2 * MIB, 1));
}

static void guest_mem_add_refuses_overlap_wrap_and_odd_sizes(void **state)
{
	struct guest_mem *mem = *state;

	assert_int_equal(guest_mem_add(mem, 2 * MIB, 4 * MIB), -EEXIST);
	assert_int_equal(guest_mem_add(mem, 8 * MIB, 100), -EINVAL);
	assert_int_equal(guest_mem_add(mem, 8 * MIB, 0), -EINVAL);
	assert_int_equal(guest_mem_add(mem, UINT64_MAX & ~0xfffull, 2 * MIB), -EINVAL);
}

static void guest_mem_copies_stop_at_the_edge(void **state)
{
	struct guest_mem *mem = *state;
	char buf[4] = "abc";

	assert_int_equal(guest_mem_write(mem, 4 * MIB - 4, buf, 4), 0);
	memset(buf, 0, sizeof(buf));
	assert_int_equal(guest_mem_read(mem, 4 * MIB - 4, buf, 4), 0);
	assert_string_equal(buf, "abc");
	assert_int_equal(guest_mem_write(mem, 4 * MIB - 3, buf, 4), -EFAULT);
	assert_int_equal(guest_mem_read(mem, 8 * MIB, buf, 1), -EFAULT);
	assert_int_equal(guest_mem_total(mem), 6 * MIB);
}

static void guest_mem_regions_start_on_huge_pages(void **state)
{
	struct guest_mem *mem = *state;

	for (unsigned i = 0; i < mem->region_count; i++)
		assert_int_equal((uintptr_t)mem->regions[i].host % (2 * MIB), 0);
}

static void guest_mem_mapped_file_shows_its_bytes_and_keeps_writes_private(void **state)
{
	struct guest_mem *mem = *state;
	int fd = memfd_create("file", MFD_CLOEXEC);
	char *page, byte;

	assert_int_equal(ftruncate(fd, 3 * 4096), 0);
	assert_int_equal(pwrite(fd, "x", 1, 4096), 1);
	assert_int_equal(guest_mem_map_file(mem, MIB, 5000, fd, 4096), 0);
	page = guest_mem_ptr(mem, MIB, 2 * 4096);
	assert_int_equal(page[0], 'x');
	page[0] = 'y';
	assert_int_equal(pread(fd, &byte, 1, 4096), 1);
	assert_int_equal(byte, 'x');
	assert_int_equal(guest_mem_map_file(mem, MIB + 1, 4096, fd, 0), -EINVAL);
	assert_int_equal(guest_mem_map_file(mem, MIB, 4096, fd, 7), -EINVAL);
	assert_int_equal(guest_mem_map_file(mem, 4 * MIB - 4096, 8192, fd, 0), -EINVAL);
	assert_int_equal(guest_mem_map_file(mem, MIB, UINT64_MAX, fd, 0), -EINVAL);
	close(fd);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(guest_mem_ptr_refuses_what_is_not_wholly_inside_one_region),
		TEST(guest_mem_add_refuses_overlap_wrap_and_odd_sizes),
		TEST(guest_mem_copies_stop_at_the_edge),
		TEST(guest_mem_regions_start_on_huge_pages),
		TEST(guest_mem_mapped_file_shows_its_bytes_and_keeps_writes_private),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
