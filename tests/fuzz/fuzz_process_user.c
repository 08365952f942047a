/*
 * /etc/passwd and /etc/group of a root directory, which anybody may have made: the input up to the
 * first zero byte is the name looked for, up to the next one the first file, the rest the second.
 * The same bytes are read as /etc/subuid.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/boundary/process_ids.h"
#include "vmm/boundary/process_user.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	const char *name = (const char *)data;
	const uint8_t *first = memchr(data, 0, len);
	struct process_id_range range;
	struct process_user user;
	const uint8_t *second;
	size_t rest;

	if (!first)
		return 0;
	rest = len - (size_t)(++first - data);
	second = rest ? memchr(first, 0, rest) : NULL;
	if (!second)
		return 0;
	if (process_user_find(&user, name, (const char *)first, (size_t)(second - first),
			      (const char *)second + 1, rest - (size_t)(second + 1 - first)) &&
	    (user.group_count == 0 || user.group_count > PROCESS_GROUPS_MAX || user.home[0] != '/'))
		abort();
	if (process_ids_parse((const char *)first, rest, name, 1000, &range) &&
	    (range.count == 0 || range.first == 0))
		abort();
	return 0;
}
