/*
 * Linux bzImage files. Field offsets, and which version of the protocol brought a field, are in the
 * Linux boot protocol. Called by the kernel loader on the main thread, on files that anybody may
 * have made up.
 */
#include "arch/x86_64/bzimage.h"

#include <ctype.h>
#include <string.h>

#define BZIMAGE_HDR_OFFSET    0x1f1
#define BZIMAGE_JUMP_OFFSET   0x201 /* the jump's length ends the header */
#define BZIMAGE_MAGIC_OFFSET  0x202
#define BZIMAGE_HDR_MIN_END   0x250	  /* up to payload_length */
#define BZIMAGE_MAGIC	      0x53726448U /* "HdrS" */
#define BZIMAGE_BOOT_FLAG     0xaa55

#define PROTOCOL_PAYLOAD      0x0208 /* payload_offset and payload_length */
#define PROTOCOL_PREF_ADDRESS 0x020a /* pref_address and init_size */
#define PROTOCOL_XLOADFLAGS   0x020c

bool bzimage_detect(const uint8_t *data, size_t len)
{
	uint32_t magic;

	if (len < BZIMAGE_MAGIC_OFFSET + sizeof(magic))
		return false;
	memcpy(&magic, data + BZIMAGE_MAGIC_OFFSET, sizeof(magic));
	return magic == BZIMAGE_MAGIC;
}

/* Copies as much of the header as the file says there is, the rest stays zero. */
static void bzimage_copy_header(const uint8_t *data, size_t len, struct setup_header *hdr)
{
	size_t end = BZIMAGE_MAGIC_OFFSET + (size_t)data[BZIMAGE_JUMP_OFFSET];

	memset(hdr, 0, sizeof(*hdr));
	if (end > BZIMAGE_HDR_OFFSET + sizeof(*hdr))
		end = BZIMAGE_HDR_OFFSET + sizeof(*hdr);
	if (end > len)
		end = len;
	memcpy(hdr, data + BZIMAGE_HDR_OFFSET, end - BZIMAGE_HDR_OFFSET);
	if (hdr->version < PROTOCOL_XLOADFLAGS)
		hdr->xloadflags = 0;
	if (hdr->version < PROTOCOL_PREF_ADDRESS) {
		hdr->pref_address = 0;
		hdr->init_size = 0;
	}
}

/* The version's text is for people: its first word, and nothing that would disturb a terminal. */
static void bzimage_copy_version(const uint8_t *data, size_t len, struct bzimage *out)
{
	size_t at = out->hdr.kernel_version + 0x200U;
	size_t i = 0;

	if (out->hdr.kernel_version == 0 || at >= out->code_offset)
		return;
	while (i < sizeof(out->version) - 1 && at + i < len && isgraph(data[at + i])) {
		out->version[i] = (char)data[at + i];
		i++;
	}
	out->version[i] = '\0';
}

static int bzimage_read_payload(struct bzimage *out, const char **why)
{
	uint64_t offset = out->hdr.payload_offset;
	uint64_t len = out->hdr.payload_length;

	if (out->hdr.version < PROTOCOL_PAYLOAD || len == 0)
		return 0;
	if (offset > out->code_len || len > out->code_len - offset) {
		*why = "a truncated bzImage: its payload ends behind the end of the file";
		return -EINVAL;
	}
	out->payload_offset = out->code_offset + (size_t)offset;
	out->payload_len = (size_t)len;
	return 0;
}

int bzimage_parse(const uint8_t *data, size_t len, struct bzimage *out, const char **why)
{
	size_t sects;

	memset(out, 0, sizeof(*out));
	*why = "not a bzImage";
	if (!bzimage_detect(data, len))
		return -ENOEXEC;
	*why = "a truncated bzImage: it ends inside the header";
	if (len < BZIMAGE_HDR_MIN_END)
		return -EINVAL;
	bzimage_copy_header(data, len, &out->hdr);
	*why = "a damaged bzImage: no boot signature";
	if (out->hdr.boot_flag != BZIMAGE_BOOT_FLAG)
		return -EINVAL;
	*why = "a bzImage too old to be booted without its 16-bit code (boot protocol before 2.08, "
	       "Linux 2.6.26)";
	if (out->hdr.version < PROTOCOL_PAYLOAD)
		return -ENOEXEC;
	*why = "a zImage, not a bzImage";
	if (!(out->hdr.loadflags & LOADED_HIGH))
		return -ENOEXEC;
	*why = "a 32-bit kernel's bzImage";
	if (out->hdr.version >= PROTOCOL_XLOADFLAGS && !(out->hdr.xloadflags & XLF_KERNEL_64))
		return -ENOEXEC;
	/* 0 means 4, for very old files. */
	sects = out->hdr.setup_sects != 0 ? out->hdr.setup_sects : 4;
	out->code_offset = (sects + 1) * 512;
	*why = "a truncated bzImage: it ends before the kernel";
	if (len <= out->code_offset + BZIMAGE_ENTRY64_OFFSET)
		return -EINVAL;
	out->code_len = len - out->code_offset;
	out->has_64bit_entry = out->hdr.xloadflags & XLF_KERNEL_64;
	bzimage_copy_version(data, len, out);
	return bzimage_read_payload(out, why);
}
