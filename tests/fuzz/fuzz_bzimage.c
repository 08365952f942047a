/* Any file as a bzImage's header, and as something to be named. */
#include <assert.h>
#include <string.h>

#include "arch/x86_64/bzimage.h"
#include "arch/x86_64/identify.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct bzimage bz;
	const char *why = NULL;

	assert(identify_file(data, len) != NULL);
	if (bzimage_parse(data, len, &bz, &why) != 0) {
		assert(why != NULL && why[0] != '\0');
		return 0;
	}
	assert(bz.code_offset + bz.code_len == len);
	assert(bz.payload_offset + bz.payload_len <= len);
	assert(strlen(bz.version) < sizeof(bz.version));
	return 0;
}
