/* Whatever a kernel's file holds, it ends up in its place in memory, or in one line of refusal. */
#include <elf.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "arch/x86_64/boot_params.h"
#include "arch/x86_64/layout.h"
#include "tests/support/fake_kernel.h"
#include "vmm/log.h"

#define MIB	 (1ULL << 20)
#define MEM_LEN	 (64 * MIB)
#define FILE_LEN (7 * MIB)

/* As Linux' linker lays it out: two segments in step, a third that has to move down, bss. */
static const struct fake_elf linux_like = {
	.segments = { { 2 * MIB, 0x1a0123, 16 * MIB, 0x1a0123 },
		      { 4 * MIB, 0x30000, 18 * MIB, 0x30000 },
		      { 6 * MIB, 0x50777, 18 * MIB + 0x30000, 0x90000 } },
	.segment_count = 3,
	.entry = 16 * MIB + 0x40,
	.pvh_entry = 16 * MIB + 0x80,
};

static struct guest_mem mem;
static struct arch_boot boot;

static int setup(void **state)
{
	(void)state;
	return guest_mem_add(&mem, 0, MEM_LEN);
}

static int teardown(void **state)
{
	(void)state;
	guest_mem_fini(&mem);
	return 0;
}

static int load_fd(int fd, enum arch_entry entry)
{
	const struct arch_kernel kernel = { .kernel_fd = fd,
					    .kernel_path = "forged",
					    .initrd_fd = -1,
					    .cmdline = "quiet",
					    .entry = entry };

	return arch_load_kernel(&mem, &kernel, &boot);
}

static int load(const uint8_t *data, size_t len, enum arch_entry entry)
{
	int fd = fake_file(data, len);
	int ret = load_fd(fd, entry);

	close(fd);
	return ret;
}

static int load_elf(const struct fake_elf *elf, enum arch_entry entry)
{
	uint8_t *file = fake_elf_build(elf, FILE_LEN);
	int ret = load(file, FILE_LEN, entry);

	free(file);
	return ret;
}

/* ELF packed in a bzImage. */
static int load_bzimage(const struct fake_elf *elf, enum unpack_kind kind, enum arch_entry entry)
{
	struct fake_bzimage bz = { .xloadflags = XLF_KERNEL_64 };
	uint8_t *plain = fake_elf_build(elf, FILE_LEN), *file;
	uint8_t *packed = fake_pack(kind, plain, FILE_LEN, &bz.payload_len);
	size_t len;
	int ret;

	bz.payload = packed;
	file = fake_bzimage_build(&bz, &len);
	ret = load(file, len, entry);
	free(file);
	free(packed);
	free(plain);
	return ret;
}

static void expect_segments(const struct fake_elf *elf)
{
	for (unsigned i = 0; i < elf->segment_count; i++) {
		const struct fake_segment *s = &elf->segments[i];
		const uint8_t *at = guest_mem_ptr(&mem, s->gpa, s->mem_len);
		uint64_t bad = 0;

		assert_non_null(at);
		for (uint64_t j = 0; j < s->mem_len; j++)
			bad += at[j] != (j < s->file_len ? fake_byte(s->offset + j) : 0);
		assert_int_equal(bad, 0);
	}
}

static void elf_is_mapped_and_entered_in_64bit_mode(void **state)
{
	const struct boot_params *params = guest_mem_ptr(&mem, LAYOUT_ZERO_PAGE_GPA, 4096);

	(void)state;
	assert_int_equal(load_elf(&linux_like, ARCH_ENTRY_AUTO), 0);
	expect_segments(&linux_like);
	assert_int_equal(boot.entry, ARCH_ENTRY_ELF);
	assert_int_equal(boot.entry_gpa, linux_like.entry);
	assert_int_equal(boot.info_gpa, LAYOUT_ZERO_PAGE_GPA);
	assert_int_equal(boot.kernel_gpa, 16 * MIB);
	assert_int_equal(boot.kernel_len, 2 * MIB + 0x30000 + 0x90000);
	assert_int_equal(boot.mapped_len, 0x1a0000 + 0x30000 + 0x50000);
	assert_int_equal(boot.copied_len, 0x123 + 0x777);
	assert_int_equal(params->hdr.cmd_line_ptr, LAYOUT_CMDLINE_GPA);
	assert_string_equal(guest_mem_ptr(&mem, LAYOUT_CMDLINE_GPA, 6), "quiet");
}

