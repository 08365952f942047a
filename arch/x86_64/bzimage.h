/*
 * The bzImage container: the Linux/x86 boot protocol's setup header, and what it says about the
 * rest of the file (Documentation/arch/x86/boot.rst). A pure function of its input.
 */
#ifndef ARCH_X86_64_BZIMAGE_H
#define ARCH_X86_64_BZIMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <asm/bootparam.h>

#include "vmm/err.h"

struct bzimage {
	struct setup_header hdr; /* fields the kernel's version lacks are zero */
	bool has_64bit_entry;	 /* the protected-mode code can be entered in 64-bit mode */
	size_t code_offset;	 /* protected-mode code, to the end of the file */
	size_t code_len;
	size_t payload_offset; /* inside the code; payload_len 0: none that can be used */
	size_t payload_len;
	char version[64]; /* "6.12.1", printable; empty when the file does not say */
};

/* True when DATA bears the marks of a bzImage, whatever its state. */
bool bzimage_detect(const uint8_t *data, size_t len);

/*
 * Reads the header of the LEN bytes at DATA, a whole file. Any thread. Returns 0, or unlogged with
 * *WHY set to the end of a sentence that starts with the file's name (static text): -ENOEXEC (not
 * a kernel for this machine), -EINVAL (damaged or forged).
 */
int bzimage_parse(const uint8_t *data, size_t len, struct bzimage *out,
		  const char **why) MUST_CHECK;

/* Where the bytes of a 64-bit entry lie in the protected-mode code. */
#define BZIMAGE_ENTRY64_OFFSET 0x200

#endif
