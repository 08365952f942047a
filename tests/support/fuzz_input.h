/*
 * A fuzz target's input, read from its beginning on.
 */
#ifndef TESTS_SUPPORT_FUZZ_INPUT_H
#define TESTS_SUPPORT_FUZZ_INPUT_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct input {
	const uint8_t *at;
	size_t left;
};

/* The next WIDTH bytes, 8 at most, as a number; what the input no longer has is 0. */
static inline uint64_t take(struct input *in, size_t width)
{
	uint64_t value = 0;

	if (width > in->left)
		width = in->left;
	memcpy(&value, in->at, width);
	in->at += width;
	in->left -= width;
	return value;
}

#endif
