/*
 * The compressed payload of a bzImage: one function a format, each around the library that owns
 * the format. The containers of lzop and of LZ4's legacy frame have no library call and are walked
 * here. Called by the kernel loader on the main thread before the machine runs.
 *
 * All formats are decoded in one call into the final place where the library can do that: no
 * window is kept beside the output.
 *
 * The libraries are opened when a payload needs one and closed again. Linked in the usual way, all
 * six would be mapped and relocated at every start, for a machine that needs one of them or none.
 */
#include "arch/x86_64/unpack.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdbool.h>
#include <string.h>

#include <bzlib.h>
#include <libdeflate.h>
#include <lz4.h>
#include <lzma.h>
#include <lzo/lzo1x.h>
#include <zstd.h>
#include <zstd_errors.h>

/* Linux packs with a dictionary of up to 128 MiB; the decoder wants little more. */
#define UNPACK_LZMA_MEMORY_MAX (192ULL << 20)

#define LZ4_LEGACY_BLOCK_MAX   (8 << 20)
#define LZOP_MAGIC_LEN	       9

static const struct {
	enum unpack_kind kind;
	uint8_t magic_len;
	uint8_t magic[9];
} unpack_magics[] = {
	{ UNPACK_NONE, 4, { 0x7f, 'E', 'L', 'F' } },
	{ UNPACK_GZIP, 3, { 0x1f, 0x8b, 8 } },
	{ UNPACK_BZIP2, 3, { 'B', 'Z', 'h' } },
	{ UNPACK_LZMA, 3, { 0x5d, 0, 0 } },
	{ UNPACK_XZ, 6, { 0xfd, '7', 'z', 'X', 'Z', 0 } },
	{ UNPACK_LZO, LZOP_MAGIC_LEN, { 0x89, 'L', 'Z', 'O', 0, '\r', '\n', 0x1a, '\n' } },
	{ UNPACK_LZ4, 4, { 0x02, 0x21, 0x4c, 0x18 } },
	{ UNPACK_ZSTD, 4, { 0x28, 0xb5, 0x2f, 0xfd } },
};

enum unpack_kind unpack_detect(const uint8_t *data, size_t len)
{
	for (size_t i = 0; i < ARRAY_SIZE(unpack_magics); i++) {
		size_t magic_len = unpack_magics[i].magic_len;

		if (len >= magic_len && memcmp(data, unpack_magics[i].magic, magic_len) == 0)
			return unpack_magics[i].kind;
	}
	return UNPACK_UNKNOWN;
}

const char *unpack_kind_name(enum unpack_kind kind)
{
	static const char *const names[] = {
		[UNPACK_UNKNOWN] = "unknown", [UNPACK_NONE] = "uncompressed",
		[UNPACK_GZIP] = "gzip",	      [UNPACK_BZIP2] = "bzip2",
		[UNPACK_LZMA] = "lzma",	      [UNPACK_XZ] = "xz",
		[UNPACK_LZO] = "lzo",	      [UNPACK_LZ4] = "lz4",
		[UNPACK_ZSTD] = "zstd",
	};

	return names[kind];
}

static int unpack_none(const uint8_t *src, size_t src_len, uint8_t *dst, size_t dst_len,
		       size_t *out_len)
{
	if (src_len > dst_len)
		return -ENOSPC;
	memcpy(dst, src, src_len);
	*out_len = src_len;
	return 0;
}

static void *unpack_open(const char *soname)
{
	return dlopen(soname, RTLD_NOW | RTLD_LOCAL);
}

static void unpack_close(void *lib)
{
	if (lib != NULL)
		dlclose(lib);
}

