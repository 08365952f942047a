/*
 * Text without stdio. See text.h. Part of guest-init.
 */
#include "vmm/guest/text.h"

#include <string.h>

size_t text_join_list(char *out, size_t room, const char *const parts[])
{
	size_t len = 0;

	for (; *parts; parts++) {
		size_t part_len = strlen(*parts);

		if (len < room)
			memcpy(out + len, *parts, part_len < room - len ? part_len : room - len);
		len += part_len;
	}
	if (room)
		out[len < room ? len : room - 1] = '\0';
	return len;
}

const char *text_number(char out[TEXT_NUMBER_MAX], uint64_t number)
{
	char digits[TEXT_NUMBER_MAX];
	size_t at = sizeof(digits) - 1;

	digits[at] = '\0';
	do {
		digits[--at] = (char)('0' + number % 10);
		number /= 10;
	} while (number);
	return memcpy(out, digits + at, sizeof(digits) - at);
}

bool text_read_number(const char **text, uint64_t *number)
{
	const char *at = *text;

	for (*number = 0; *at >= '0' && *at <= '9'; at++)
		if (__builtin_mul_overflow(*number, 10, number) ||
		    __builtin_add_overflow(*number, (uint64_t)(*at - '0'), number))
			return false;
	if (at == *text)
		return false;
	*text = at;
	return true;
}
