/* SMBIOS as a guest parses it: from the entry point through every structure to the end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "arch/x86_64/smbios.h"

#define GPA 0xf0000ULL

static uint8_t buf[0xfff0];

struct parsed {
	const uint8_t *structures[128]; /* by type */
	unsigned count;
};

static uint64_t get(const uint8_t *at, unsigned width)
{
	uint64_t value = 0;

	for (unsigned i = 0; i < width; i++)
		value |= (uint64_t)at[i] << 8 * i;
	return value;
}

/* String NUMBER (from 1) of a structure. */
static const char *string(const uint8_t *structure, unsigned number)
{
	const char *at = (const char *)structure + structure[1];

	while (--number)
		at += strlen(at) + 1;
	return at;
}

/* Walks the table as long as the entry point says; every byte must belong to a structure. */
static void parse(struct parsed *parsed)
{
	const uint8_t *at, *end;
	uint8_t sum = 0;

	memset(parsed, 0, sizeof(*parsed));
	assert_memory_equal(buf, "_SM3_", 5);
	assert_int_equal(buf[6], 24);
	for (unsigned i = 0; i < 24; i++)
		sum = (uint8_t)(sum + buf[i]);
	assert_int_equal(sum, 0);
	at = buf + (get(buf + 16, 8) - GPA);
	end = at + get(buf + 12, 4);
	while (at < end) {
		assert_int_equal(get(at + 2, 2), parsed->count++);
		parsed->structures[at[0]] = at;
		at += at[1];
		while (at[0] || at[1])
			at++;
		at += 2;
	}
	assert_ptr_equal(at, end);
	assert_non_null(parsed->structures[127]);
}

static void build(const struct arch_board *board, struct parsed *parsed)
{
	size_t len;

	memset(buf, 0xa5, sizeof(buf));
	assert_int_equal(smbios_build(buf, sizeof(buf), GPA, board, &len), 0);
	parse(parsed);
}

static void machine_is_named(void **state)
{
	const struct arch_board board = { .name = "web-1" };
	const uint8_t *system;
	struct parsed parsed;
	uint8_t uuid[16];

	(void)state;
	build(&board, &parsed);
	system = parsed.structures[1];
	assert_string_equal(string(system, system[4]), "vmm");
	assert_string_equal(string(system, system[5]), "vmm");
	assert_string_equal(string(system, system[7]), "web-1");
	smbios_uuid("web-1", uuid);
	assert_memory_equal(system + 8, uuid, 16);
	assert_non_null(parsed.structures[0]);
	assert_null(parsed.structures[11]);
}

static void oem_strings_come_in_order(void **state)
{
	static const char *const strings[] = { "io.systemd.credential:a=b", "x", "third one" };
	const struct arch_board board = { .name = "m",
					  .oem_strings = strings,
					  .oem_string_count = 3 };
	struct parsed parsed;

	(void)state;
	build(&board, &parsed);
	assert_int_equal(parsed.structures[11][4], 3);
	for (unsigned i = 0; i < 3; i++)
		assert_string_equal(string(parsed.structures[11], i + 1), strings[i]);
}

static void a_machine_without_a_name_has_neither_serial_nor_uuid(void **state)
{
	static const char *const names[] = { NULL, "" };
	static const uint8_t zeros[16];

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(names); i++) {
		const struct arch_board board = { .name = names[i] };
		struct parsed parsed;

		build(&board, &parsed);
		assert_int_equal(parsed.structures[1][7], 0);
		assert_memory_equal(parsed.structures[1] + 8, zeros, 16);
	}
}

static void uuid_is_stable_distinct_and_well_formed(void **state)
{
	uint8_t a[16], b[16];

	(void)state;
	smbios_uuid("one", a);
	smbios_uuid("one", b);
	assert_memory_equal(a, b, 16);
	assert_int_equal(a[7] >> 4, 8);
	assert_int_equal(a[8] >> 6, 2);
	smbios_uuid("onf", b);
	assert_memory_not_equal(a, b, 8);
	assert_memory_not_equal(a + 9, b + 9, 7);
}

static void too_many_or_too_long_strings_are_refused(void **state)
{
	static const char *strings[256];
	static char text[0x10000];
	const char *one = text;
	const struct arch_board many = { .oem_strings = strings, .oem_string_count = 256 };
	const struct arch_board most = { .oem_strings = strings, .oem_string_count = 255 };
	const struct arch_board long_one = { .oem_strings = &one, .oem_string_count = 1 };
	struct parsed parsed;
	size_t len;

	(void)state;
	for (unsigned i = 0; i < 256; i++)
		strings[i] = "s";
	assert_int_equal(smbios_build(buf, sizeof(buf), GPA, &many, &len), -ENOSPC);
	build(&most, &parsed);
	assert_int_equal(parsed.structures[11][4], 255);
	memset(text, 'x', sizeof(text) - 1);
	assert_int_equal(smbios_build(buf, sizeof(buf), GPA, &long_one, &len), -ENOSPC);
}

static void every_buffer_that_is_too_small_is_refused_untouched_beyond(void **state)
{
	static const char *const strings[] = { "abc" };
	const struct arch_board board = { .name = "m",
					  .oem_strings = strings,
					  .oem_string_count = 1 };
	size_t need, len;

	(void)state;
	assert_int_equal(smbios_build(buf, sizeof(buf), GPA, &board, &need), 0);
	for (size_t have = 0; have < need; have++) {
		buf[have] = 0x5a;
		assert_int_equal(smbios_build(buf, have, GPA, &board, &len), -ENOSPC);
		assert_int_equal(buf[have], 0x5a);
	}
	assert_int_equal(smbios_build(buf, need, GPA, &board, &len), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(machine_is_named),
		cmocka_unit_test(oem_strings_come_in_order),
		cmocka_unit_test(a_machine_without_a_name_has_neither_serial_nor_uuid),
		cmocka_unit_test(uuid_is_stable_distinct_and_well_formed),
		cmocka_unit_test(too_many_or_too_long_strings_are_refused),
		cmocka_unit_test(every_buffer_that_is_too_small_is_refused_untouched_beyond),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
