/*
 * Unpacks the payload of a bzImage: every compression that the Linux build offers
 * (scripts/Makefile.lib, "Compression"). A pure function of its input; the caller gives the room.
 */
#ifndef ARCH_X86_64_UNPACK_H
#define ARCH_X86_64_UNPACK_H

#include <stddef.h>
#include <stdint.h>

#include "vmm/err.h"

enum unpack_kind {
	UNPACK_UNKNOWN,
	UNPACK_NONE, /* an ELF as it is */
	UNPACK_GZIP,
	UNPACK_BZIP2,
	UNPACK_LZMA, /* the old .lzma container */
	UNPACK_XZ,
	UNPACK_LZO, /* in lzop's container */
	UNPACK_LZ4, /* in LZ4's legacy frame */
	UNPACK_ZSTD,
};

/* What DATA starts with. */
enum unpack_kind unpack_detect(const uint8_t *data, size_t len);

/* "zstd"; "unknown" for what is not known. Static. */
const char *unpack_kind_name(enum unpack_kind kind);

/*
 * Unpacks the first stream in SRC into DST and sets *OUT_LEN. What follows the stream, as the four
 * bytes of size that Linux appends, is ignored. Whatever SRC holds, at most DST_LEN bytes of DST
 * are written. Any thread. Returns 0, or unlogged: -EBADMSG (corrupt or truncated), -ENOSPC (more
 * than DST_LEN bytes), -ENOTSUP (kind unknown, or a variant this program cannot read), -ELIBACC
 * (the library for it is not installed), -ENOMEM.
 */
int unpack_stream(enum unpack_kind kind, const uint8_t *src, size_t src_len, uint8_t *dst,
		  size_t dst_len, size_t *out_len) MUST_CHECK;

#endif
