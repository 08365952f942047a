/* A payload unpacks to exactly what was packed, or is refused without a byte outside its room. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "arch/x86_64/unpack.h"
#include "tests/support/fake_kernel.h"

/* More than one block of LZ4's legacy frame and of lzop's container. */
#define PLAIN_LEN ((9U << 20) + 12345)
#define GUARD	  0xa5

static const enum unpack_kind kinds[] = { UNPACK_GZIP, UNPACK_BZIP2, UNPACK_LZMA, UNPACK_XZ,
					  UNPACK_LZO,  UNPACK_LZ4,   UNPACK_ZSTD };

/* Compressible, but not so much that a decoder has nothing to do. */
static uint8_t *make_plain(size_t len)
{
	uint8_t *data = malloc(len);
	uint32_t noise = 1;

	assert_non_null(data);
	for (size_t i = 0; i < len; i++) {
		noise = noise * 1103515245 + 12345;
		data[i] = i % 4096 < 1024 ? (uint8_t)(noise >> 16) : fake_byte(i / 16);
	}
	return data;
}

static void detect_tells_every_compression_apart(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		size_t len;
		uint8_t *packed = fake_pack(kinds[i], (const uint8_t *)"plain", 5, &len);

		assert_int_equal(unpack_detect(packed, len), kinds[i]);
		assert_int_equal(unpack_detect(packed, 2), UNPACK_UNKNOWN);
		free(packed);
	}
	assert_int_equal(unpack_detect((const uint8_t *)"\x7f"
							"ELF",
				       4),
			 UNPACK_NONE);
	assert_int_equal(unpack_detect(NULL, 0), UNPACK_UNKNOWN);
}

static void unpack_gives_back_what_was_packed(void **state)
{
	uint8_t *plain = make_plain(PLAIN_LEN);
	uint8_t *out = malloc(PLAIN_LEN);

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		size_t len, out_len;
		uint8_t *packed = fake_pack(kinds[i], plain, PLAIN_LEN, &len);

		memset(out, 0, PLAIN_LEN);
		assert_int_equal(unpack_stream(kinds[i], packed, len, out, PLAIN_LEN, &out_len), 0);
		assert_int_equal(out_len, PLAIN_LEN);
		assert_memory_equal(out, plain, PLAIN_LEN);
		free(packed);
	}
	free(out);
	free(plain);
}

static void unpack_stops_at_the_end_of_its_room(void **state)
{
	uint8_t *plain = make_plain(PLAIN_LEN);
	uint8_t *out = malloc(PLAIN_LEN);
	const size_t rooms[] = { PLAIN_LEN - 1, 8U << 20, 4096, 1, 0 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		size_t len, out_len;
		uint8_t *packed = fake_pack(kinds[i], plain, PLAIN_LEN, &len);

		for (size_t j = 0; j < ARRAY_SIZE(rooms); j++) {
			memset(out, GUARD, PLAIN_LEN);
			/* A full block of LZ4 may end the stream: there it cannot be told. */
			if (kinds[i] == UNPACK_LZ4 && rooms[j] == 8U << 20)
				continue;
			assert_int_equal(
				unpack_stream(kinds[i], packed, len, out, rooms[j], &out_len),
				-ENOSPC);
			for (size_t at = rooms[j]; at < PLAIN_LEN; at++)
				assert_int_equal(out[at], GUARD);
		}
		free(packed);
	}
	free(out);
	free(plain);
}

static void unpack_refuses_truncated_streams(void **state)
{
	uint8_t *plain = make_plain(100000);
	uint8_t *out = malloc(100000);

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		size_t len, out_len;
		uint8_t *packed = fake_pack(kinds[i], plain, 100000, &len);

		for (size_t cut = 0; cut < len - 16; cut += 97) {
			/* Its own allocation, so that a sanitizer sees a read behind the end. */
			uint8_t *part = malloc(cut + 1);

			memcpy(part, packed, cut);
			assert_int_not_equal(
				unpack_stream(kinds[i], part, cut, out, 100000, &out_len), 0);
			free(part);
		}
		free(packed);
	}
	free(out);
	free(plain);
}

static void unpack_survives_any_damaged_byte(void **state)
{
	uint8_t *plain = make_plain(20000);
	uint8_t *out = malloc(20000);

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		size_t len, out_len;
		uint8_t *packed = fake_pack(kinds[i], plain, 20000, &len);

		for (size_t at = 0; at < len; at += 11) {
			packed[at] ^= 0x41;
			if (unpack_stream(kinds[i], packed, len, out, 20000, &out_len) == 0)
				assert_in_range(out_len, 0, 20000);
			packed[at] ^= 0x41;
		}
		free(packed);
	}
	free(out);
	free(plain);
}

static void unpack_refuses_a_kind_that_the_data_is_not(void **state)
{
	uint8_t out[16];
	size_t out_len;

	(void)state;
	assert_int_equal(unpack_stream(UNPACK_GZIP, (const uint8_t *)"BZh9", 4, out, 16, &out_len),
			 -EBADMSG);
	assert_int_equal(
		unpack_stream(UNPACK_UNKNOWN, (const uint8_t *)"what", 4, out, 16, &out_len),
		-ENOTSUP);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(detect_tells_every_compression_apart),
		cmocka_unit_test(unpack_gives_back_what_was_packed),
		cmocka_unit_test(unpack_stops_at_the_end_of_its_room),
		cmocka_unit_test(unpack_refuses_truncated_streams),
		cmocka_unit_test(unpack_survives_any_damaged_byte),
		cmocka_unit_test(unpack_refuses_a_kind_that_the_data_is_not),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
