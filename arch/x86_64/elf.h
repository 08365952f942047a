/*
 * An x86 ELF kernel: what of it goes where in guest memory, and where it is entered. Reading is
 * libelf's work; every number of the file is checked here. Placing is done by arch/x86_64/place.h.
 */
#ifndef ARCH_X86_64_ELF_H
#define ARCH_X86_64_ELF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/err.h"
#include "vmm/guest_mem.h"

#define ELF_SEGMENTS_MAX 32

/* A PT_LOAD with something in it. */
struct elf_segment {
	uint64_t offset; /* in the file; offset + file_len lies inside it */
	uint64_t file_len;
	gpa_t gpa;
	uint64_t mem_len; /* at least file_len and 1; gpa + mem_len does not wrap */
};

struct elf_image {
	struct elf_segment segments[ELF_SEGMENTS_MAX]; /* ascending by gpa, no two overlap */
	unsigned segment_count;
	bool is_64bit;
	bool has_entry; /* e_entry lies in a segment's physical range */
	gpa_t entry;
	bool has_pvh; /* a PVH note whose entry lies in a segment */
	gpa_t pvh_entry;
};

/*
 * Reads the headers of the LEN bytes at DATA. DATA need only stay for the call. Any thread. Returns
 * 0, or unlogged with *WHY set to the end of a sentence that starts with the file's name (static
 * text): -ENOEXEC (not an ELF for this machine), -EINVAL (damaged or forged).
 */
int elf_parse(const void *data, size_t len, struct elf_image *out, const char **why) MUST_CHECK;

#endif