/* The function of that name with its type, NULL when there is no such library or function. */
#define UNPACK_FUNCTION(lib, name)                                                                 \
	((__typeof__(name) *)((lib) != NULL ? dlsym((lib), #name) : NULL))

static int unpack_gzip_result(enum libdeflate_result ret)
{
	switch (ret) {
	case LIBDEFLATE_SUCCESS:
		return 0;
	case LIBDEFLATE_INSUFFICIENT_SPACE:
		return -ENOSPC;
	default:
		return -EBADMSG;
	}
}

static int unpack_gzip(const uint8_t *src, size_t src_len, uint8_t *dst, size_t dst_len,
		       size_t *out_len)
{
	void *lib = unpack_open("libdeflate.so.0");
	__typeof__(libdeflate_alloc_decompressor) *create =
		UNPACK_FUNCTION(lib, libdeflate_alloc_decompressor);
	__typeof__(libdeflate_free_decompressor) *destroy =
		UNPACK_FUNCTION(lib, libdeflate_free_decompressor);
	__typeof__(libdeflate_gzip_decompress_ex) *decompress =
		UNPACK_FUNCTION(lib, libdeflate_gzip_decompress_ex);
	struct libdeflate_decompressor *state;
	int ret = -ELIBACC;

	if (create != NULL && destroy != NULL && decompress != NULL) {
		state = create();
		ret = state == NULL ? -ENOMEM
				    : unpack_gzip_result(decompress(state, src, src_len, dst,
								    dst_len, NULL, out_len));
		if (state != NULL)
			destroy(state);
	}
	unpack_close(lib);
	return ret;
}

/* bzip2 counts in unsigned int. */
static unsigned unpack_clamp(size_t len)
{
	return len > UINT_MAX ? UINT_MAX : (unsigned)len;
}

static int unpack_bzip2_result(int ret, const bz_stream *bz)
{
	switch (ret) {
	case BZ_STREAM_END:
		return 0;
	case BZ_MEM_ERROR:
		return -ENOMEM;
	default:
		return ret == BZ_OK && bz->avail_out == 0 ? -ENOSPC : -EBADMSG;
	}
}

static int unpack_bzip2(const uint8_t *src, size_t src_len, uint8_t *dst, size_t dst_len,
			size_t *out_len)
{
	void *lib = unpack_open("libbz2.so.1.0");
	__typeof__(BZ2_bzDecompressInit) *init = UNPACK_FUNCTION(lib, BZ2_bzDecompressInit);
	__typeof__(BZ2_bzDecompress) *decompress = UNPACK_FUNCTION(lib, BZ2_bzDecompress);
	__typeof__(BZ2_bzDecompressEnd) *end = UNPACK_FUNCTION(lib, BZ2_bzDecompressEnd);
	bz_stream bz = { .next_in = (char *)src,
			 .avail_in = unpack_clamp(src_len),
			 .next_out = (char *)dst,
			 .avail_out = unpack_clamp(dst_len) };
	int ret = -ELIBACC;

	if (init != NULL && decompress != NULL && end != NULL) {
		ret = -ENOMEM;
		if (init(&bz, 0, 0) == BZ_OK) {
			/* One call consumes all input or fills all output. */
			ret = unpack_bzip2_result(decompress(&bz), &bz);
			*out_len = (size_t)((uint8_t *)bz.next_out - dst);
			end(&bz);
		}
	}
	unpack_close(lib);
	return ret;
}

static int unpack_lzma_result(lzma_ret ret, const lzma_stream *ls)
{
	switch (ret) {
	case LZMA_STREAM_END:
		return 0;
	case LZMA_OK:
	case LZMA_BUF_ERROR:
		return ls->avail_out == 0 ? -ENOSPC : -EBADMSG;
	case LZMA_MEM_ERROR:
		return -ENOMEM;
	case LZMA_MEMLIMIT_ERROR:
	case LZMA_OPTIONS_ERROR:
		return -ENOTSUP;
	default:
		return -EBADMSG;
	}
}

/* Both containers of liblzma. */
static int unpack_lzma(enum unpack_kind kind, const uint8_t *src, size_t src_len, uint8_t *dst,
		       size_t dst_len, size_t *out_len)
{
	void *lib = unpack_open("liblzma.so.5");
	__typeof__(lzma_stream_decoder) *init_xz = UNPACK_FUNCTION(lib, lzma_stream_decoder);
	__typeof__(lzma_alone_decoder) *init_lzma = UNPACK_FUNCTION(lib, lzma_alone_decoder);
	__typeof__(lzma_code) *code = UNPACK_FUNCTION(lib, lzma_code);
	__typeof__(lzma_end) *end = UNPACK_FUNCTION(lib, lzma_end);
	lzma_stream ls = LZMA_STREAM_INIT;
	lzma_ret ret = LZMA_MEM_ERROR;
	int err = -ELIBACC;

	if (init_xz != NULL && init_lzma != NULL && code != NULL && end != NULL) {
		if (kind == UNPACK_XZ)
			ret = init_xz(&ls, UNPACK_LZMA_MEMORY_MAX, 0);
		else
			ret = init_lzma(&ls, UNPACK_LZMA_MEMORY_MAX);
		ls.next_in = src;
		ls.avail_in = src_len;
		ls.next_out = dst;
		ls.avail_out = dst_len;
		while (ret == LZMA_OK) {
			ret = code(&ls, LZMA_RUN);
			if (ls.avail_in == 0 || ls.avail_out == 0)
				break;
		}
		*out_len = ls.total_out;
		err = unpack_lzma_result(ret, &ls);
		end(&ls);
	}
	unpack_close(lib);
	return err;
}

static uint32_t unpack_le32(const uint8_t *p)
{
	return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/*
 * LZ4's legacy frame: the magic, then blocks of a 32-bit length and that many bytes, each up to
 * 8 MiB when unpacked. There is no end mark: all but the last block are full, and the appended size
 * would make a block that does not fit.
 */
static int lz4_walk(__typeof__(LZ4_decompress_safe) *decompress, const uint8_t *src, size_t src_len,
		    uint8_t *dst, size_t dst_len, size_t *out_len)
{
	size_t pos = 4, out = 0;

	while (src_len - pos >= 4) {
		uint32_t block_len = unpack_le32(src + pos);
		size_t room = dst_len - out;
		int got;

		if (block_len > src_len - pos - 4 || block_len == 0) {
			if (out > 0 && src_len - pos == 4)
				break;
			return -EBADMSG;
		}
		pos += 4;
		if (block_len > (uint32_t)LZ4_COMPRESSBOUND(LZ4_LEGACY_BLOCK_MAX))
			return -EBADMSG;
		if (room > LZ4_LEGACY_BLOCK_MAX)
			room = LZ4_LEGACY_BLOCK_MAX;
		got = decompress((const char *)src + pos, (char *)dst + out, (int)block_len,
				 (int)room);
		if (got < 0)
			return room < LZ4_LEGACY_BLOCK_MAX ? -ENOSPC : -EBADMSG;
		pos += block_len;
		out += (size_t)got;
		if (got < LZ4_LEGACY_BLOCK_MAX)
			break;
	}
	if (out == 0)
		return -EBADMSG;
	*out_len = out;
	return 0;
}

static int unpack_lz4(const uint8_t *src, size_t src_len, uint8_t *dst, size_t dst_len,
		      size_t *out_len)
{
	void *lib = unpack_open("liblz4.so.1");
	__typeof__(LZ4_decompress_safe) *decompress = UNPACK_FUNCTION(lib, LZ4_decompress_safe);
	int ret = -ELIBACC;

	if (decompress != NULL)
		ret = lz4_walk(decompress, src, src_len, dst, dst_len, out_len);
	unpack_close(lib);
	return ret;
}

/* A reader of lzop's big-endian container that remembers having run out. */
struct lzop_reader {
	const uint8_t *data;
	size_t len;
	size_t pos;
	bool short_read;
};

static const uint8_t *lzop_take(struct lzop_reader *r, size_t len)
{
	const uint8_t *p = r->data + r->pos;

	if (len > r->len - r->pos) {
		r->short_read = true;
		return NULL;
	}
	r->pos += len;
	return p;
}

static uint32_t lzop_be(struct lzop_reader *r, unsigned bytes)
{
	const uint8_t *p = lzop_take(r, bytes);
	uint32_t value = 0;

	for (unsigned i = 0; p != NULL && i < bytes; i++)
		value = value << 8 | p[i];
	return value;
}

#define LZOP_ADLER32_D	 0x001U
#define LZOP_ADLER32_C	 0x002U
#define LZOP_EXTRA_FIELD 0x040U
#define LZOP_CRC32_D	 0x100U
#define LZOP_CRC32_C	 0x200U
#define LZOP_FILTER	 0x800U
#define LZOP_VERSION_LEVEL                                                                         \
	0x0940U		  /* from here on: version needed, level, high half of the time            \
			   */
#define LZOP_METHOD_MAX 3 /* all of LZO1X */
#define LZOP_BLOCK_MAX	(64U << 20)

/* Leaves R at the first block. */
static int lzop_read_header(struct lzop_reader *r, uint32_t *flags)
{
	uint32_t version, method;

	lzop_take(r, LZOP_MAGIC_LEN);
	version = lzop_be(r, 2);
	lzop_be(r, 2);
	if (version >= LZOP_VERSION_LEVEL)
		lzop_be(r, 2);
	method = lzop_be(r, 1);
	if (version >= LZOP_VERSION_LEVEL)
		lzop_be(r, 1);
	*flags = lzop_be(r, 4);
	if (*flags & LZOP_FILTER)
		return -ENOTSUP;
	lzop_take(r, version >= LZOP_VERSION_LEVEL ? 12 : 8); /* mode and time */
	lzop_take(r, lzop_be(r, 1));			      /* name */
	lzop_be(r, 4);					      /* header's checksum */
	if (*flags & LZOP_EXTRA_FIELD) {
		lzop_take(r, lzop_be(r, 4));
		lzop_be(r, 4);
	}
	if (r->short_read)
		return -EBADMSG;
	return method >= 1 && method <= LZOP_METHOD_MAX ? 0 : -ENOTSUP;
}

static void lzop_skip_checksums(struct lzop_reader *r, uint32_t flags, bool stored)
{
	if (flags & LZOP_ADLER32_D)
		lzop_be(r, 4);
	if (flags & LZOP_CRC32_D)
		lzop_be(r, 4);
	if (!stored && (flags & LZOP_ADLER32_C))
		lzop_be(r, 4);
	if (!stored && (flags & LZOP_CRC32_C))
		lzop_be(r, 4);
}

/* One block into DST. Sets *OUT_LEN; 0 at the end mark. */
static int lzop_block(__typeof__(lzo1x_decompress_safe) *decompress, struct lzop_reader *r,
		      uint32_t flags, uint8_t *dst, size_t dst_len, size_t *out_len)
{
	uint32_t plain_len = lzop_be(r, 4);
	lzo_uint got = plain_len;
	const uint8_t *data;
	uint32_t packed_len;

	*out_len = 0;
	if (plain_len == 0)
		return r->short_read ? -EBADMSG : 0;
	packed_len = lzop_be(r, 4);
	if (plain_len > LZOP_BLOCK_MAX || packed_len == 0 || packed_len > plain_len)
		return -EBADMSG;
	lzop_skip_checksums(r, flags, packed_len == plain_len);
	data = lzop_take(r, packed_len);
	if (data == NULL)
		return -EBADMSG;
	if (plain_len > dst_len)
		return -ENOSPC;
	if (packed_len == plain_len)
		memcpy(dst, data, plain_len);
	else if (decompress(data, packed_len, dst, &got, NULL) != LZO_E_OK || got != plain_len)
		return -EBADMSG;
	*out_len = plain_len;
	return 0;
}

static int lzop_walk(__typeof__(lzo1x_decompress_safe) *decompress, const uint8_t *src,
		     size_t src_len, uint8_t *dst, size_t dst_len, size_t *out_len)
{
	struct lzop_reader reader = { .data = src, .len = src_len };
	uint32_t flags;
	size_t out = 0, got;
	int ret = lzop_read_header(&reader, &flags);

	if (ret < 0)
		return ret;
	do {
		ret = lzop_block(decompress, &reader, flags, dst + out, dst_len - out, &got);
		if (ret < 0)
			return ret;
		out += got;
	} while (got != 0);
	*out_len = out;
	return 0;
}

/* lzo_init would only compare the sizes of types that this call does not use. */
static int unpack_lzo(const uint8_t *src, size_t src_len, uint8_t *dst, size_t dst_len,
		      size_t *out_len)
{
	void *lib = unpack_open("liblzo2.so.2");
	__typeof__(lzo1x_decompress_safe) *decompress = UNPACK_FUNCTION(lib, lzo1x_decompress_safe);
	int ret = -ELIBACC;

	if (decompress != NULL)
		ret = lzop_walk(decompress, src, src_len, dst, dst_len, out_len);
	unpack_close(lib);
	return ret;
}

static int unpack_zstd_result(ZSTD_ErrorCode code)
{
	switch (code) {
	case ZSTD_error_no_error:
		return 0;
	case ZSTD_error_dstSize_tooSmall:
		return -ENOSPC;
	case ZSTD_error_memory_allocation:
		return -ENOMEM;
	default:
		return -EBADMSG;
	}
}

static int unpack_zstd(const uint8_t *src, size_t src_len, uint8_t *dst, size_t dst_len,
		       size_t *out_len)
{
	void *lib = unpack_open("libzstd.so.1");
	__typeof__(ZSTD_findFrameCompressedSize) *find_len =
		UNPACK_FUNCTION(lib, ZSTD_findFrameCompressedSize);
	__typeof__(ZSTD_decompress) *decompress = UNPACK_FUNCTION(lib, ZSTD_decompress);
	__typeof__(ZSTD_getErrorCode) *error_of = UNPACK_FUNCTION(lib, ZSTD_getErrorCode);
	int ret = -ELIBACC;

	if (find_len != NULL && decompress != NULL && error_of != NULL) {
		size_t got = find_len(src, src_len);

		ret = unpack_zstd_result(error_of(got));
		if (ret == 0) {
			got = decompress(dst, dst_len, src, got);
			ret = unpack_zstd_result(error_of(got));
			*out_len = ret == 0 ? got : 0;
		}
	}
	unpack_close(lib);
	return ret;
}

int unpack_stream(enum unpack_kind kind, const uint8_t *src, size_t src_len, uint8_t *dst,
		  size_t dst_len, size_t *out_len)
{
	*out_len = 0;
	if (unpack_detect(src, src_len) != kind)
		return -EBADMSG;
	switch (kind) {
	case UNPACK_NONE:
		return unpack_none(src, src_len, dst, dst_len, out_len);
	case UNPACK_GZIP:
		return unpack_gzip(src, src_len, dst, dst_len, out_len);
	case UNPACK_BZIP2:
		return unpack_bzip2(src, src_len, dst, dst_len, out_len);
	case UNPACK_LZMA:
	case UNPACK_XZ:
		return unpack_lzma(kind, src, src_len, dst, dst_len, out_len);
	case UNPACK_LZO:
		return unpack_lzo(src, src_len, dst, dst_len, out_len);
	case UNPACK_LZ4:
		return unpack_lz4(src, src_len, dst, dst_len, out_len);
	case UNPACK_ZSTD:
		return unpack_zstd(src, src_len, dst, dst_len, out_len);
	case UNPACK_UNKNOWN:
		break;
	}
	return -ENOTSUP;
}
