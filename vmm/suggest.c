/*
 * Nearest word by edit distance (with transpositions of neighbours). Called by the parsers of the
 * command line and of configuration files when a word is unknown. Pure.
 */
#include "vmm/suggest.h"

#include <stdint.h>
#include <string.h>

#define WORD_MAX 32

static size_t min_of(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* Three rows of the usual table are enough: this one, the last, and for swaps the one before. */
static size_t edit_distance(const char *a, size_t a_len, const char *b, size_t b_len)
{
	size_t rows[3][WORD_MAX + 1];

	for (size_t j = 0; j <= b_len; j++)
		rows[0][j] = j;
	for (size_t i = 1; i <= a_len; i++) {
		size_t *row = rows[i % 3];
		const size_t *above = rows[(i + 2) % 3];
		const size_t *above2 = rows[(i + 1) % 3];

		row[0] = i;
		for (size_t j = 1; j <= b_len; j++) {
			size_t changed = a[i - 1] != b[j - 1];

			row[j] = min_of(above[j] + 1, row[j - 1] + 1);
			row[j] = min_of(row[j], above[j - 1] + changed);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				row[j] = min_of(row[j], above2[j - 2] + 1);
		}
	}
	return rows[a_len % 3][b_len];
}

void suggest_add(struct suggest *suggest, const char *word)
{
	size_t typed_len = strlen(suggest->typed);
	size_t word_len = strlen(word);
	size_t distance;

	if (typed_len == 0 || typed_len > WORD_MAX || word_len > WORD_MAX)
		return;
	if (typed_len >= 3 && typed_len < word_len && strncmp(word, suggest->typed, typed_len) == 0)
		distance = 1;
	else
		distance = edit_distance(suggest->typed, typed_len, word, word_len);
	if (distance > 1 + word_len / 4 || distance >= word_len)
		return;
	if (suggest->nearest && suggest->distance <= distance)
		return;
	suggest->nearest = word;
	suggest->distance = distance;
}
