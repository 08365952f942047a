/*
 * The relay protocol's strict reader: version, type, direction and length are checked as soon as
 * the header is there, so that a wrong length is never waited for. See vmm/guest/relay.h. Called by
 * the monitor on its loop's thread and by guest-init.
 */
#include "vmm/guest/relay_parse.h"

void relay_parser_init(struct relay_parser *parser, enum relay_direction direction)
{
	memset(parser, 0, sizeof(*parser));
	parser->direction = direction;
}

static bool header_is_good(const struct relay_parser *parser)
{
	uint16_t len = relay_get16(parser->bytes + 2);
	bool to_monitor = parser->direction == RELAY_TO_MONITOR;

	if (parser->bytes[0] != RELAY_VERSION)
		return false;
	switch (parser->bytes[1]) {
	case RELAY_SIGNAL:
	case RELAY_RESIZE:
		return !to_monitor && len == 4;
	case RELAY_READY:
		return to_monitor && len == 0;
	case RELAY_EXIT:
		return to_monitor && len == 8;
	case RELAY_FAILED:
		return to_monitor && len > 0 && len <= RELAY_PAYLOAD_MAX;
	default:
		return false;
	}
}

static bool payload_is_good(const struct relay_parser *parser)
{
	const uint8_t *payload = parser->bytes + RELAY_HEADER_LEN;

	switch (parser->bytes[1]) {
	case RELAY_SIGNAL:
		return relay_get32(payload) >= 1 && relay_get32(payload) <= 64;
	case RELAY_EXIT:
		return relay_get32(payload) <= RELAY_EXIT_STATUS_MAX;
	default:
		return true;
	}
}

/* Takes bytes until WANTED are there. */
static size_t fill(struct relay_parser *parser, size_t wanted, const uint8_t *data, size_t len)
{
	size_t part = wanted > parser->have ? wanted - parser->have : 0;

	if (part > len)
		part = len;
	if (part > 0)
		memcpy(parser->bytes + parser->have, data, part);
	parser->have += part;
	return part;
}

static void deliver(struct relay_parser *parser, struct relay_message *message)
{
	message->type = parser->bytes[1];
	message->len = relay_get16(parser->bytes + 2);
	memcpy(message->payload, parser->bytes + RELAY_HEADER_LEN, message->len);
	for (uint16_t i = 0; message->type == RELAY_FAILED && i < message->len; i++)
		if (message->payload[i] < ' ' || message->payload[i] > '~')
			message->payload[i] = '?';
	parser->have = 0;
}

int relay_parse(struct relay_parser *parser, const uint8_t *data, size_t len, size_t *used,
		struct relay_message *message)
{
	size_t wanted;

	*used = 0;
	if (parser->broken)
		return -1;
	*used = fill(parser, RELAY_HEADER_LEN, data, len);
	if (parser->have < RELAY_HEADER_LEN)
		return 0;
	if (!header_is_good(parser)) {
		parser->broken = true;
		return -1;
	}
	wanted = RELAY_HEADER_LEN + relay_get16(parser->bytes + 2);
	*used += fill(parser, wanted, data + *used, len - *used);
	if (parser->have < wanted)
		return 0;
	if (!payload_is_good(parser)) {
		parser->broken = true;
		return -1;
	}
	deliver(parser, message);
	return 1;
}
