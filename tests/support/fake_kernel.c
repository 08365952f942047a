/* Forged kernels; see the header. Any failure here is a broken test and aborts. */
#include "tests/support/fake_kernel.h"

#include <elf.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <asm/bootparam.h>
#include <bzlib.h>
#include <lz4.h>
#include <lzma.h>
#include <lzo/lzo1x.h>
#include <zlib.h>
#include <zstd.h>

#define LZ4_BLOCK  (8U << 20)
#define LZOP_BLOCK (256U << 10)

static void *fake_alloc(size_t len)
{
	void *p = calloc(1, len + 1);

	if (p == NULL)
		abort();
	return p;
}

static void fake_require(int truth)
{
	if (!truth)
		abort();
}

uint8_t fake_byte(uint64_t offset)
{
	return (uint8_t)(offset * 7 + offset / 251 + 1);
}

static size_t fake_put_note(uint8_t *file, uint32_t entry)
{
	uint32_t note[5] = { 4, 4, 18, 0, entry };

	memcpy(&note[3], "Xen", 4);
	memcpy(file + FAKE_NOTE_OFFSET, note, sizeof(note));
	return sizeof(note);
}

static void fake_put_phdr(uint8_t *file, const struct fake_elf *elf, unsigned i, uint32_t type,
			  const struct fake_segment *s)
{
	if (elf->is_32bit) {
		Elf32_Phdr phdr = { .p_type = type,
				    .p_offset = (uint32_t)s->offset,
				    .p_vaddr = (uint32_t)s->gpa,
				    .p_paddr = (uint32_t)s->gpa,
				    .p_filesz = (uint32_t)s->file_len,
				    .p_memsz = (uint32_t)s->mem_len,
				    .p_align = 4 };

		memcpy(file + sizeof(Elf32_Ehdr) + i * sizeof(phdr), &phdr, sizeof(phdr));
	} else {
		Elf64_Phdr phdr = { .p_type = type,
				    .p_offset = s->offset,
				    .p_vaddr = s->gpa + 0xffffffff80000000ULL,
				    .p_paddr = s->gpa,
				    .p_filesz = s->file_len,
				    .p_memsz = s->mem_len,
				    .p_align = 4 };

		memcpy(file + sizeof(Elf64_Ehdr) + i * sizeof(phdr), &phdr, sizeof(phdr));
	}
}

static void fake_put_ehdr(uint8_t *file, const struct fake_elf *elf, unsigned phdr_count)
{
	static const uint8_t ident[EI_NIDENT] = { 0x7f, 'E', 'L', 'F', 0, ELFDATA2LSB, EV_CURRENT };

	if (elf->is_32bit) {
		Elf32_Ehdr ehdr = { .e_type = ET_EXEC,
				    .e_machine = elf->machine ? elf->machine : EM_386,
				    .e_version = EV_CURRENT,
				    .e_entry = (uint32_t)elf->entry,
				    .e_phoff = sizeof(ehdr),
				    .e_ehsize = sizeof(ehdr),
				    .e_phentsize = sizeof(Elf32_Phdr),
				    .e_phnum = (uint16_t)phdr_count };

		memcpy(ehdr.e_ident, ident, sizeof(ident));
		ehdr.e_ident[EI_CLASS] = ELFCLASS32;
		memcpy(file, &ehdr, sizeof(ehdr));
	} else {
		Elf64_Ehdr ehdr = { .e_type = ET_EXEC,
				    .e_machine = elf->machine ? elf->machine : EM_X86_64,
				    .e_version = EV_CURRENT,
				    .e_entry = elf->entry,
				    .e_phoff = sizeof(ehdr),
				    .e_ehsize = sizeof(ehdr),
				    .e_phentsize = sizeof(Elf64_Phdr),
				    .e_phnum = (uint16_t)phdr_count };

		memcpy(ehdr.e_ident, ident, sizeof(ident));
		ehdr.e_ident[EI_CLASS] = ELFCLASS64;
		memcpy(file, &ehdr, sizeof(ehdr));
	}
}

