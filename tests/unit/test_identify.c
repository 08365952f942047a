/* A file given as a kernel by mistake is called by its name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "arch/x86_64/identify.h"

static uint8_t file[0x11000];

/* The name of a file of zeros that has TEXT at OFFSET. */
static const char *name(size_t offset, const char *text, size_t len)
{
	memset(file, 0, sizeof(file));
	memcpy(file + offset, text, len);
	return identify_file(file, sizeof(file));
}

static void names_kernels_of_other_machines(void **state)
{
	(void)state;
	assert_string_equal(name(0x38, "ARMd", 4), "an arm64 Linux kernel Image");
	assert_string_equal(name(0x38, "RSC\x05", 4), "a RISC-V Linux kernel Image");
	assert_non_null(strstr(name(0, "MZ\0\0zimg", 8), "zboot"));
}

static void names_disks_and_file_systems(void **state)
{
	(void)state;
	assert_non_null(strstr(name(0x438, "\x53\xef", 2), "ext4"));
	assert_non_null(strstr(name(0x400, "\xe2\xe1\xf5\xe0", 4), "EROFS"));
	assert_non_null(strstr(name(0x10040, "_BHRfS_M", 8), "btrfs"));
	assert_non_null(strstr(name(0x1fe, "\x55\xaa", 2), "boot sector"));
	assert_non_null(strstr(name(0, "QFI\xfb", 4), "qcow2"));
}

static void names_compressed_files_and_archives(void **state)
{
	(void)state;
	assert_non_null(strstr(name(0, "\x1f\x8b\x08", 3), "gzip"));
	assert_non_null(strstr(name(0, "\x28\xb5\x2f\xfd", 4), "zstd"));
	assert_non_null(strstr(name(0, "070701", 6), "--initrd"));
}

static void names_text_and_nothing(void **state)
{
	(void)state;
	assert_string_equal(identify_file((const uint8_t *)"hello\n", 6), "a text file");
	assert_string_equal(identify_file((const uint8_t *)"#!/bin/sh\n", 10), "a script");
	assert_string_equal(identify_file(NULL, 0), "an empty file");
	assert_string_equal(name(0, "", 0), "a file of unknown kind");
}

static void looks_no_further_than_the_file_goes(void **state)
{
	uint8_t *part;

	(void)state;
	(void)name(0x10040, "_BHRfS_M", 8);
	for (size_t len = 1; len < 0x1000; len += 7) {
		part = malloc(len);
		memcpy(part, file, len);
		assert_string_equal(identify_file(part, len), "a file of unknown kind");
		free(part);
	}
}

static void names_what_is_no_regular_file(void **state)
{
	(void)state;
	assert_null(identify_mode(S_IFREG | 0644));
	assert_string_equal(identify_mode(S_IFDIR | 0755), "a directory");
	assert_string_equal(identify_mode(S_IFIFO), "a pipe");
	assert_string_equal(identify_mode(S_IFBLK), "a block device");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_kernels_of_other_machines),
		cmocka_unit_test(names_disks_and_file_systems),
		cmocka_unit_test(names_compressed_files_and_archives),
		cmocka_unit_test(names_text_and_nothing),
		cmocka_unit_test(looks_no_further_than_the_file_goes),
		cmocka_unit_test(names_what_is_no_regular_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
