/*
 * Which rows: the words of --rows. Pure.
 */
#ifndef VMM_COMPARE_SELECT_H
#define VMM_COMPARE_SELECT_H

#include "vmm/compare/compare.h"

/* Selects what COMPARE's level takes in. */
void compare_select_level(struct compare *compare);
/*
 * Selects by LIST alone: names of rows, of groups (the part before the first dot), or "all", parted
 * by commas. 0, or -EINVAL with the word that is no row in WORD and the nearest name, or NULL, in
 * *NEAREST.
 */
int compare_select(struct compare *compare, const char *list, char word[64],
		   const char **nearest) MUST_CHECK;

#endif
