/*
 * Embedded files. Each name says what must happen.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "vmm/blob.h"

/* "hello\n" by gzip -9n */
static const uint8_t hello[] = { 0x1f, 0x8b, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02,
				 0x03, 0xcb, 0x48, 0xcd, 0xc9, 0xc9, 0xe7, 0x02, 0x00,
				 0x20, 0x30, 0x3a, 0x36, 0x06, 0x00, 0x00, 0x00 };

static void what_was_packed_comes_out(void **state)
{
	uint8_t *out;
	size_t len;

	(void)state;
	assert_int_equal(blob_unpack(hello, sizeof(hello), &out, &len), 0);
	assert_int_equal(len, 6);
	assert_memory_equal(out, "hello\n", 6);
	free(out);
}

static void what_is_damaged_is_refused(void **state)
{
	uint8_t bad[sizeof(hello)];
	uint8_t *out;
	size_t len;

	(void)state;
	for (size_t i = 0; i < sizeof(hello); i++) {
		assert_true(blob_unpack(hello, i, &out, &len) < 0);
		assert_null(out);
	}
	memcpy(bad, hello, sizeof(bad));
	bad[12] ^= 1;
	assert_true(blob_unpack(bad, sizeof(bad), &out, &len) < 0);
	memcpy(bad, hello, sizeof(bad));
	bad[sizeof(bad) - 4] = 7;
	assert_true(blob_unpack(bad, sizeof(bad), &out, &len) < 0);
	bad[sizeof(bad) - 1] = 0xff;
	assert_true(blob_unpack(bad, sizeof(bad), &out, &len) < 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_packed_comes_out),
		cmocka_unit_test(what_is_damaged_is_refused),
	};

	return cmocka_run_group_tests_name("blob", tests, NULL, NULL);
}
