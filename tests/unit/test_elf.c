/* An ELF's headers are believed only where they fit the file and each other. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <elf.h>

#include "arch/x86_64/elf.h"
#include "tests/support/fake_kernel.h"

#define FILE_LEN 0x4000

static const struct fake_elf plain = {
	.segments = { { 0x1000, 0x1000, 0x1000000, 0x1000 }, { 0x2000, 0x800, 0x1001000, 0x3000 } },
	.segment_count = 2,
	.entry = 0x1000100,
};

static struct elf_image image;
static const char *why;

/* Parses a copy of exactly LEN bytes. */
static int parse(const struct fake_elf *elf, size_t len)
{
	uint8_t *file = fake_elf_build(elf, FILE_LEN);
	uint8_t *part = malloc(len + 1);
	int ret;

	memcpy(part, file, len);
	ret = elf_parse(part, len, &image, &why);
	free(part);
	free(file);
	return ret;
}

static void parse_finds_segments_and_entry(void **state)
{
	(void)state;
	assert_int_equal(parse(&plain, FILE_LEN), 0);
	assert_int_equal(image.segment_count, 2);
	assert_int_equal(image.segments[1].gpa, 0x1001000);
	assert_int_equal(image.segments[1].offset, 0x2000);
	assert_int_equal(image.segments[1].file_len, 0x800);
	assert_int_equal(image.segments[1].mem_len, 0x3000);
	assert_true(image.is_64bit);
	assert_true(image.has_entry);
	assert_int_equal(image.entry, 0x1000100);
	assert_false(image.has_pvh);
}

static void parse_sorts_segments_by_address(void **state)
{
	struct fake_elf elf = plain;

	(void)state;
	elf.segments[0] = plain.segments[1];
	elf.segments[1] = plain.segments[0];
	assert_int_equal(parse(&elf, FILE_LEN), 0);
	assert_int_equal(image.segments[0].gpa, 0x1000000);
}

static void parse_skips_segments_without_memory(void **state)
{
	struct fake_elf elf = plain;

	(void)state;
	elf.segments[2] = (struct fake_segment){ 0xffffff, 0, 0, 0 };
	elf.segment_count = 3;
	assert_int_equal(parse(&elf, FILE_LEN), 0);
	assert_int_equal(image.segment_count, 2);
}

static void parse_finds_pvh_note(void **state)
{
	struct fake_elf elf = plain;

	(void)state;
	elf.pvh_entry = 0x1000200;
	assert_int_equal(parse(&elf, FILE_LEN), 0);
	assert_true(image.has_pvh);
	assert_int_equal(image.pvh_entry, 0x1000200);
}

static void parse_ignores_pvh_note_that_points_outside(void **state)
{
	struct fake_elf elf = plain;

	(void)state;
	elf.pvh_entry = 0x5000000;
	assert_int_equal(parse(&elf, FILE_LEN), 0);
	assert_false(image.has_pvh);
}

static void parse_reads_pvh_note_of_32bit_elf(void **state)
{
	struct fake_elf elf = plain;

	(void)state;
	elf.is_32bit = 1;
	elf.pvh_entry = 0x1000300;
	assert_int_equal(parse(&elf, FILE_LEN), 0);
	assert_false(image.is_64bit);
	assert_false(image.has_entry);
	assert_int_equal(image.pvh_entry, 0x1000300);
}

static void parse_notes_entry_outside_segments(void **state)
{
	struct fake_elf elf = plain;

	(void)state;
	elf.entry = 0x1004000; /* the first byte behind */
	assert_int_equal(parse(&elf, FILE_LEN), 0);
	assert_false(image.has_entry);
	elf.entry = 0xffffffff81000000;
	assert_int_equal(parse(&elf, FILE_LEN), 0);
	assert_false(image.has_entry);
}

static void parse_refuses_every_truncation(void **state)
{
	(void)state;
	for (size_t len = 0; len < 0x2800; len += len < 0x200 ? 1 : 61)
		assert_int_not_equal(parse(&plain, len), 0);
	assert_int_equal(parse(&plain, 0x2800), 0);
}

static void expect_refusal(const struct fake_elf *elf, int ret, const char *text)
{
	assert_int_equal(parse(elf, FILE_LEN), ret);
	assert_non_null(strstr(why, text));
}

