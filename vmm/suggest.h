/*
 * "Did you mean": the known word that lies nearest to what somebody typed.
 */
#ifndef VMM_SUGGEST_H
#define VMM_SUGGEST_H

#include <stddef.h>

/*
 * Feeds the words of a list one by one and keeps the nearest. Start with TYPED and zeroes. Distance
 * counts letters put in, left out, changed, or swapped with a neighbour; a word that begins with
 * what was typed is near too. Borrowed pointers.
 */
struct suggest {
	const char *typed;
	const char *nearest; /* NULL: nothing is near enough to be meant */
	size_t distance;
};

void suggest_add(struct suggest *suggest, const char *word);

#endif
