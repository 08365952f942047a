/*
 * The bytes that an image of the root takes, by boundary. Main thread.
 */
#ifndef VMM_COMPARE_IMAGE_H
#define VMM_COMPARE_IMAGE_H

#include "vmm/compare/compare.h"

struct image_size {
	uint64_t apparent;
	uint64_t allocated;
};

/* 0, or -errno with a new string in *REASON. */
int image_size_of(const struct compare *compare, const struct compare_column *column,
		  struct image_size *size, char **reason) MUST_CHECK;

#endif
