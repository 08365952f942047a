/* No guest address becomes a pointer unless every byte behind it is guest memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <errno.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/support/skip.h"
#include "vmm/guest_mem.h"

#define MIB (1ull << 20)

/* How many exchanges of a mapping fail like the kernel's own: when the old one is gone already. */
static unsigned mmap_failures;

#ifndef __SANITIZE_THREAD__ /* which has its own in libc's place */
/* Takes the place of libc's in this program. */
void *mmap(void *addr, size_t len, int prot, int flags, int fd, off_t offset)
{
	if (flags & MAP_FIXED && mmap_failures) {
		mmap_failures--;
		assert_int_equal(munmap(addr, len), 0);
		errno = ENOMEM;
		return MAP_FAILED;
	}
	return (void *)syscall(SYS_mmap, addr, len, prot, flags, fd, offset);
}
#endif

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

/* Whether the host holds memory for the page at PAGE. */
static bool is_there(void *page)
{
	unsigned char there;

	assert_int_equal(mincore(page, 4096, &there), 0);
	return there & 1;
}

static void guest_mem_released_pages_read_as_zero_and_others_stay(void **state)
{
	struct guest_mem *mem = *state;
	uint8_t *page = guest_mem_ptr(mem, MIB, 4 * 4096);

	memset(page, 0xab, 4 * 4096);
	/* Only the second and the third lie in it whole. */
	guest_mem_release(mem, page + 1, 4 * 4096 - 2);
	assert_false(is_there(page + 4096));
	assert_false(is_there(page + 2 * 4096));
	assert_int_equal(page[4095], 0xab);
	assert_int_equal(page[4096], 0);
	assert_int_equal(page[3 * 4096 - 1], 0);
	assert_int_equal(page[3 * 4096], 0xab);
	/* Less than a page, and none. */
	guest_mem_release(mem, page, 4095);
	guest_mem_release(mem, page + 4095, 0);
	guest_mem_release(mem, page + 1, 4096);
	assert_int_equal(page[0], 0xab);
	guest_mem_release(mem, guest_mem_ptr(mem, 0, 4 * MIB), 4 * MIB);
	assert_int_equal(page[0], 0);
	assert_int_equal(page[3 * 4096], 0);
	page[0] = 1;
	assert_int_equal(page[0], 1);
}

/* A file of 0x77 whose first 600 KiB lie over memory at 1 MiB, and 4 KiB at 3.5 MiB. */
static int map_files(struct guest_mem *mem)
{
	int fd = memfd_create("file", MFD_CLOEXEC);
	static uint8_t bytes[600 * 1024];

	memset(bytes, 0x77, sizeof(bytes));
	assert_int_equal(write(fd, bytes, sizeof(bytes)), sizeof(bytes));
	assert_int_equal(guest_mem_map_file(mem, MIB, sizeof(bytes), fd, 0), 0);
	assert_int_equal(guest_mem_map_file(mem, 7 * MIB / 2, 4096, fd, 0), 0);
	return fd;
}

static void guest_mem_released_blocks_show_nothing_of_a_file(void **state)
{
	struct guest_mem *mem = *state;
	int fd = map_files(mem);
	uint8_t *ram = guest_mem_ptr(mem, 0, 4 * MIB);
	uint8_t byte;

	memset(ram, 0xab, 4 * MIB);
	guest_mem_release(mem, ram, 4 * MIB);
	for (unsigned at = 0; at < 4 * MIB; at++)
		assert_int_equal(ram[at], 0);
	/* It is memory as any other from now on. */
	memset(ram, 0xcd, 4 * MIB);
	assert_int_equal(ram[MIB], 0xcd);
	guest_mem_release(mem, ram, 2 * MIB);
	assert_int_equal(ram[MIB], 0);
	assert_int_equal(ram[2 * MIB], 0xcd);
	assert_int_equal(pread(fd, &byte, 1, 0), 1);
	assert_int_equal(byte, 0x77);
	close(fd);
}

static void guest_mem_has_no_hole_where_an_exchange_failed(void **state)
{
	struct guest_mem *mem = *state;
	uint8_t *ram = guest_mem_ptr(mem, 0, 4 * MIB);
	int fd;

#ifdef __SANITIZE_THREAD__
	skip_because("ThreadSanitizer's own mmap cannot be made to fail");
#endif
	fd = map_files(mem);
	memset(ram, 0xab, 4 * MIB);
	mmap_failures = 1;
	guest_mem_release(mem, ram, 2 * MIB);
	assert_int_equal(mmap_failures, 0);
	for (unsigned at = 0; at < 2 * MIB; at += 4096)
		assert_false(is_there(ram + at));
	assert_int_equal(ram[MIB], 0);
	memset(ram, 0xcd, 2 * MIB);
	assert_int_equal(ram[2 * MIB], 0xab);
	close(fd);
}

static void guest_mem_parts_of_a_block_with_a_file_stay(void **state)
{
	struct guest_mem *mem = *state;
	int fd = map_files(mem);
	uint8_t *ram = guest_mem_ptr(mem, 0, 4 * MIB);

	memset(ram, 0xab, 4 * MIB);
	/* All but the first page: the first block is not whole, the second one is. */
	guest_mem_release(mem, ram + 4096, 4 * MIB - 4096);
	assert_int_equal(ram[0], 0xab);
	assert_int_equal(ram[MIB], 0xab);
	assert_int_equal(ram[2 * MIB - 1], 0xab);
	assert_int_equal(ram[2 * MIB], 0);
	assert_int_equal(ram[7 * MIB / 2], 0);
	/* Beside the file within its block. */
	guest_mem_release(mem, ram, MIB);
	assert_int_equal(ram[0], 0);
	assert_int_equal(ram[MIB], 0xab);
	guest_mem_release(mem, ram + MIB + 4096, 4096);
	assert_int_equal(ram[MIB + 4096], 0xab);
	close(fd);
}

static void guest_mem_more_files_than_are_noted_show_nothing_either(void **state)
{
	struct guest_mem *mem = *state;
	int fd = map_files(mem);
	uint8_t *ram = guest_mem_ptr(mem, 0, 4 * MIB);

	for (unsigned i = 0; i < 2 * GUEST_MEM_FILES_MAX; i++)
		assert_int_equal(guest_mem_map_file(mem, 2 * MIB + i * 65536, 4096, fd, 0), 0);
	for (unsigned i = 2 * GUEST_MEM_FILES_MAX; i-- > 0;)
		guest_mem_release(mem, ram + 2 * MIB + i * 65536, 4096);
	assert_int_equal(ram[2 * MIB], 0x77);
	guest_mem_release(mem, ram, 4 * MIB);
	for (unsigned at = 0; at < 4 * MIB; at += 4096)
		assert_int_equal(ram[at], 0);
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
		TEST(guest_mem_released_pages_read_as_zero_and_others_stay),
		TEST(guest_mem_released_blocks_show_nothing_of_a_file),
		TEST(guest_mem_has_no_hole_where_an_exchange_failed),
		TEST(guest_mem_parts_of_a_block_with_a_file_stay),
		TEST(guest_mem_more_files_than_are_noted_show_nothing_either),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
