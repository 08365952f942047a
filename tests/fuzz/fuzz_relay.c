/*
 * The relay protocol's reader under any bytes in any pieces. Checked: every byte is accounted for;
 * what it lets through is what the protocol allows; whole or in pieces the same messages come out;
 * a reader that has found a lie takes nothing more; and what was read encodes to what was read.
 */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "vmm/guest/relay_parse.h"

#define MESSAGES_MAX 1024

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check(enum relay_direction direction, const struct relay_message *message)
{
	bool to_monitor = message->type >= RELAY_READY;

	assert(to_monitor == (direction == RELAY_TO_MONITOR));
	assert(message->len <= RELAY_PAYLOAD_MAX);
	if (message->type == RELAY_EXIT)
		assert(relay_get32(message->payload) <= RELAY_EXIT_STATUS_MAX);
	if (message->type == RELAY_SIGNAL)
		assert(relay_get32(message->payload) - 1 < 64);
	for (uint16_t i = 0; message->type == RELAY_FAILED && i < message->len; i++)
		assert(message->payload[i] >= ' ' && message->payload[i] <= '~');
}

/* Reads all of DATA in pieces of PIECE bytes; a number made of what came out. */
static uint64_t read_all(enum relay_direction direction, const uint8_t *data, size_t len,
			 size_t piece, bool *broken)
{
	struct relay_parser parser;
	struct relay_message message;
	uint64_t sum = 0;

	relay_parser_init(&parser, direction);
	for (size_t at = 0; at < len;) {
		size_t part = len - at < piece ? len - at : piece, used;
		int ret = relay_parse(&parser, data + at, part, &used, &message);

		assert(used <= part);
		at += used;
		if (ret < 0) {
			*broken = true;
			assert(relay_parse(&parser, data, len, &used, &message) < 0 && used == 0);
			return sum;
		}
		assert(ret == 1 || used == part);
		if (ret == 0)
			continue;
		check(direction, &message);
		for (uint16_t i = 0; i < message.len; i++)
			sum = sum * 31 + message.payload[i];
		sum = sum * 31 + message.type;
	}
	return sum;
}

static void encode_and_read(const uint8_t *data, size_t len)
{
	uint8_t bytes[RELAY_MESSAGE_MAX];
	struct relay_parser parser;
	struct relay_message message;
	size_t used, total = relay_encode(bytes, RELAY_FAILED, data, len);

	relay_parser_init(&parser, RELAY_TO_MONITOR);
	assert(relay_parse(&parser, bytes, total, &used, &message) == (len > 0 ? 1 : -1));
	if (len > 0)
		assert(message.len == (len < RELAY_PAYLOAD_MAX ? len : RELAY_PAYLOAD_MAX));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	enum relay_direction direction;
	bool broken[2] = { false, false };
	uint64_t whole, pieces;
	size_t piece;

	if (len < 1)
		return 0;
	direction = data[0] & 1 ? RELAY_TO_GUEST : RELAY_TO_MONITOR;
	piece = 1u + (data[0] >> 1);
	whole = read_all(direction, data + 1, len - 1, len, &broken[0]);
	pieces = read_all(direction, data + 1, len - 1, piece, &broken[1]);
	assert(whole == pieces && broken[0] == broken[1]);
	encode_and_read(data + 1, len - 1);
	return 0;
}