uint8_t *fake_elf_build(const struct fake_elf *elf, size_t len)
{
	unsigned count = elf->segment_count;
	uint8_t *file = fake_alloc(len);

	for (unsigned i = 0; i < elf->segment_count; i++) {
		const struct fake_segment *s = &elf->segments[i];

		for (uint64_t at = s->offset; at < s->offset + s->file_len && at < len; at++)
			file[at] = fake_byte(at);
		fake_put_phdr(file, elf, i, PT_LOAD, s);
	}
	if (elf->pvh_entry != 0) {
		struct fake_segment note = { .offset = FAKE_NOTE_OFFSET };

		fake_require(len >= FAKE_NOTE_OFFSET + 0x20);
		note.file_len = fake_put_note(file, elf->pvh_entry);
		fake_put_phdr(file, elf, count++, PT_NOTE, &note);
	}
	fake_put_ehdr(file, elf, count);
	return file;
}

static void fake_le32(uint8_t *p, size_t value)
{
	for (unsigned i = 0; i < 4; i++)
		p[i] = (uint8_t)(value >> 8 * i);
}

static void fake_be32(uint8_t *p, size_t value)
{
	for (unsigned i = 0; i < 4; i++)
		p[i] = (uint8_t)(value >> (24 - 8 * i));
}

static size_t fake_pack_gzip(const uint8_t *data, size_t len, uint8_t *out, size_t room)
{
	z_stream zs = { 0 };

	fake_require(deflateInit2(&zs, 6, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY) ==
		     Z_OK);
	zs.next_in = (Bytef *)(uintptr_t)data;
	zs.avail_in = (unsigned)len;
	zs.next_out = out;
	zs.avail_out = (unsigned)room;
	fake_require(deflate(&zs, Z_FINISH) == Z_STREAM_END);
	deflateEnd(&zs);
	return zs.total_out;
}

static size_t fake_pack_lzma(enum unpack_kind kind, const uint8_t *data, size_t len, uint8_t *out,
			     size_t room)
{
	lzma_stream ls = LZMA_STREAM_INIT;
	lzma_options_lzma opt;

	fake_require(!lzma_lzma_preset(&opt, 1));
	if (kind == UNPACK_XZ)
		fake_require(lzma_easy_encoder(&ls, 1, LZMA_CHECK_CRC32) == LZMA_OK);
	else
		fake_require(lzma_alone_encoder(&ls, &opt) == LZMA_OK);
	ls.next_in = data;
	ls.avail_in = len;
	ls.next_out = out;
	ls.avail_out = room;
	fake_require(lzma_code(&ls, LZMA_FINISH) == LZMA_STREAM_END);
	lzma_end(&ls);
	return (size_t)ls.total_out;
}

static size_t fake_pack_lz4(const uint8_t *data, size_t len, uint8_t *out, size_t room)
{
	size_t pos = 4;

	memcpy(out, "\x02\x21\x4c\x18", 4);
	for (size_t at = 0; at < len; at += LZ4_BLOCK) {
		size_t part = len - at < LZ4_BLOCK ? len - at : LZ4_BLOCK;
		int got = LZ4_compress_default((const char *)data + at, (char *)out + pos + 4,
					       (int)part, (int)(room - pos - 4));

		fake_require(got > 0);
		fake_le32(out + pos, (size_t)got);
		pos += 4 + (size_t)got;
	}
	return pos;
}

/* lzop's container, version 0x1030, checksums of the plain blocks not checked by anybody. */
static size_t fake_pack_lzo(const uint8_t *data, size_t len, uint8_t *out)
{
	static const uint8_t head[] = { 0x89, 'L',  'Z',  'O',	0,    '\r', '\n',
					0x1a, '\n', 0x10, 0x30, 0x20, 0xa0, 0x09,
					0x40, 1,    5,	  3,	0,    0,    1, /* flags */
					0,    0,    0x81, 0xa4, 0,    0,    0,
					0,    0,    0,	  0,	0,    0, /* no name */
					0,    0,    0,	  0 };
	uint8_t *work = fake_alloc(LZO1X_1_MEM_COMPRESS);
	size_t pos = sizeof(head);

	fake_require(lzo_init() == LZO_E_OK);
	memcpy(out, head, sizeof(head));
	for (size_t at = 0; at < len; at += LZOP_BLOCK) {
		size_t part = len - at < LZOP_BLOCK ? len - at : LZOP_BLOCK;
		lzo_uint got = 0;

		fake_require(lzo1x_1_compress(data + at, part, out + pos + 12, &got, work) ==
			     LZO_E_OK);
		if (got >= part) {
			got = part;
			memcpy(out + pos + 12, data + at, part);
		}
		fake_be32(out + pos, part);
		fake_be32(out + pos + 4, got);
		fake_be32(out + pos + 8, 0);
		pos += 12 + got;
	}
	fake_be32(out + pos, 0);
	free(work);
	return pos + 4;
}

