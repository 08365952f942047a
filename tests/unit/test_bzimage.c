/* A bzImage's header is read as far as it goes, and nothing outside the file is ever believed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "arch/x86_64/bzimage.h"
#include "tests/support/fake_kernel.h"

static const struct fake_bzimage plain = { .payload = (const uint8_t *)"payload",
					   .payload_len = 7,
					   .xloadflags = XLF_KERNEL_64 };

static struct bzimage bz;
static const char *why;

static struct setup_header *header_of(uint8_t *file)
{
	return (struct setup_header *)(file + 0x1f1);
}

/* Builds, lets CHANGE spoil the header, parses. */
static int parse(const struct fake_bzimage *fake, void (*change)(struct setup_header *hdr))
{
	size_t len;
	uint8_t *file = fake_bzimage_build(fake, &len);
	int ret;

	if (change != NULL)
		change(header_of(file));
	ret = bzimage_parse(file, len, &bz, &why);
	free(file);
	return ret;
}

static void parse_finds_code_payload_and_version(void **state)
{
	(void)state;
	assert_int_equal(parse(&plain, NULL), 0);
	assert_true(bz.has_64bit_entry);
	assert_int_equal(bz.code_offset, FAKE_BZIMAGE_CODE_OFFSET);
	assert_int_equal(bz.code_len, FAKE_BZIMAGE_PAYLOAD_OFFSET + 7 + 64 - 0x1000);
	assert_int_equal(bz.payload_offset, FAKE_BZIMAGE_PAYLOAD_OFFSET);
	assert_int_equal(bz.payload_len, 7);
	assert_string_equal(bz.version, "6.12.1-fake");
	assert_int_equal(bz.hdr.pref_address, 16 << 20);
}

static void parse_refuses_every_truncation(void **state)
{
	size_t len;
	uint8_t *file = fake_bzimage_build(&plain, &len);

	(void)state;
	for (size_t cut = 0; cut < len - 64; cut++) {
		uint8_t *part = malloc(cut + 1);

		memcpy(part, file, cut);
		assert_int_not_equal(bzimage_parse(part, cut, &bz, &why), 0);
		free(part);
	}
	assert_int_equal(bzimage_parse(file, len - 64, &bz, &why), 0);
	free(file);
}

static void parse_refuses_code_that_ends_before_its_entry(void **state)
{
	size_t len;
	uint8_t *file = fake_bzimage_build(&plain, &len);

	(void)state;
	header_of(file)->payload_length = 0;
	assert_int_equal(bzimage_parse(file, FAKE_BZIMAGE_CODE_OFFSET + 0x200, &bz, &why), -EINVAL);
	assert_int_equal(bzimage_parse(file, FAKE_BZIMAGE_CODE_OFFSET + 0x201, &bz, &why), 0);
	free(file);
}

static void set_old(struct setup_header *hdr)
{
	hdr->version = 0x0207;
}

static void set_zimage(struct setup_header *hdr)
{
	hdr->loadflags = 0;
}

static void clear_signature(struct setup_header *hdr)
{
	hdr->boot_flag = 0;
}

static void clear_64bit(struct setup_header *hdr)
{
	hdr->xloadflags = 0;
}

static void payload_offset_wraps(struct setup_header *hdr)
{
	hdr->payload_offset = UINT32_MAX;
	hdr->payload_length = UINT32_MAX;
}

static void payload_one_too_long(struct setup_header *hdr)
{
	hdr->payload_length += 65;
}

static void all_sectors(struct setup_header *hdr)
{
	hdr->setup_sects = 255;
}

static void parse_says_why_it_refuses(void **state)
{
	static const struct {
		void (*change)(struct setup_header *hdr);
		int ret;
		const char *why;
	} rows[] = {
		{ set_old, -ENOEXEC, "too old" },
		{ set_zimage, -ENOEXEC, "zImage" },
		{ clear_signature, -EINVAL, "signature" },
		{ clear_64bit, -ENOEXEC, "32-bit" },
		{ payload_offset_wraps, -EINVAL, "behind the end" },
		{ payload_one_too_long, -EINVAL, "behind the end" },
		{ all_sectors, -EINVAL, "before the kernel" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		assert_int_equal(parse(&plain, rows[i].change), rows[i].ret);
		assert_non_null(strstr(why, rows[i].why));
	}
}

static void make_2_10(struct setup_header *hdr)
{
	hdr->version = 0x020a;
	hdr->xloadflags = XLF_KERNEL_64; /* a field the version does not have */
}

static void make_2_8(struct setup_header *hdr)
{
	hdr->version = 0x0208;
}

static void parse_ignores_fields_newer_than_the_version(void **state)
{
	(void)state;
	assert_int_equal(parse(&plain, make_2_10), 0);
	assert_false(bz.has_64bit_entry);
	assert_int_equal(bz.payload_len, 7);
	assert_int_equal(parse(&plain, make_2_8), 0);
	assert_int_equal(bz.hdr.pref_address, 0);
	assert_int_equal(bz.hdr.init_size, 0);
}

static void parse_copies_no_more_header_than_the_jump_says(void **state)
{
	size_t len;
	uint8_t *file = fake_bzimage_build(&plain, &len);

	(void)state;
	file[0x201] = 0x250 - 0x202;
	assert_int_equal(bzimage_parse(file, len, &bz, &why), 0);
	assert_int_equal(bz.hdr.payload_length, 7);
	assert_int_equal(bz.hdr.pref_address, 0);
	file[0x201] = 0xff;
	assert_int_equal(bzimage_parse(file, len, &bz, &why), 0);
	assert_int_equal(bz.hdr.pref_address, 16 << 20);
	free(file);
}

static void parse_makes_version_fit_for_a_terminal(void **state)
{
	size_t len;
	uint8_t *file = fake_bzimage_build(&plain, &len);

	(void)state;
	memcpy(file + 0x500, "6.1\033[2J", 8);
	assert_int_equal(bzimage_parse(file, len, &bz, &why), 0);
	assert_string_equal(bz.version, "6.1");
	memset(file + 0x500, 'v', 0x300);
	assert_int_equal(bzimage_parse(file, len, &bz, &why), 0);
	assert_int_equal(strlen(bz.version), sizeof(bz.version) - 1);
	header_of(file)->kernel_version = 0xffff;
	assert_int_equal(bzimage_parse(file, len, &bz, &why), 0);
	assert_string_equal(bz.version, "");
	free(file);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parse_finds_code_payload_and_version),
		cmocka_unit_test(parse_refuses_every_truncation),
		cmocka_unit_test(parse_refuses_code_that_ends_before_its_entry),
		cmocka_unit_test(parse_says_why_it_refuses),
		cmocka_unit_test(parse_ignores_fields_newer_than_the_version),
		cmocka_unit_test(parse_copies_no_more_header_than_the_jump_says),
		cmocka_unit_test(parse_makes_version_fit_for_a_terminal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
