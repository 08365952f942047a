/*
 * Files in memory: bytes are copied where they belong, and what a mapping cannot give is left to
 * read(2) and write(2), whatever the host does to the file meanwhile.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "devices/block/file_map.h"
#include "tests/support/skip.h"

#define MIB (1u << 20)
#define LEN (3 * MIB)

struct fixture {
	struct file_map map;
	int fd;
	uint8_t *bytes; /* LEN, as they are in the file */
	uint8_t *back;	/* LEN */
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->fd = memfd_create("disk", MFD_CLOEXEC);
	assert_true(f->fd >= 0);
	f->bytes = malloc(LEN);
	f->back = calloc(1, LEN);
	for (unsigned i = 0; i < LEN; i++)
		f->bytes[i] = (uint8_t)(i / 512 + i % 5 + 1);
	assert_int_equal(pwrite(f->fd, f->bytes, LEN, 0), LEN);
	file_map_open(&f->map, f->fd, LEN, false);
	assert_non_null(f->map.base);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	file_map_close(&f->map);
	assert_null(f->map.base);
	close(f->fd);
	free(f->bytes);
	free(f->back);
	free(f);
	return 0;
}

/* The handler of SIGBUS that setup had set is cmocka's again when the test runs. */
static void open_again(struct fixture *f)
{
	file_map_close(&f->map);
	file_map_open(&f->map, f->fd, LEN, false);
	assert_non_null(f->map.base);
}

static bool copy(struct fixture *f, bool write, uint64_t offset, uint64_t len)
{
	struct iovec iov = { write ? f->bytes : f->back, len };

	return file_map_copy(&f->map, write, &iov, offset, len);
}

static void scattered_bytes_arrive_both_ways(void **state)
{
	struct fixture *f = *state;
	/* More is offered than is asked for. */
	struct iovec iov[] = { { f->back + 7, 1 }, { f->back + 100, 5000 }, { f->back, 7 } };

	assert_true(file_map_copy(&f->map, false, iov, 4095, 5003));
	assert_memory_equal(f->back + 7, f->bytes + 4095, 1);
	assert_memory_equal(f->back + 100, f->bytes + 4096, 5000);
	assert_memory_equal(f->back, f->bytes + 9096, 2);
	assert_int_equal(f->back[2], 0);

	memset(f->back, 0xaa, LEN);
	assert_true(file_map_copy(&f->map, true, iov, 2 * MIB - 2500, 5003));
	assert_int_equal(pread(f->fd, f->bytes, 5005, 2 * MIB - 2501), 5005);
	assert_int_not_equal(f->bytes[0], 0xaa);
	assert_memory_equal(f->bytes + 1, f->back, 5003);
	assert_int_not_equal(f->bytes[5004], 0xaa);
}

static void what_is_outside_is_not_copied(void **state)
{
	struct fixture *f = *state;

	assert_true(copy(f, false, LEN - 512, 512));
	assert_false(copy(f, false, LEN - 512, 513));
	assert_false(copy(f, false, LEN, 1));
	assert_false(copy(f, false, LEN + 512, 512));
	assert_false(copy(f, false, UINT64_MAX - 511, 512));
	assert_false(copy(f, false, 0, 0));
}

static void a_file_cut_short_ends_the_copy_and_not_the_program(void **state)
{
	struct fixture *f = *state;

	open_again(f);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(ftruncate(f->fd, MIB), 0);
		assert_false(copy(f, false, MIB - 4096, 8192));
		assert_memory_equal(f->back, f->bytes + MIB - 4096, 4096);
		assert_false(copy(f, true, MIB, 4096));
		assert_true(copy(f, false, MIB - 4096, 4096));
		assert_int_equal(ftruncate(f->fd, LEN), 0);
		assert_true(copy(f, false, MIB, 4096));
	}
}

static void a_file_with_holes_is_not_mapped(void **state)
{
	struct fixture *f = *state;
	struct file_map map;

	file_map_open(&map, f->fd, LEN + 4096, false);
	assert_null(map.base);
	assert_int_equal(ftruncate(f->fd, LEN + MIB), 0);
	file_map_open(&map, f->fd, LEN + MIB, false);
	assert_null(map.base);
	assert_false(file_map_copy(&map, false, &(struct iovec){ f->back, 512 }, 0, 512));
	/* Nothing to be said of a file that has no map. */
	file_map_has_hole(&map, 0, 512);
	file_map_disable(&map);
	file_map_close(&map);
}

static void holes_that_are_made_are_left_alone(void **state)
{
	struct fixture *f = *state;

	file_map_has_hole(&f->map, MIB + 4096, 0);
	file_map_has_hole(&f->map, LEN, MIB);
	assert_true(copy(f, false, 0, LEN));
	file_map_has_hole(&f->map, MIB + 4096, 512);
	assert_true(copy(f, false, 0, MIB));
	assert_false(copy(f, false, MIB, 512));
	assert_false(copy(f, true, 2 * MIB - 512, 512));
	assert_false(copy(f, false, 0, LEN));
	assert_true(copy(f, false, 2 * MIB, MIB));
	file_map_has_hole(&f->map, 2 * MIB + 512, UINT64_MAX - 8 * MIB);
	assert_false(copy(f, false, 2 * MIB, MIB));
	assert_true(copy(f, false, 0, MIB));
}

static void a_disabled_map_copies_nothing(void **state)
{
	struct fixture *f = *state;

	file_map_disable(&f->map);
	assert_false(copy(f, false, 0, 512));
}

static void what_may_not_be_written_is_only_read(void **state)
{
	struct fixture *f = *state;

	file_map_close(&f->map);
	file_map_open(&f->map, f->fd, LEN, true);
	assert_false(copy(f, true, 0, 512));
	assert_true(copy(f, false, 0, 512));
}

static void somebody_elses_bus_error_still_ends_the_program(void **state)
{
	struct fixture *f = *state;
	volatile uint8_t *other = mmap(NULL, 4096, PROT_READ, MAP_SHARED, f->fd, 2 * MIB);
	int status;
	pid_t child;

	assert_true(other != MAP_FAILED);
	open_again(f);
	assert_int_equal(ftruncate(f->fd, MIB), 0);
	assert_false(copy(f, false, 2 * MIB, 512));
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		alarm(10);
		_exit(other[0]);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGBUS);
	munmap((void *)(uintptr_t)other, 4096);
}

#ifdef __SANITIZE_THREAD__
static void there_is_no_map_in_this_build(void **state)
{
	(void)state;
	skip_because("ThreadSanitizer has no map (see devices/block/file_map.c)");
}
#endif

int main(void)
{
#ifdef __SANITIZE_THREAD__
	const struct CMUnitTest none[] = { cmocka_unit_test(there_is_no_map_in_this_build) };

	return cmocka_run_group_tests(none, NULL, NULL);
#endif
#define MAP_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		MAP_TEST(scattered_bytes_arrive_both_ways),
		MAP_TEST(what_is_outside_is_not_copied),
		MAP_TEST(a_file_cut_short_ends_the_copy_and_not_the_program),
		MAP_TEST(a_file_with_holes_is_not_mapped),
		MAP_TEST(holes_that_are_made_are_left_alone),
		MAP_TEST(a_disabled_map_copies_nothing),
		MAP_TEST(what_may_not_be_written_is_only_read),
		MAP_TEST(somebody_elses_bus_error_still_ends_the_program),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
