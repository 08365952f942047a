/*
 * The protocol between guest-init and the monitor on the console port "vmm.control".
 *
 * A message is a header of RELAY_HEADER_LEN bytes and a payload, all numbers little-endian:
 *   byte 0  version, RELAY_VERSION
 *   byte 1  type
 *   byte 2  length of the payload, 16 bits, at most RELAY_PAYLOAD_MAX
 * Each type has one direction and one length (the text's is free). The other side is not trusted:
 * what breaks a rule ends the conversation. The command's streams have ports of their own without
 * any framing; an input stream ends by the monitor's closing its port (virtio 1.2, 5.3.6.2).
 */
#ifndef VMM_GUEST_RELAY_H
#define VMM_GUEST_RELAY_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define RELAY_VERSION	  1
#define RELAY_HEADER_LEN  4u
#define RELAY_PAYLOAD_MAX 256u
#define RELAY_MESSAGE_MAX (RELAY_HEADER_LEN + RELAY_PAYLOAD_MAX)

/* Names of the ports; with a terminal there is TTY instead of the three streams. KEEP_PORT is in
 * keep.h. */
#define RELAY_PORT_CONTROL "vmm.control"
#define RELAY_PORT_STDIN   "vmm.stdin"
#define RELAY_PORT_STDOUT  "vmm.stdout"
#define RELAY_PORT_STDERR  "vmm.stderr"
#define RELAY_PORT_TTY	   "vmm.tty"

enum relay_type {
	/* To the guest. */
	RELAY_SIGNAL = 1, /* number, 32 bits: for the command's process group */
	RELAY_RESIZE = 2, /* columns, rows, 16 bits each */
	/* To the monitor. */
	RELAY_READY = 16,  /* nothing: the command is about to be started */
	RELAY_EXIT = 17,   /* status, flags, 32 bits each: all output was handed over */
	RELAY_FAILED = 18, /* text: the command cannot be started, and why */
};

#define RELAY_EXIT_OUT_OF_MEMORY 1u /* flag: the kernel killed for want of memory */
#define RELAY_EXIT_STATUS_MAX	 255u

struct relay_message {
	uint8_t type; /* enum relay_type */
	uint16_t len;
	uint8_t payload[RELAY_PAYLOAD_MAX];
};

static inline void relay_put16(uint8_t *at, uint16_t value)
{
	at[0] = (uint8_t)value;
	at[1] = (uint8_t)(value >> 8);
}

static inline void relay_put32(uint8_t *at, uint32_t value)
{
	relay_put16(at, (uint16_t)value);
	relay_put16(at + 2, (uint16_t)(value >> 16));
}

static inline uint16_t relay_get16(const uint8_t *at)
{
	return (uint16_t)(at[0] | at[1] << 8);
}

static inline uint32_t relay_get32(const uint8_t *at)
{
	return relay_get16(at) | (uint32_t)relay_get16(at + 2) << 16;
}

/* Writes a message of LEN bytes of payload (cut to what may be) to OUT; its whole length. */
static inline size_t relay_encode(uint8_t out[RELAY_MESSAGE_MAX], uint8_t type, const void *payload,
				  size_t len)
{
	if (len > RELAY_PAYLOAD_MAX)
		len = RELAY_PAYLOAD_MAX;
	out[0] = RELAY_VERSION;
	out[1] = type;
	relay_put16(out + 2, (uint16_t)len);
	if (len > 0)
		memcpy(out + RELAY_HEADER_LEN, payload, len);
	return RELAY_HEADER_LEN + len;
}

#endif
