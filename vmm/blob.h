/*
 * Files that the program carries inside itself, compressed (an LZ4 frame) when it was built.
 */
#ifndef VMM_BLOB_H
#define VMM_BLOB_H

#include <stddef.h>
#include <stdint.h>

#include "vmm/err.h"

/* Makes NAME_blob[] of NAME_blob_len bytes from FILE, a string; at file scope. */
#define BLOB_EMBED(name, file)                                                                     \
	__asm__(".pushsection .rodata." #name "_blob, \"a\"\n.balign 8\n" #name                    \
		"_blob_len:\n.quad 2f - 1f\n" #name "_blob:\n1:.incbin \"" file                    \
		"\"\n2:.byte 0\n.popsection\n");                                                   \
	extern const uint64_t name##_blob_len;                                                     \
	extern const uint8_t name##_blob[]

#define BLOB_UNPACK(name, out, len) blob_unpack(name##_blob, name##_blob_len, out, len)

/* The file's content, *LEN bytes and a NUL on the heap. Any thread. 0 or -errno, logged. */
int blob_unpack(const uint8_t *packed, size_t packed_len, uint8_t **out, size_t *len) MUST_CHECK;

#endif
