/*
 * Embedded files. They are LZ4 frames (LZ4 Frame Format 1.6, one block; LZ4 Block Format), since a
 * start unpacks one and this costs it a fifteenth of what gzip's does, and no library: liblz4 and
 * zlib are there for kernels only, and opened then. Whoever can change these bytes can change the
 * program; they are looked at closely even so.
 */
#include "vmm/blob.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/log.h"

#define FRAME_MAGIC	 0x184d2204u
#define FRAME_FLAGS	 0x68 /* FLG: version 01, independent blocks, content size */
#define FRAME_FLAGS_AT	 4
#define FRAME_CONTENT_AT 6
#define FRAME_BLOCK_AT	 15 /* behind the header's checksum */
#define FRAME_LEN_MIN	 (FRAME_BLOCK_AT + 4 + 4)
#define UNPACKED_MAX	 (4u << 20) /* of one block */
#define MATCH_LEN_MIN	 4

struct unpack {
	const uint8_t *in, *in_end;
	uint8_t *begin, *out, *out_end;
};

static uint32_t read_le32(const uint8_t *at)
{
	uint32_t value;

	memcpy(&value, at, sizeof(value));
	return le32toh(value);
}

/* What a nibble of 15 goes on with. */
static bool read_len(struct unpack *unpack, size_t *len)
{
	uint8_t more;

	if (*len != 15)
		return true;
	do {
		if (unpack->in == unpack->in_end)
			return false;
		more = *unpack->in++;
		*len += more;
	} while (more == 255);
	return true;
}

static bool copy_literals(struct unpack *unpack, size_t len)
{
	if (!read_len(unpack, &len) || len > (size_t)(unpack->in_end - unpack->in) ||
	    len > (size_t)(unpack->out_end - unpack->out))
		return false;
	memcpy(unpack->out, unpack->in, len);
	unpack->in += len;
	unpack->out += len;
	return true;
}

/* What came before, again; it may reach into what is being written. */
static bool copy_match(struct unpack *unpack, size_t len)
{
	size_t back;

	if (unpack->in_end - unpack->in < 2)
		return false;
	back = (size_t)(unpack->in[0] | unpack->in[1] << 8);
	unpack->in += 2;
	if (!read_len(unpack, &len))
		return false;
	len += MATCH_LEN_MIN;
	if (back == 0 || back > (size_t)(unpack->out - unpack->begin) ||
	    len > (size_t)(unpack->out_end - unpack->out))
		return false;
	if (back >= len)
		memcpy(unpack->out, unpack->out - back, len);
	else if (back == 1)
		memset(unpack->out, unpack->out[-1], len);
	else
		for (size_t i = 0; i < len; i++)
			unpack->out[i] = *(unpack->out + i - back);
	unpack->out += len;
	return true;
}

/* Sequences to the block's end, the last of which has literals only. */
static bool unpack_block(struct unpack *unpack)
{
	while (unpack->in < unpack->in_end) {
		uint8_t token = *unpack->in++;

		if (!copy_literals(unpack, token >> 4))
			return false;
		if (unpack->in == unpack->in_end)
			return unpack->out == unpack->out_end;
		if (!copy_match(unpack, token & 15))
			return false;
	}
	return false;
}

/* The content's size, or SIZE_MAX where PACKED is not such a frame. */
static size_t content_len(const uint8_t *packed, size_t packed_len)
{
	uint64_t len;

	if (packed_len < FRAME_LEN_MIN || read_le32(packed) != FRAME_MAGIC ||
	    packed[FRAME_FLAGS_AT] != FRAME_FLAGS)
		return SIZE_MAX;
	memcpy(&len, packed + FRAME_CONTENT_AT, sizeof(len));
	len = le64toh(len);
	/* One block, packed (the highest bit says that it is not), and the mark of the end. */
	if (len > UNPACKED_MAX ||
	    read_le32(packed + FRAME_BLOCK_AT) != packed_len - FRAME_LEN_MIN ||
	    read_le32(packed + packed_len - 4) != 0)
		return SIZE_MAX;
	return len;
}

int blob_unpack(const uint8_t *packed, size_t packed_len, uint8_t **out, size_t *len)
{
	struct unpack unpack = { .in = packed + FRAME_BLOCK_AT + 4 };

	*out = NULL;
	*len = content_len(packed, packed_len);
	if (*len != SIZE_MAX)
		*out = malloc(*len + 1);
	if (*out) {
		unpack.in_end = packed + packed_len - 4;
		unpack.begin = unpack.out = *out;
		unpack.out_end = *out + *len;
		*unpack.out_end = '\0';
		if (unpack_block(&unpack))
			return 0;
	}
	free(*out);
	*out = NULL;
	return log_errno(EIO, "unpack a part of this program");
}