static void elf_that_is_not_aligned_is_copied(void **state)
{
	struct fake_elf elf = linux_like;

	(void)state;
	elf.segments[0].offset += 0x10;
	elf.segments[1].gpa += 0x800;
	elf.segments[1].offset += 0x800;
	elf.segments[2].gpa += 0x1234;
	assert_int_equal(load_elf(&elf, ARCH_ENTRY_AUTO), 0);
	expect_segments(&elf);
	assert_int_equal(boot.mapped_len, 0x2f000 + 0x0);
}

static void pvh_entry_is_taken_when_asked_for(void **state)
{
	(void)state;
	assert_int_equal(load_elf(&linux_like, ARCH_ENTRY_PVH), 0);
	assert_int_equal(boot.entry, ARCH_ENTRY_PVH);
	assert_int_equal(boot.entry_gpa, linux_like.pvh_entry);
	assert_int_equal(boot.info_gpa, LAYOUT_PVH_INFO_GPA);
}

static void elf_without_64bit_entry_falls_to_pvh(void **state)
{
	struct fake_elf elf = linux_like;

	(void)state;
	elf.is_32bit = 1;
	assert_int_equal(load_elf(&elf, ARCH_ENTRY_AUTO), 0);
	assert_int_equal(boot.entry, ARCH_ENTRY_PVH);
	elf.pvh_entry = 0;
	assert_int_equal(load_elf(&elf, ARCH_ENTRY_AUTO), -ENOEXEC);
}

static void forced_entry_that_the_file_lacks_is_refused(void **state)
{
	struct fake_elf elf = linux_like;

	(void)state;
	assert_int_equal(load_elf(&elf, ARCH_ENTRY_BZIMAGE), -ENOEXEC);
	elf.pvh_entry = 0;
	assert_int_equal(load_elf(&elf, ARCH_ENTRY_PVH), -ENOEXEC);
	elf.entry = 8 * MIB;
	assert_int_equal(load_elf(&elf, ARCH_ENTRY_ELF), -ENOEXEC);
	assert_int_equal(load_elf(&elf, ARCH_ENTRY_AUTO), -ENOEXEC);
}

static void bzimage_of_every_compression_is_unpacked(void **state)
{
	static const enum unpack_kind kinds[] = { UNPACK_NONE, UNPACK_GZIP, UNPACK_BZIP2,
						  UNPACK_LZMA, UNPACK_XZ,   UNPACK_LZO,
						  UNPACK_LZ4,  UNPACK_ZSTD };
	char expected[160];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		guest_mem_fini(&mem);
		assert_int_equal(guest_mem_add(&mem, 0, MEM_LEN), 0);
		assert_int_equal(load_bzimage(&linux_like, kinds[i], ARCH_ENTRY_AUTO), 0);
		expect_segments(&linux_like);
		assert_int_equal(boot.entry, ARCH_ENTRY_ELF);
		assert_int_equal(boot.entry_gpa, linux_like.entry);
		snprintf(expected, sizeof(expected), "bzImage 6.12.1-fake (%s), %s on the host",
			 unpack_kind_name(kinds[i]),
			 kinds[i] == UNPACK_NONE ? "taken out" : "unpacked");
		assert_string_equal(boot.what, expected);
	}
}

static void bzimage_bss_is_zero_in_and_beyond_what_was_unpacked(void **state)
{
	struct fake_elf elf = linux_like;

	(void)state;
	elf.segments[0].file_len = 0x100000;
	elf.segments[2].mem_len = 12 * MIB;
	assert_int_equal(load_bzimage(&elf, UNPACK_LZ4, ARCH_ENTRY_ELF), 0);
	expect_segments(&elf);
}

static void bzimage_segments_in_any_order_find_their_place(void **state)
{
	/* Swapped in the file, up and down at once; over the place it was unpacked to. */
	const struct fake_elf swapped = {
		.segments = { { 0x3000, 0x100000, 19 * MIB, 0x100000 },
			      { 0x200000, 0x180000, 14 * MIB + 0x1000, 0x200000 },
			      { 0x400000, 0x200000, 16 * MIB + 0x1000, 0x2ff000 } },
		.segment_count = 3,
		.entry = 19 * MIB,
	};

	(void)state;
	assert_int_equal(load_bzimage(&swapped, UNPACK_LZ4, ARCH_ENTRY_ELF), 0);
	expect_segments(&swapped);
}

static void bzimage_pvh_entry_is_the_payloads(void **state)
{
	(void)state;
	assert_int_equal(load_bzimage(&linux_like, UNPACK_ZSTD, ARCH_ENTRY_PVH), 0);
	assert_int_equal(boot.entry_gpa, linux_like.pvh_entry);
}

