/*
 * Forged kernels in memory for tests of the x86-64 loader: an ELF with chosen segments, its
 * compression by the libraries that the loader unpacks with, and a bzImage around it.
 */
#ifndef TESTS_SUPPORT_FAKE_KERNEL_H
#define TESTS_SUPPORT_FAKE_KERNEL_H

#include <stddef.h>
#include <stdint.h>

#include "arch/x86_64/unpack.h"

#define FAKE_SEGMENTS_MAX 40

struct fake_segment {
	uint64_t offset;
	uint64_t file_len;
	uint64_t gpa;
	uint64_t mem_len;
};

struct fake_elf {
	struct fake_segment segments[FAKE_SEGMENTS_MAX];
	unsigned segment_count;
	uint64_t entry;
	uint32_t pvh_entry; /* 0: no note */
	uint16_t machine;   /* 0: EM_X86_64, or EM_386 when is_32bit */
	int is_32bit;
};

/* Where the note is put; before any segment that a test chooses. */
#define FAKE_NOTE_OFFSET 0xe00

/*
 * Builds the file, LEN bytes long in all, on the heap; each segment's bytes are those of
 * fake_byte(). Aborts when a segment lies outside.
 */
uint8_t *fake_elf_build(const struct fake_elf *elf, size_t len);

/* The byte at OFFSET of every fake ELF's segments. */
uint8_t fake_byte(uint64_t offset);

/* Compresses as Linux' build does, the size appended (but for gzip, which has one). On the heap. */
uint8_t *fake_pack(enum unpack_kind kind, const uint8_t *data, size_t len, size_t *out_len);

struct fake_bzimage {
	const uint8_t *payload;
	size_t payload_len;
	uint16_t version;      /* 0: 0x020f */
	uint16_t xloadflags;   /* used as it is */
	uint64_t pref_address; /* 0: 16 MiB */
	uint32_t init_size;    /* 0: 8 MiB */
};

/* Where the payload lies in the file. */
#define FAKE_BZIMAGE_CODE_OFFSET    0x1000
#define FAKE_BZIMAGE_PAYLOAD_OFFSET 0x1400

/* The whole file on the heap; the code around the payload is zero. */
uint8_t *fake_bzimage_build(const struct fake_bzimage *bz, size_t *out_len);

/* A descriptor of an anonymous file with DATA in it, and its end. */
int fake_file(const void *data, size_t len);

#endif
