/*
 * Unpacks a module file. The libraries are opened when one is needed: most kernels that a machine
 * boots need none. Called by modules.c.
 */
#include <dlfcn.h>
#include <string.h>
#include <sys/mman.h>

#include <libdeflate.h>
#include <lzma.h>
#include <zstd.h>

#include "vmm/image/modules.h"

/* No module is larger. The room is taken from memory only as far as it is written. */
#define MODULE_LEN_MAX	    (64u << 20)
#define LZMA_MEMORY_MAX	    (64u << 20)

#define FUNCTION(lib, name) ((__typeof__(name) *)((lib) != NULL ? dlsym((lib), #name) : NULL))

static int unpack_xz(const uint8_t *data, size_t len, uint8_t *room, size_t *out_len)
{
	void *lib = dlopen("liblzma.so.5", RTLD_NOW | RTLD_LOCAL);
	__typeof__(lzma_stream_buffer_decode) *decode = FUNCTION(lib, lzma_stream_buffer_decode);
	uint64_t memory = LZMA_MEMORY_MAX;
	size_t from = 0;
	lzma_ret ret;

	*out_len = 0;
	if (!decode)
		return -ELIBACC;
	ret = decode(&memory, 0, NULL, data, &from, len, room, out_len, MODULE_LEN_MAX);
	dlclose(lib);
	if (ret == LZMA_BUF_ERROR)
		return from < len ? -EFBIG : -EBADMSG;
	return ret == LZMA_OK ? 0 : -EBADMSG;
}

static int unpack_zstd(const uint8_t *data, size_t len, uint8_t *room, size_t *out_len)
{
	void *lib = dlopen("libzstd.so.1", RTLD_NOW | RTLD_LOCAL);
	__typeof__(ZSTD_decompress) *decompress = FUNCTION(lib, ZSTD_decompress);
	__typeof__(ZSTD_isError) *is_error = FUNCTION(lib, ZSTD_isError);
	int ret = 0;

	if (!decompress || !is_error)
		return -ELIBACC;
	*out_len = decompress(room, MODULE_LEN_MAX, data, len);
	if (is_error(*out_len))
		ret = -EBADMSG;
	dlclose(lib);
	return ret;
}

static int unpack_gzip(const uint8_t *data, size_t len, uint8_t *room, size_t *out_len)
{
	void *lib = dlopen("libdeflate.so.0", RTLD_NOW | RTLD_LOCAL);
	__typeof__(libdeflate_alloc_decompressor) *create =
		FUNCTION(lib, libdeflate_alloc_decompressor);
	__typeof__(libdeflate_free_decompressor) *destroy =
		FUNCTION(lib, libdeflate_free_decompressor);
	__typeof__(libdeflate_gzip_decompress) *decompress =
		FUNCTION(lib, libdeflate_gzip_decompress);
	struct libdeflate_decompressor *state;
	enum libdeflate_result ret;

	if (!create || !destroy || !decompress)
		return -ELIBACC;
	state = create();
	if (!state)
		return -ENOMEM;
	ret = decompress(state, data, len, room, MODULE_LEN_MAX, out_len);
	destroy(state);
	dlclose(lib);
	if (ret == LIBDEFLATE_INSUFFICIENT_SPACE)
		return -EFBIG;
	return ret == LIBDEFLATE_SUCCESS ? 0 : -EBADMSG;
}

static int unpack_none(const uint8_t *data, size_t len, uint8_t *room, size_t *out_len)
{
	if (len > MODULE_LEN_MAX)
		return -EFBIG;
	memcpy(room, data, len);
	*out_len = len;
	return 0;
}

static const struct {
	uint8_t magic_len;
	uint8_t magic[6];
	int (*unpack)(const uint8_t *data, size_t len, uint8_t *room, size_t *out_len);
} kinds[] = {
	{ 6, { 0xfd, '7', 'z', 'X', 'Z', 0 }, unpack_xz },
	{ 4, { 0x28, 0xb5, 0x2f, 0xfd }, unpack_zstd },
	{ 2, { 0x1f, 0x8b }, unpack_gzip },
	{ 4, { 0x7f, 'E', 'L', 'F' }, unpack_none },
};

int modules_unpack(const uint8_t *data, size_t len, uint8_t **out, size_t *out_len)
{
	int ret = -EBADMSG;
	size_t size = 0;
	size_t kept;
	uint8_t *room;

	room = mmap(NULL, MODULE_LEN_MAX, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (room == MAP_FAILED)
		return -ENOMEM;
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		if (len < kinds[i].magic_len ||
		    memcmp(data, kinds[i].magic, kinds[i].magic_len) != 0)
			continue;
		ret = kinds[i].unpack(data, len, room, &size);
		break;
	}
	/* Only what is used stays: so munmap gets the length that the caller knows. */
	kept = ret < 0 ? 0 : (size + 4095) & ~(size_t)4095;
	if (kept < MODULE_LEN_MAX)
		munmap(room + kept, MODULE_LEN_MAX - kept);
	if (kept == 0)
		return ret < 0 ? ret : -EBADMSG;
	*out = room;
	*out_len = size;
	return 0;
}
