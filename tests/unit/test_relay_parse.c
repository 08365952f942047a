/* The relay protocol's reader takes exactly what vmm/guest/relay.h says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "vmm/guest/relay_parse.h"

static size_t make(uint8_t *out, uint8_t type, uint32_t first, uint32_t second, size_t len)
{
	uint8_t payload[8];

	relay_put32(payload, first);
	relay_put32(payload + 4, second);
	return relay_encode(out, type, payload, len);
}

static int parse_one(enum relay_direction direction, const uint8_t *data, size_t len,
		     struct relay_message *message)
{
	struct relay_parser parser;
	size_t used;

	relay_parser_init(&parser, direction);
	return relay_parse(&parser, data, len, &used, message);
}

static void message_in_any_pieces_is_one_message(void **state)
{
	uint8_t bytes[RELAY_MESSAGE_MAX];
	size_t len = make(bytes, RELAY_EXIT, 7, RELAY_EXIT_OUT_OF_MEMORY, 8);
	struct relay_parser parser;
	struct relay_message message;
	size_t used;

	(void)state;
	relay_parser_init(&parser, RELAY_TO_MONITOR);
	for (size_t i = 0; i + 1 < len; i++) {
		assert_int_equal(relay_parse(&parser, bytes + i, 1, &used, &message), 0);
		assert_int_equal(used, 1);
	}
	assert_int_equal(relay_parse(&parser, bytes + len - 1, 1, &used, &message), 1);
	assert_int_equal(message.type, RELAY_EXIT);
	assert_int_equal(relay_get32(message.payload), 7);
	assert_int_equal(relay_get32(message.payload + 4), RELAY_EXIT_OUT_OF_MEMORY);
}

static void messages_after_one_another_are_told_apart(void **state)
{
	uint8_t bytes[2 * RELAY_MESSAGE_MAX];
	struct relay_parser parser;
	struct relay_message message;
	size_t len, used;

	(void)state;
	len = make(bytes, RELAY_READY, 0, 0, 0);
	len += make(bytes + len, RELAY_EXIT, 255, 0, 8);
	relay_parser_init(&parser, RELAY_TO_MONITOR);
	assert_int_equal(relay_parse(&parser, bytes, len, &used, &message), 1);
	assert_int_equal(message.type, RELAY_READY);
	assert_int_equal(used, RELAY_HEADER_LEN);
	assert_int_equal(relay_parse(&parser, bytes + used, len - used, &used, &message), 1);
	assert_int_equal(message.type, RELAY_EXIT);
	assert_int_equal(relay_parse(&parser, bytes, 0, &used, &message), 0);
}

static void wrong_headers_are_refused_at_once(void **state)
{
	static const uint8_t bad[][RELAY_HEADER_LEN] = {
		{ 0, RELAY_READY, 0, 0 },
		{ 2, RELAY_READY, 0, 0 },
		{ 1, 0, 0, 0 },
		{ 1, 255, 0, 0 },
		{ 1, RELAY_READY, 1, 0 },
		{ 1, RELAY_EXIT, 7, 0 },
		{ 1, RELAY_EXIT, 8, 1 },
		{ 1, RELAY_FAILED, 0, 0 },
		{ 1, RELAY_FAILED, 1, 1 },
		{ 1, RELAY_FAILED, 0xff, 0xff },
		{ 1, RELAY_SIGNAL, 4, 0 },
		{ 1, RELAY_RESIZE, 4, 0 },
	};
	struct relay_message message;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(parse_one(RELAY_TO_MONITOR, bad[i], RELAY_HEADER_LEN, &message),
				 -1);
}

static void direction_counts(void **state)
{
	uint8_t bytes[RELAY_MESSAGE_MAX];
	struct relay_message message;
	size_t len = make(bytes, RELAY_SIGNAL, 15, 0, 4);

	(void)state;
	assert_int_equal(parse_one(RELAY_TO_GUEST, bytes, len, &message), 1);
	assert_int_equal(parse_one(RELAY_TO_MONITOR, bytes, len, &message), -1);
	len = make(bytes, RELAY_READY, 0, 0, 0);
	assert_int_equal(parse_one(RELAY_TO_GUEST, bytes, len, &message), -1);
}

static void numbers_out_of_range_are_refused(void **state)
{
	uint8_t bytes[RELAY_MESSAGE_MAX];
	struct relay_message message;

	(void)state;
	assert_int_equal(
		parse_one(RELAY_TO_GUEST, bytes, make(bytes, RELAY_SIGNAL, 0, 0, 4), &message), -1);
	assert_int_equal(
		parse_one(RELAY_TO_GUEST, bytes, make(bytes, RELAY_SIGNAL, 65, 0, 4), &message),
		-1);
	assert_int_equal(
		parse_one(RELAY_TO_MONITOR, bytes, make(bytes, RELAY_EXIT, 256, 0, 8), &message),
		-1);
}

static void nothing_is_taken_after_a_broken_rule(void **state)
{
	static const uint8_t bad[RELAY_HEADER_LEN] = { 9, 9, 9, 9 };
	uint8_t good[RELAY_MESSAGE_MAX];
	struct relay_parser parser;
	struct relay_message message;
	size_t used, len = make(good, RELAY_READY, 0, 0, 0);

	(void)state;
	relay_parser_init(&parser, RELAY_TO_MONITOR);
	assert_int_equal(relay_parse(&parser, bad, sizeof(bad), &used, &message), -1);
	assert_int_equal(relay_parse(&parser, good, len, &used, &message), -1);
	assert_int_equal(used, 0);
}

static void text_is_made_printable(void **state)
{
	uint8_t bytes[RELAY_MESSAGE_MAX];
	struct relay_message message;
	size_t len = relay_encode(bytes, RELAY_FAILED, "a\033[2J\n\377", 7);

	(void)state;
	assert_int_equal(parse_one(RELAY_TO_MONITOR, bytes, len, &message), 1);
	assert_int_equal(message.len, 7);
	assert_memory_equal(message.payload, "a?[2J??", 7);
}

static void long_text_is_cut_by_the_sender(void **state)
{
	uint8_t bytes[RELAY_MESSAGE_MAX];
	char text[1000];
	struct relay_message message;
	size_t len;

	(void)state;
	memset(text, 'x', sizeof(text));
	len = relay_encode(bytes, RELAY_FAILED, text, sizeof(text));
	assert_int_equal(len, RELAY_MESSAGE_MAX);
	assert_int_equal(parse_one(RELAY_TO_MONITOR, bytes, len, &message), 1);
	assert_int_equal(message.len, RELAY_PAYLOAD_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(message_in_any_pieces_is_one_message),
		cmocka_unit_test(messages_after_one_another_are_told_apart),
		cmocka_unit_test(wrong_headers_are_refused_at_once),
		cmocka_unit_test(direction_counts),
		cmocka_unit_test(numbers_out_of_range_are_refused),
		cmocka_unit_test(nothing_is_taken_after_a_broken_rule),
		cmocka_unit_test(text_is_made_printable),
		cmocka_unit_test(long_text_is_cut_by_the_sender),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
