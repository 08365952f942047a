/*
 * Fuzzes the unpacking of embedded files. What does not have the frame's head gets one, so that the
 * block is what is tried.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/quiet_log.h"
#include "vmm/blob.h"

#define FRAME_LEN   23 /* head, block length and end */
#define CONTENT_MAX 4096

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	uint8_t *framed, *out;
	size_t out_len;
	uint32_t block_len;

	if (blob_unpack(data, len, &out, &out_len) == 0)
		free(out);
	if (len < 2)
		return 0;
	/* The first two bytes are the content's length, as it is said to be. */
	block_len = (uint32_t)(len - 2);
	framed = calloc(1, FRAME_LEN + block_len);
	if (!framed)
		return 0;
	memcpy(framed, "\x04\x22\x4d\x18\x68\x70", 6);
	framed[6] = data[0];
	framed[7] = data[1] % (CONTENT_MAX >> 8);
	memcpy(framed + 15, &block_len, sizeof(block_len));
	memcpy(framed + 19, data + 2, block_len);
	if (blob_unpack(framed, FRAME_LEN + block_len, &out, &out_len) == 0)
		free(out);
	free(framed);
	return 0;
}
