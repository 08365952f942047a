/* See select.h. */
#include "vmm/compare/select.h"

#include <stdio.h>
#include <string.h>

#include "vmm/suggest.h"

void compare_select_level(struct compare *compare)
{
	for (size_t i = 0; i < compare_row_count; i++)
		compare->selected[i] = compare_row_task(&compare_rows[i])->level <= compare->level;
}

/* Whether NAME is WORD, or lies in the group that WORD names. */
static bool row_is(const char *name, const char *word, size_t word_len)
{
	return strncmp(name, word, word_len) == 0 &&
	       (name[word_len] == '\0' || name[word_len] == '.');
}

int compare_select(struct compare *compare, const char *list, char word[64], const char **nearest)
{
	memset(compare->selected, 0, sizeof(compare->selected));
	*nearest = NULL;
	for (;;) {
		size_t len = strcspn(list, ",");
		struct suggest suggest = { .typed = word };
		bool found = false;

		snprintf(word, 64, "%.*s", (int)(len < 63 ? len : 63), list);
		for (size_t i = 0; i < compare_row_count; i++) {
			if (strcmp(word, "all") != 0 &&
			    (len == 0 || !row_is(compare_rows[i].name, word, strlen(word))))
				continue;
			compare->selected[i] = true;
			found = true;
		}
		if (!found) {
			for (size_t i = 0; i < compare_row_count; i++)
				suggest_add(&suggest, compare_rows[i].name);
			*nearest = suggest.nearest;
			return -EINVAL;
		}
		if (!list[len])
			return 0;
		list += len + 1;
	}
}
