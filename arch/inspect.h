/*
 * Looks into a kernel's file without booting it, for `vmm doctor`. Beside arch.h, because only that
 * needs it. Calling thread.
 */
#ifndef ARCH_INSPECT_H
#define ARCH_INSPECT_H

#include <stddef.h>
#include <stdint.h>

#include "vmm/err.h"

struct arch_inspection {
	char version[64]; /* "6.12.1"; empty: not told */
	uint8_t *image;	  /* what is inside the container, made by mmap(2); NULL: the file itself */
	size_t image_len;
	const char *problem; /* static: why this is no kernel to boot, when -errno is returned */
};

/* DATA is a whole file. 0 or -errno, not logged. End with arch_inspect_fini, also after errors. */
int arch_inspect_kernel(const uint8_t *data, size_t len, struct arch_inspection *out) MUST_CHECK;
void arch_inspect_fini(struct arch_inspection *inspection);

#endif