static void bzimage_own_entry_is_taken_when_asked_for(void **state)
{
	const struct boot_params *params = guest_mem_ptr(&mem, LAYOUT_ZERO_PAGE_GPA, 4096);
	const uint8_t *payload = guest_mem_ptr(
		&mem, 16 * MIB + FAKE_BZIMAGE_PAYLOAD_OFFSET - FAKE_BZIMAGE_CODE_OFFSET, 4);

	(void)state;
	assert_int_equal(load_bzimage(&linux_like, UNPACK_ZSTD, ARCH_ENTRY_BZIMAGE), 0);
	assert_int_equal(boot.entry, ARCH_ENTRY_BZIMAGE);
	assert_int_equal(boot.entry_gpa, 16 * MIB + 0x200);
	assert_int_equal(boot.kernel_len, 8 * MIB);
	assert_int_equal(unpack_detect(payload, 4), UNPACK_ZSTD);
	assert_int_equal(params->hdr.code32_start, 16 * MIB);
}

static int load_payload(const void *payload, size_t len, uint16_t xloadflags, enum arch_entry entry)
{
	const struct fake_bzimage bz = { .payload = payload,
					 .payload_len = len,
					 .version = xloadflags ? 0 : 0x020b,
					 .xloadflags = xloadflags };
	size_t file_len;
	uint8_t *file = fake_bzimage_build(&bz, &file_len);
	int ret = load(file, file_len, entry);

	free(file);
	return ret;
}

static uint64_t count_bytes(gpa_t gpa, uint64_t len)
{
	const uint8_t *at = guest_mem_ptr(&mem, gpa, len);
	uint64_t count = 0;

	for (uint64_t i = 0; i < len; i++)
		count += at[i] != 0;
	return count;
}

static void bzimage_with_unusable_payload_unpacks_itself(void **state)
{
	uint8_t *plain = fake_elf_build(&linux_like, FILE_LEN);
	size_t len;
	uint8_t *packed = fake_pack(UNPACK_LZ4, plain, FILE_LEN, &len);

	(void)state;
	/* Unknown; a size that lies; damaged in the middle; no ELF inside. */
	assert_int_equal(load_payload("what?", 5, XLF_KERNEL_64, ARCH_ENTRY_AUTO), 0);
	assert_int_equal(boot.entry, ARCH_ENTRY_BZIMAGE);
	assert_string_equal(boot.what, "bzImage 6.12.1-fake (unknown), unpacked by the guest");
	assert_int_equal(load_payload("what?", 5, XLF_KERNEL_64, ARCH_ENTRY_ELF), -EINVAL);
	assert_int_equal(load_payload("what?", 5, 0, ARCH_ENTRY_AUTO), -EINVAL);
	packed[len - 1] = 1; /* 16 MiB more: harmless, only room */
	assert_int_equal(load_payload(packed, len, XLF_KERNEL_64, ARCH_ENTRY_AUTO), 0);
	assert_int_equal(boot.entry, ARCH_ENTRY_ELF);
	packed[len - 1] = 0x7f;
	assert_int_equal(load_payload(packed, len, XLF_KERNEL_64, ARCH_ENTRY_AUTO), 0);
	assert_int_equal(boot.entry, ARCH_ENTRY_BZIMAGE);
	packed[len - 1] = 0;
	memset(packed + len / 2, 0xff, 4096);
	guest_mem_fini(&mem);
	assert_int_equal(guest_mem_add(&mem, 0, MEM_LEN), 0);
	assert_int_equal(load_payload(packed, len, XLF_KERNEL_64, ARCH_ENTRY_AUTO), 0);
	assert_int_equal(boot.entry, ARCH_ENTRY_BZIMAGE);
	assert_int_equal(count_bytes(24 * MIB, 8 * MIB) + count_bytes(14 * MIB, 2 * MIB), 0);
	free(packed);
	free(plain);
}

static void bzimage_is_moved_where_there_is_memory(void **state)
{
	struct fake_bzimage bz = { .xloadflags = XLF_KERNEL_64,
				   .pref_address = 1ULL << 40,
				   .init_size = 4 * MIB };
	size_t len;
	uint8_t *file = fake_bzimage_build(&bz, &len);

	(void)state;
	assert_int_equal(load(file, len, ARCH_ENTRY_AUTO), 0);
	assert_int_equal(boot.kernel_gpa, 2 * MIB);
	free(file);
	bz.init_size = 128 * MIB;
	file = fake_bzimage_build(&bz, &len);
	assert_int_equal(load(file, len, ARCH_ENTRY_AUTO), -ENOSPC);
	free(file);
}

