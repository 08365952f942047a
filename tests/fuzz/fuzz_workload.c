/* Fuzzes the reader of what guest-init is told. Whatever the bytes, it ends, and what it took keeps
 * its rules. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/guest/workload.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct workload workload;
	const char *why = NULL;
	char *text = malloc(size + 1);

	if (!text)
		return 0;
	memcpy(text, data, size);
	if (workload_parse(&workload, text, size, &why)) {
		assert(!why && workload.argv[0] && workload.cwd[0] == '/');
		for (unsigned i = 0; i < workload.volume_count; i++)
			assert(workload.volumes[i].target[0] == '/');
		workload_fini(&workload);
	} else {
		assert(why && !workload.argv);
	}
	free(text);
	return 0;
}
