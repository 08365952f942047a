/*
 * zlib, as far as it is used here.
 */
#include <zlib.h>

#include "vmm/late/late.h"

static struct late_library z = { .soname = "libz.so.1", .package = "zlib1g" };

LATE(z, uLong, crc32, (uLong crc, const Bytef *buf, uInt len), (crc, buf, len))
LATE(z, int, inflateInit2_, (z_streamp strm, int bits, const char *version, int size),
     (strm, bits, version, size))
LATE(z, int, inflate, (z_streamp strm, int flush), (strm, flush))
LATE(z, int, inflateEnd, (z_streamp strm), (strm))
LATE(z, gzFile, gzopen, (const char *path, const char *mode), (path, mode))
LATE(z, int, gzread, (gzFile file, voidp buf, unsigned len), (file, buf, len))
LATE(z, int, gzclose, (gzFile file), (file))
