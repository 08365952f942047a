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

/* "hello hello hello hello\n" as `lz4 -12 -B7 --content-size --no-frame-crc` packs it */
static const uint8_t hello[] = { 0x04, 0x22, 0x4d, 0x18, 0x68, 0x40, 0x18, 0x00, 0x00, 0x00,
				 0x00, 0x00, 0x00, 0x00, 0x4f, 0x0f, 0x00, 0x00, 0x00, 0x69,
				 0x68, 0x65, 0x6c, 0x6c, 0x6f, 0x20, 0x06, 0x00, 0x50, 0x65,
				 0x6c, 0x6c, 0x6f, 0x0a, 0x00, 0x00, 0x00, 0x00 };

#define TOKEN_AT    19 /* six literals, then a match of 13 bytes */
#define DISTANCE_AT 26
#define LAST_AT	    28 /* five literals */

static int unpack_changed(size_t at, uint8_t to)
{
	uint8_t changed[sizeof(hello)];
	uint8_t *out;
	size_t len;
	int ret;

	memcpy(changed, hello, sizeof(hello));
	changed[at] = to;
	ret = blob_unpack(changed, sizeof(changed), &out, &len);
	assert_true(ret == 0 ? out != NULL : out == NULL);
	free(out);
	return ret;
}

static void what_was_packed_comes_out(void **state)
{
	uint8_t *out;
	size_t len;

	(void)state;
	assert_int_equal(blob_unpack(hello, sizeof(hello), &out, &len), 0);
	assert_int_equal(len, 24);
	assert_memory_equal(out, "hello hello hello hello\n", 25);
	free(out);
}

static void what_is_cut_off_is_refused(void **state)
{
	uint8_t *out;
	size_t len;

	(void)state;
	for (size_t i = 0; i < sizeof(hello); i++) {
		assert_true(blob_unpack(hello, i, &out, &len) < 0);
		assert_null(out);
	}
}

static void what_is_damaged_is_refused(void **state)
{
	(void)state;
	assert_true(unpack_changed(0, 0) < 0);		     /* another file */
	assert_true(unpack_changed(4, 0x60) < 0);	     /* of unknown size */
	assert_true(unpack_changed(6, 25) < 0);		     /* longer than what comes */
	assert_true(unpack_changed(6, 23) < 0);		     /* and shorter */
	assert_true(unpack_changed(13, 0x80) < 0);	     /* beyond all memory */
	assert_true(unpack_changed(15, 14) < 0);	     /* a block of another length */
	assert_true(unpack_changed(TOKEN_AT, 0xf9) < 0);     /* literals that go on and on */
	assert_true(unpack_changed(TOKEN_AT, 0x6f) < 0);     /* a match that is too long */
	assert_true(unpack_changed(DISTANCE_AT, 0) < 0);     /* of itself */
	assert_true(unpack_changed(DISTANCE_AT, 7) < 0);     /* from before the beginning */
	assert_true(unpack_changed(DISTANCE_AT + 1, 1) < 0); /* from far before */
	assert_true(unpack_changed(LAST_AT, 0x60) < 0);	     /* literals behind the end */
	assert_true(unpack_changed(LAST_AT, 0x40) < 0);	     /* too few of them */
}

/* What comes out then does not matter; the sanitizers see what is touched. */
static void no_byte_reaches_beyond_what_there_is(void **state)
{
	(void)state;
	for (size_t at = 0; at < sizeof(hello); at++)
		for (unsigned to = 0; to < 256; to++)
			(void)unpack_changed(at, (uint8_t)to);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_packed_comes_out),
		cmocka_unit_test(what_is_cut_off_is_refused),
		cmocka_unit_test(what_is_damaged_is_refused),
		cmocka_unit_test(no_byte_reaches_beyond_what_there_is),
	};

	return cmocka_run_group_tests_name("blob", tests, NULL, NULL);
}
