/*
 * What a command wrote, on its way from guest-init to the monitor: the console port "vmm.keep",
 * there only when it was asked for.
 *
 * The stream is a sequence of records: a header of KEEP_HEADER_LEN bytes, a name, a payload; all
 * numbers little-endian:
 *   byte 0   type, enum keep_type
 *   byte 1   flags, KEEP_OPAQUE or KEEP_OF_DIR
 *   byte 2   length of the name, 16 bits
 *   byte 4   mode, owner, group, 32 bits each
 *   byte 16  time of the last change: seconds, 64 bits, nanoseconds, 32 bits
 *   byte 28  length of the payload, 32 bits
 *   byte 32  size, 64 bits: see the types
 * A name is one component of a path, below the directory that the records before it have entered,
 * or that of an attribute.
 * It begins with KEEP_BEGIN; without KEEP_END at its end it is not whole, and worth nothing. The
 * monitor trusts nothing of it: see vmm/boundary/keep_parse.h. Only libc; shared by both.
 */
#ifndef VMM_GUEST_KEEP_H
#define VMM_GUEST_KEEP_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "vmm/guest/relay.h"

#define KEEP_PORT	 "vmm.keep"
#define KEEP_MAGIC	 0x326b656570u /* "keep2" */
#define KEEP_HEADER_LEN	 40u
#define KEEP_NAME_MAX	 255u
#define KEEP_PATH_MAX	 4095u
#define KEEP_TEXT_MAX	 200u
#define KEEP_PAYLOAD_MAX (1u << 20)
#define KEEP_VALUE_MAX	 65536u /* of an attribute: the kernel's own limit */
/* A tree that is deeper is refused. */
#define KEEP_DEPTH_MAX	200u

#define KEEP_CAPABILITY "security.capability"

#define KEEP_OPAQUE	1u /* nothing of the layers below is seen in this directory */
#define KEEP_OF_DIR	1u /* of an attribute */

enum keep_type {
	KEEP_BEGIN = 1,	   /* size: KEEP_MAGIC */
	KEEP_DIR = 2,	   /* name, flags: what follows lies in it */
	KEEP_UP = 3,	   /* attributes of the directory that is left */
	KEEP_FILE = 4,	   /* name, attributes, size: all zero but for the data that follow */
	KEEP_DATA = 5,	   /* payload, size: where in the file it begins */
	KEEP_SYMLINK = 6,  /* name, attributes; payload: where to */
	KEEP_LINK = 7,	   /* name; payload: the path, from the top, of a file that came before */
	KEEP_NODE = 8,	   /* name, attributes with the type in mode: a FIFO, a socket, a device */
	KEEP_WHITEOUT = 9, /* name: what the layers below have of it is gone */
	KEEP_END = 10,	   /* size: how many records came before */
	KEEP_FAILED = 11,  /* payload: why it cannot go on, for the person; the last one */
	/* name, payload, flags: an extended attribute of the file that is sent, or of the
	 * directory: then nothing but such follows until KEEP_UP */
	KEEP_ATTRIBUTE = 12,
};

struct keep_record {
	uint8_t type;
	uint8_t flags;
	uint16_t name_len;
	uint32_t mode;
	uint32_t uid;
	uint32_t gid;
	int64_t mtime_sec;
	uint32_t mtime_nsec;
	uint32_t payload_len;
	uint64_t size;
};

/* Whether it goes out: a person's own, access lists and capabilities, but no mark of an overlay. */
static inline bool keep_is_attribute(const char *name)
{
	if (strncmp(name, "user.", 5) == 0)
		return strncmp(name + 5, "overlay.", 8) != 0;
	return strcmp(name, "system.posix_acl_access") == 0 ||
	       strcmp(name, "system.posix_acl_default") == 0 || strcmp(name, KEEP_CAPABILITY) == 0;
}

static inline void keep_put64(uint8_t *at, uint64_t value)
{
	relay_put32(at, (uint32_t)value);
	relay_put32(at + 4, (uint32_t)(value >> 32));
}

static inline uint64_t keep_get64(const uint8_t *at)
{
	return relay_get32(at) | (uint64_t)relay_get32(at + 4) << 32;
}

static inline void keep_encode(uint8_t out[KEEP_HEADER_LEN], const struct keep_record *record)
{
	out[0] = record->type;
	out[1] = record->flags;
	relay_put16(out + 2, record->name_len);
	relay_put32(out + 4, record->mode);
	relay_put32(out + 8, record->uid);
	relay_put32(out + 12, record->gid);
	keep_put64(out + 16, (uint64_t)record->mtime_sec);
	relay_put32(out + 24, record->mtime_nsec);
	relay_put32(out + 28, record->payload_len);
	keep_put64(out + 32, record->size);
}

#endif
