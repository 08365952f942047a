/*
 * Embedded files. zlib is there anyway: libelf needs it.
 */
#include "vmm/blob.h"

#include <endian.h>
#include <string.h>
#include <zlib.h>

#include "vmm/log.h"

#define GZIP_LEN_MIN 18 /* RFC 1952: header and trailer */
#define GZIP_WINDOW  (15 + 16)
#define UNPACKED_MAX (16u << 20)

int blob_unpack(const uint8_t *packed, size_t packed_len, uint8_t **out, size_t *len)
{
	z_stream stream = { .next_in = (uint8_t *)packed, .avail_in = (uInt)packed_len };
	uint32_t size;
	int ret = Z_DATA_ERROR;

	*out = NULL;
	if (packed_len < GZIP_LEN_MIN || inflateInit2(&stream, GZIP_WINDOW) != Z_OK)
		return log_errno(EIO, "unpack a part of this program");
	/* ISIZE, RFC 1952, section 2.3.1 */
	memcpy(&size, packed + packed_len - sizeof(size), sizeof(size));
	*len = le32toh(size);
	if (*len <= UNPACKED_MAX)
		*out = malloc(*len + 1);
	if (*out) {
		(*out)[*len] = '\0';
		stream.next_out = *out;
		stream.avail_out = (uInt)*len;
		ret = inflate(&stream, Z_FINISH);
	}
	inflateEnd(&stream);
	if (ret == Z_STREAM_END && stream.avail_out == 0)
		return 0;
	free(*out);
	*out = NULL;
	return log_errno(EIO, "unpack a part of this program");
}
