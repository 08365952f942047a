/*
 * Messages of the relay protocol out of a stream of bytes that comes in any pieces. Pure: no
 * descriptors, no allocation, no log. Both ends use it; only libc.
 */
#ifndef VMM_GUEST_RELAY_PARSE_H
#define VMM_GUEST_RELAY_PARSE_H

#include <stdbool.h>

#include "vmm/guest/relay.h"

enum relay_direction { RELAY_TO_GUEST, RELAY_TO_MONITOR };

/* Set by relay_parser_init. */
struct relay_parser {
	enum relay_direction direction;
	bool broken; /* a rule was broken: nothing is taken any more */
	size_t have; /* bytes of the message that is being put together */
	uint8_t bytes[RELAY_MESSAGE_MAX];
};

/* DIRECTION: which messages are expected. */
void relay_parser_init(struct relay_parser *parser, enum relay_direction direction);

/*
 * Looks at LEN bytes; *USED is how many were taken. 1: they ended a message, now in *MESSAGE, and
 * the rest is offered again; 0: all were taken and more are needed; -1: a rule was broken, now or
 * earlier. A text's unprintable bytes are replaced.
 */
int relay_parse(struct relay_parser *parser, const uint8_t *data, size_t len, size_t *used,
		struct relay_message *message);

#endif