static void segments_outside_memory_or_over_the_tables_are_refused(void **state)
{
	struct fake_elf elf = linux_like;

	(void)state;
	elf.segments[2].mem_len = MEM_LEN;
	assert_int_equal(load_elf(&elf, ARCH_ENTRY_AUTO), -ENOSPC);
	assert_int_equal(load_bzimage(&elf, UNPACK_LZ4, ARCH_ENTRY_AUTO), -ENOSPC);
	elf = linux_like;
	elf.segments[0].gpa = LAYOUT_ZERO_PAGE_GPA;
	assert_int_equal(load_elf(&elf, ARCH_ENTRY_AUTO), -ENOEXEC);
	elf.segments[0].gpa = MIB - 1;
	assert_int_equal(load_elf(&elf, ARCH_ENTRY_AUTO), -ENOEXEC);
	elf.segments[0].gpa = MIB;
	elf.entry = MIB;
	assert_int_equal(load_elf(&elf, ARCH_ENTRY_AUTO), 0);
}

static void files_that_are_no_kernel_are_refused(void **state)
{
	static const struct {
		const char *data;
		size_t len;
	} rows[] = { { "", 0 },
		     { "\x7f"
		       "ELF",
		       4 },
		     { "#!/bin/sh\n", 10 },
		     { "MZ", 2 } };
	int fd = open("/", O_RDONLY | O_CLOEXEC);

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		assert_int_equal(load((const uint8_t *)rows[i].data, rows[i].len, ARCH_ENTRY_AUTO),
				 -ENOEXEC);
	assert_int_equal(load_fd(fd, ARCH_ENTRY_AUTO), -EISDIR);
	close(fd);
}

static void initrd_lies_beside_the_kernel(void **state)
{
	uint8_t *file = fake_elf_build(&linux_like, FILE_LEN);
	struct arch_kernel kernel = { .kernel_path = "forged",
				      .initrd_fd = -1,
				      .initrd_data = "070701",
				      .initrd_data_len = 6,
				      .cmdline = "" };
	const struct boot_params *params = guest_mem_ptr(&mem, LAYOUT_ZERO_PAGE_GPA, 4096);

	(void)state;
	kernel.kernel_fd = fake_file(file, FILE_LEN);
	assert_int_equal(arch_load_kernel(&mem, &kernel, &boot), 0);
	assert_int_equal(boot.initrd_gpa, MEM_LEN - 2 * MIB);
	assert_int_equal(params->hdr.ramdisk_image, boot.initrd_gpa);
	assert_int_equal(params->hdr.ramdisk_size, 6);
	close(kernel.kernel_fd);
	free(file);
}

static void command_line_is_bounded_by_what_the_kernel_takes(void **state)
{
	struct fake_bzimage bz = { .xloadflags = XLF_KERNEL_64 };
	struct arch_kernel kernel = { .kernel_path = "forged", .initrd_fd = -1 };
	char text[2049];
	size_t len;
	uint8_t *file = fake_bzimage_build(&bz, &len);

	(void)state;
	memset(text, 'x', sizeof(text));
	text[2048] = '\0';
	kernel.cmdline = text;
	kernel.kernel_fd = fake_file(file, len);
	assert_int_equal(arch_load_kernel(&mem, &kernel, &boot), -E2BIG);
	text[2047] = '\0';
	assert_int_equal(arch_load_kernel(&mem, &kernel, &boot), 0);
	close(kernel.kernel_fd);
	free(file);
}

#define LOAD_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		LOAD_TEST(elf_is_mapped_and_entered_in_64bit_mode),
		LOAD_TEST(elf_that_is_not_aligned_is_copied),
		LOAD_TEST(pvh_entry_is_taken_when_asked_for),
		LOAD_TEST(elf_without_64bit_entry_falls_to_pvh),
		LOAD_TEST(forced_entry_that_the_file_lacks_is_refused),
		LOAD_TEST(bzimage_of_every_compression_is_unpacked),
		LOAD_TEST(bzimage_bss_is_zero_in_and_beyond_what_was_unpacked),
		LOAD_TEST(bzimage_segments_in_any_order_find_their_place),
		LOAD_TEST(bzimage_pvh_entry_is_the_payloads),
		LOAD_TEST(bzimage_own_entry_is_taken_when_asked_for),
		LOAD_TEST(bzimage_with_unusable_payload_unpacks_itself),
		LOAD_TEST(bzimage_is_moved_where_there_is_memory),
		LOAD_TEST(segments_outside_memory_or_over_the_tables_are_refused),
		LOAD_TEST(files_that_are_no_kernel_are_refused),
		LOAD_TEST(initrd_lies_beside_the_kernel),
		LOAD_TEST(command_line_is_bounded_by_what_the_kernel_takes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