static size_t fake_pack_bzip2(const uint8_t *data, size_t len, uint8_t *out, size_t room)
{
	unsigned got = (unsigned)room;

	fake_require(BZ2_bzBuffToBuffCompress((char *)out, &got, (char *)(uintptr_t)data,
					      (unsigned)len, 1, 0, 0) == BZ_OK);
	return got;
}

static size_t fake_pack_zstd(const uint8_t *data, size_t len, uint8_t *out, size_t room)
{
	size_t got = ZSTD_compress(out, room, data, len, 3);

	fake_require(!ZSTD_isError(got));
	return got;
}

uint8_t *fake_pack(enum unpack_kind kind, const uint8_t *data, size_t len, size_t *out_len)
{
	size_t room = len + len / 4 + (1U << 20);
	uint8_t *out = fake_alloc(room);
	size_t pos = 0;

	switch (kind) {
	case UNPACK_GZIP:
		*out_len = fake_pack_gzip(data, len, out, room);
		return out;
	case UNPACK_BZIP2:
		pos = fake_pack_bzip2(data, len, out, room);
		break;
	case UNPACK_LZMA:
	case UNPACK_XZ:
		pos = fake_pack_lzma(kind, data, len, out, room);
		break;
	case UNPACK_LZO:
		pos = fake_pack_lzo(data, len, out);
		break;
	case UNPACK_LZ4:
		pos = fake_pack_lz4(data, len, out, room);
		break;
	case UNPACK_ZSTD:
		pos = fake_pack_zstd(data, len, out, room);
		break;
	default:
		memcpy(out, data, len);
		pos = len;
		break;
	}
	fake_le32(out + pos, len);
	*out_len = pos + 4;
	return out;
}

uint8_t *fake_bzimage_build(const struct fake_bzimage *bz, size_t *out_len)
{
	size_t len = FAKE_BZIMAGE_PAYLOAD_OFFSET + bz->payload_len + 64;
	uint8_t *file = fake_alloc(len);
	struct setup_header hdr = {
		.setup_sects = FAKE_BZIMAGE_CODE_OFFSET / 512 - 1,
		.boot_flag = 0xaa55,
		.jump = 0x6aeb,
		.header = 0x53726448,
		.version = bz->version ? bz->version : 0x020f,
		.kernel_version = 0x300,
		.loadflags = LOADED_HIGH,
		.initrd_addr_max = INT32_MAX,
		.kernel_alignment = 2U << 20,
		.relocatable_kernel = 1,
		.xloadflags = bz->xloadflags,
		.cmdline_size = 2047,
		.payload_offset = FAKE_BZIMAGE_PAYLOAD_OFFSET - FAKE_BZIMAGE_CODE_OFFSET,
		.payload_length = (uint32_t)bz->payload_len,
		.pref_address = bz->pref_address ? bz->pref_address : 16U << 20,
		.init_size = bz->init_size ? bz->init_size : 8U << 20,
	};

	memcpy(file + 0x1f1, &hdr, sizeof(hdr));
	memcpy(file + 0x500, "6.12.1-fake (somebody@somewhere)", 33);
	if (bz->payload_len != 0)
		memcpy(file + FAKE_BZIMAGE_PAYLOAD_OFFSET, bz->payload, bz->payload_len);
	*out_len = len;
	return file;
}

int fake_file(const void *data, size_t len)
{
	int fd = memfd_create("fake", MFD_CLOEXEC);

	fake_require(fd >= 0);
	fake_require(write(fd, data, len) == (ssize_t)len);
	return fd;
}
