/*
 * A kernel's embedded configuration, as `vmm doctor --kernel` reads it.
 */
#include <stdint.h>
#include <stdlib.h>

#include "vmm/kernel_config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct kernel_config config = { .text = kernel_config_extract(data, len) };

	(void)kernel_config_get(&config, "VIRTIO_BLK");
	kernel_config_fini(&config);
	return 0;
}