static void parse_refuses_forged_segments(void **state)
{
	struct fake_elf elf = plain;

	(void)state;
	elf.segments[1].mem_len = 0x7ff;
	expect_refusal(&elf, -EINVAL, "larger in the file");
	elf.segments[1] = (struct fake_segment){ 0x3000, 0x1001, 0x1001000, 0x1001 };
	expect_refusal(&elf, -EINVAL, "behind the end");
	elf.segments[1] = (struct fake_segment){ UINT64_MAX - 0xff, 0x200, 0x1001000, 0x200 };
	expect_refusal(&elf, -EINVAL, "behind the end");
	elf.segments[1] = (struct fake_segment){ 0x2000, 0, UINT64_MAX - 0xfff, 0x1000 };
	expect_refusal(&elf, -EINVAL, "wraps");
	elf.segments[1] = (struct fake_segment){ 0x2000, 0, 0x2000000, UINT64_MAX };
	expect_refusal(&elf, -EINVAL, "wraps");
	elf.segments[1] = (struct fake_segment){ 0x2000, 0x100, 0x1000fff, 0x100 };
	expect_refusal(&elf, -EINVAL, "overlap");
	elf.segments[1] = (struct fake_segment){ 0x2000, 0x100, 0xffff00, 0x101 };
	expect_refusal(&elf, -EINVAL, "overlap");
	elf.segment_count = 0;
	expect_refusal(&elf, -EINVAL, "nothing to load");
}

static void parse_refuses_more_segments_than_it_holds(void **state)
{
	struct fake_elf elf = { .segment_count = ELF_SEGMENTS_MAX + 1, .entry = 0x1000000 };

	(void)state;
	for (unsigned i = 0; i < elf.segment_count; i++)
		elf.segments[i] = (struct fake_segment){ 0x2000, 1, 0x1000000 + i, 1 };
	expect_refusal(&elf, -EINVAL, "more segments");
	elf.segment_count--;
	assert_int_equal(parse(&elf, FILE_LEN), 0);
}

static void parse_names_foreign_machines(void **state)
{
	struct fake_elf elf = plain;

	(void)state;
	elf.machine = EM_AARCH64;
	expect_refusal(&elf, -ENOEXEC, "arm64");
	elf.machine = EM_S390;
	expect_refusal(&elf, -ENOEXEC, "s390");
	elf.machine = EM_386; /* x32's or a forged one: 64-bit class, 32-bit machine */
	expect_refusal(&elf, -ENOEXEC, "another architecture");
}

static void parse_refuses_elfs_that_are_no_kernels(void **state)
{
	uint8_t *file = fake_elf_build(&plain, FILE_LEN);

	(void)state;
	file[EI_DATA] = ELFDATA2MSB;
	assert_int_equal(elf_parse(file, FILE_LEN, &image, &why), -ENOEXEC);
	assert_non_null(strstr(why, "big-endian"));
	file[EI_DATA] = ELFDATA2LSB;
	file[offsetof(Elf64_Ehdr, e_type)] = ET_REL;
	assert_int_equal(elf_parse(file, FILE_LEN, &image, &why), -ENOEXEC);
	assert_non_null(strstr(why, "object file"));
	file[offsetof(Elf64_Ehdr, e_type)] = ET_EXEC;
	file[sizeof(Elf64_Ehdr)] = PT_INTERP;
	assert_int_equal(elf_parse(file, FILE_LEN, &image, &why), -ENOEXEC);
	assert_non_null(strstr(why, "program"));
	free(file);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parse_finds_segments_and_entry),
		cmocka_unit_test(parse_sorts_segments_by_address),
		cmocka_unit_test(parse_skips_segments_without_memory),
		cmocka_unit_test(parse_finds_pvh_note),
		cmocka_unit_test(parse_ignores_pvh_note_that_points_outside),
		cmocka_unit_test(parse_reads_pvh_note_of_32bit_elf),
		cmocka_unit_test(parse_notes_entry_outside_segments),
		cmocka_unit_test(parse_refuses_every_truncation),
		cmocka_unit_test(parse_refuses_forged_segments),
		cmocka_unit_test(parse_refuses_more_segments_than_it_holds),
		cmocka_unit_test(parse_names_foreign_machines),
		cmocka_unit_test(parse_refuses_elfs_that_are_no_kernels),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
