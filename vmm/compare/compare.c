/* What all parts of the comparison use: see compare.h. */
#include "vmm/compare/compare.h"

#include <stdarg.h>
#include <stdio.h>

char *compare_text(const char *fmt, ...)
{
	char *text = NULL;
	va_list args;

	va_start(args, fmt);
	if (vasprintf(&text, fmt, args) < 0)
		text = NULL;
	va_end(args);
	return text;
}

uint64_t compare_patience_ms(const struct compare *compare, unsigned seconds)
{
	return seconds * UINT64_C(1000) * (compare->icount ? 100000 : 1);
}

void compare_fact(struct compare *compare, const char *name, const char *fmt, ...)
{
	struct compare_fact *fact = &compare->facts[compare->fact_count];
	va_list args;

	if (compare->fact_count == ARRAY_SIZE(compare->facts))
		return;
	va_start(args, fmt);
	if (vasprintf(&fact->value, fmt, args) < 0)
		fact->value = NULL;
	va_end(args);
	fact->name = compare_text("%s", name);
	if (fact->name && fact->value) {
		compare->fact_count++;
		return;
	}
	free(fact->name);
	free(fact->value);
}

void compare_fini(struct compare *compare)
{
	for (size_t row = 0; row < COMPARE_ROWS_MAX; row++) {
		for (size_t i = 0; i < COMPARE_COLUMNS_MAX; i++) {
			free(compare->cells[row][i].text);
			free(compare->cells[row][i].reason);
		}
	}
	for (size_t i = 0; i < COMPARE_COLUMNS_MAX; i++) {
		free(compare->columns[i].reason);
		free(compare->columns[i].script);
	}
	for (size_t i = 0; i < compare->fact_count; i++) {
		free(compare->facts[i].name);
		free(compare->facts[i].value);
	}
	for (size_t i = 0; i < compare->command_count; i++)
		free(compare->commands[i]);
	free(compare->commands);
	free(compare->root);
	free(compare->cache);
	free(compare->scratch);
	free(compare->load);
}
