/*
 * What people give as a kernel by mistake, recognised by its magic numbers. Called by the kernel
 * loader on the main thread when a file is neither a bzImage nor an ELF.
 */
#include "arch/x86_64/identify.h"

#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>

#include "arch/x86_64/unpack.h"
#include "vmm/err.h"

/* How much of the start must be printable to be called text. */
#define IDENTIFY_TEXT_LEN 256

/* In order: the first that fits is said. */
static const struct {
	uint32_t offset;
	uint8_t magic_len;
	char magic[9];
	const char *what;
} identify_magics[] = {
	{ 0x38, 4, "ARMd", "an arm64 Linux kernel Image" },
	{ 0x38, 4, "RSC\x05", "a RISC-V Linux kernel Image" },
	{ 4, 4, "zimg", "a compressed EFI kernel image (zboot) of another architecture" },
	{ 0x24, 4, "\x18\x28\x6f\x01", "a 32-bit Arm Linux zImage" },
	{ 0, 4, "\x27\x05\x19\x56", "a U-Boot image" },
	{ 0, 4, "\xd0\x0d\xfe\xed", "a device tree or a FIT image" },
	{ 0, 5, "07070", "a cpio archive, as an initramfs is; give it to --initrd" },
	{ 0, 4, "QFI\xfb", "a qcow2 disk image; give it to --disk" },
	{ 0, 4, "KDMV", "a VMDK disk image" },
	{ 0, 4, "hsqs", "a squashfs image; give it to --disk" },
	{ 0, 4, "XFSB", "an XFS file system image; give it to --disk" },
	{ 0x400, 4, "\xe2\xe1\xf5\xe0", "an EROFS image; give it to --disk" },
	{ 0x438, 2, "\x53\xef", "an ext2, ext3 or ext4 file system image; give it to --disk" },
	{ 0x10040, 8, "_BHRfS_M", "a btrfs file system image; give it to --disk" },
	{ 0x8001, 5, "CD001", "an ISO 9660 image; give it to --disk" },
	{ 0x200, 8, "EFI PART", "a disk image; give it to --disk" },
	{ 0x1fe, 2, "\x55\xaa", "a boot sector or disk image without a Linux kernel's header" },
	{ 0, 2, "MZ", "an EFI or Windows program" },
	{ 0, 7, "!<arch>", "an archive (ar), as a Debian package is" },
	{ 0, 4, "PK\x03\x04", "a zip archive" },
	{ 0x101, 5, "ustar", "a tar archive" },
	{ 0, 2, "#!", "a script" },
};

static bool identify_is_text(const uint8_t *data, size_t len)
{
	if (len > IDENTIFY_TEXT_LEN)
		len = IDENTIFY_TEXT_LEN;
	for (size_t i = 0; i < len; i++) {
		if ((data[i] < ' ' && strchr("\t\n\r", data[i]) == NULL) || data[i] == 0x7f ||
		    data[i] == 0)
			return false;
	}
	return true;
}

static const char *identify_compressed(enum unpack_kind kind)
{
	switch (kind) {
	case UNPACK_GZIP:
		return "a gzip-compressed file; unpack it first";
	case UNPACK_BZIP2:
		return "a bzip2-compressed file; unpack it first";
	case UNPACK_XZ:
		return "an xz-compressed file; unpack it first";
	case UNPACK_LZO:
		return "an lzop-compressed file; unpack it first";
	case UNPACK_LZ4:
		return "an lz4-compressed file; unpack it first";
	case UNPACK_ZSTD:
		return "a zstd-compressed file; unpack it first";
	default:
		return NULL;
	}
}

const char *identify_file(const uint8_t *data, size_t len)
{
	const char *what;

	if (len == 0)
		return "an empty file";
	what = identify_compressed(unpack_detect(data, len));
	if (what != NULL)
		return what;
	for (size_t i = 0; i < ARRAY_SIZE(identify_magics); i++) {
		size_t end = identify_magics[i].offset + (size_t)identify_magics[i].magic_len;

		if (len >= end && memcmp(data + identify_magics[i].offset, identify_magics[i].magic,
					 identify_magics[i].magic_len) == 0)
			return identify_magics[i].what;
	}
	return identify_is_text(data, len) ? "a text file" : "a file of unknown kind";
}

const char *identify_mode(unsigned mode)
{
	switch (mode & S_IFMT) {
	case S_IFREG:
		return NULL;
	case S_IFDIR:
		return "a directory";
	case S_IFIFO:
		return "a pipe";
	case S_IFSOCK:
		return "a socket";
	case S_IFBLK:
		return "a block device";
	default:
		return "a device";
	}
}
