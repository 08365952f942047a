/*
 * What a workload prints: lines, steps, or fio's JSON, from inside a boundary.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/compare/output.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct output output = { .count = 0 };
	char *text = malloc(size + 1);

	if (!text)
		return 0;
	memcpy(text, data, size);
	text[size] = '\0';
	output_parse_lines(&output, text);
	output_parse_steps(&output, text);
	/* Every item is a string of printable characters. */
	for (unsigned i = 0; i < output.count; i++)
		for (const char *at = output.items[i].text; *at; at++)
			if (*at < ' ' || *at > '~')
				abort();
	output.count = 0;
	if (output_parse_fio(&output, text) == 0 && output_find(&output, "x_ns") >= 0 &&
	    output.items[output_find(&output, "x_ns")].value <= 0)
		abort();
	free(text);
	return 0;
}
