/*
 * What the parts of the x86-64 kernel loader share: load.c, which is where it begins, and
 * payload.c. Nobody else includes this.
 */
#ifndef ARCH_X86_64_LOAD_H
#define ARCH_X86_64_LOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "arch/arch.h"
#include "arch/x86_64/bzimage.h"
#include "arch/x86_64/elf.h"
#include "vmm/err.h"
#include "vmm/guest_mem.h"

struct loader {
	struct guest_mem *mem;
	const struct arch_kernel *kernel;
	struct arch_boot *boot;
	const uint8_t *file; /* the whole kernel file, mapped */
	size_t file_len;
	struct bzimage bz;
	bool is_bzimage;
};

/* True when LEN bytes at GPA are memory that a kernel may occupy. */
bool load_is_free(const struct loader *l, gpa_t gpa, uint64_t len);

/*
 * What is common to the ways an ELF gets into memory: checks its segments against memory, chooses
 * the entry and notes both in the loader's boot. Returns 0 or -errno, logged.
 */
int load_accept_image(struct loader *l, const struct elf_image *image) MUST_CHECK;

/* Loads the ELF whose bytes lie in the kernel's file from FILE_OFFSET on. 0 or -errno, logged. */
int load_elf_from_file(struct loader *l, const struct elf_image *image,
		       uint64_t file_offset) MUST_CHECK;

/*
 * Unpacks and loads the payload of the loader's bzImage. Returns 0, or -errno: logged when *WHY is
 * NULL, else *WHY says why there is no use in the payload (static text) and memory is as it was.
 */
int payload_load(struct loader *l, const char **why) MUST_CHECK;

#endif
