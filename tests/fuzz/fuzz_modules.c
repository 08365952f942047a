/* Fuzzes what is read of a kernel's modules: the list of dependencies, the version in a bzImage,
 * and packed files. The first byte chooses. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "vmm/image/modules.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void resolve(const char *text, size_t len)
{
	char *paths[MODULES_MAX];
	unsigned count = 0;

	if (modules_resolve(text, len, "erofs", paths, &count) == 0)
		assert(count > 0);
	if (modules_resolve(text, len, "virtio_blk", paths, &count) == 0)
		assert(count > 0);
	assert(count <= MODULES_MAX);
	while (count) {
		assert(paths[count - 1][0] != '/' && !strstr(paths[count - 1], ".."));
		free(paths[--count]);
	}
}

static void unpack(const uint8_t *data, size_t len)
{
	uint8_t *out;
	size_t out_len;

	if (modules_unpack(data, len, &out, &out_len) < 0)
		return;
	assert(out_len > 0);
	munmap(out, out_len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char version[64];

	if (size == 0)
		return 0;
	switch (data[0]) {
	case 'd':
		resolve((const char *)data + 1, size - 1);
		break;
	case 'v':
		if (modules_version(data + 1, size - 1, version, sizeof(version)))
			assert(*version && !strchr(version, '/'));
		break;
	default:
		unpack(data + 1, size - 1);
		break;
	}
	return 0;
}
