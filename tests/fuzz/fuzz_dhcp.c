/* Fuzzes what guest-init reads from a DHCP server. Whatever the bytes, it ends and takes no more
 * than it has room for. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/guest/dhcp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t mac[6] = { 2, 1, 2, 3, 4, 5 };
	struct dhcp_lease lease;
	uint8_t *copy = malloc(size ? size : 1);
	uint32_t id = 0x12345678;

	if (!copy)
		return 0;
	memcpy(copy, data, size);
	/* So that most inputs get past the question whom they are for. */
	if (size > 62) {
		memcpy(copy + 32, &id, 4);
		memcpy(copy + 56, mac, 6);
	}
	if (dhcp_read(copy, size, id, mac, &lease))
		assert(lease.dns_count <= DHCP_DNS_MAX);
	free(copy);
	return 0;
}
