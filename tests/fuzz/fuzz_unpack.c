/* Any bytes as a packed payload, into rooms of several sizes. */
#include <assert.h>
#include <stdlib.h>

#include "arch/x86_64/unpack.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const size_t rooms[] = { 1 << 20, 4096, 1 };
	enum unpack_kind kind = unpack_detect(data, len);

	for (size_t i = 0; i < ARRAY_SIZE(rooms); i++) {
		uint8_t *room = malloc(rooms[i]);
		size_t out_len;

		if (unpack_stream(kind, data, len, room, rooms[i], &out_len) == 0)
			assert(out_len <= rooms[i]);
		free(room);
	}
	return 0;
}
