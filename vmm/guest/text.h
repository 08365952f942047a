/*
 * Text without stdio, which would be a third of guest-init. Any thread; no state.
 */
#ifndef VMM_GUEST_TEXT_H
#define VMM_GUEST_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TEXT_NUMBER_MAX 21 /* UINT64_MAX in decimal, and a NUL */

/*
 * Joins strings into OUT, cut off where its ROOM bytes end, always with a NUL there (unless ROOM is
 * 0). Returns the length of all, as snprintf does.
 */
#define text_join(out, room, ...)                                                                  \
	text_join_list(out, room, (const char *const[]){ __VA_ARGS__, NULL })
size_t text_join_list(char *out, size_t room, const char *const parts[]);

/* NUMBER in decimal, in OUT. Returns OUT. */
const char *text_number(char out[TEXT_NUMBER_MAX], uint64_t number);

/* Reads the decimal number that *TEXT begins with, and moves *TEXT behind it. False: there is none,
 * or it is too large. */
bool text_read_number(const char **text, uint64_t *number);

#endif
