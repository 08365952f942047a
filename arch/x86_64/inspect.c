/*
 * What a bzImage or vmlinux says about itself: its version, and the image inside. Called by
 * `vmm doctor` on its thread.
 */
#include "arch/inspect.h"

#include <elf.h>
#include <endian.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "arch/x86_64/bzimage.h"
#include "arch/x86_64/elf.h"
#include "arch/x86_64/identify.h"
#include "arch/x86_64/unpack.h"

/* No Linux kernel is larger; a forged size must not fill memory. */
#define IMAGE_LEN_MAX (512u << 20)

/* No kernel lies below this; programs that are linked to run anywhere begin at 0. */
#define KERNEL_GPA_MIN 0x100000

/* The payload of the LEN bytes at SRC; Linux appends its unpacked size. No image is no error. */
static void unpack(const uint8_t *src, size_t len, struct arch_inspection *out)
{
	size_t used = 0;
	uint32_t size;
	void *room;

	if (len < sizeof(size))
		return;
	memcpy(&size, src + len - sizeof(size), sizeof(size));
	size = le32toh(size);
	if (size == 0 || size > IMAGE_LEN_MAX)
		return;
	room = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
		    -1, 0);
	if (room == MAP_FAILED)
		return;
	if (unpack_stream(unpack_detect(src, len), src, len, room, size, &used) < 0) {
		munmap(room, size);
		return;
	}
	out->image = room;
	out->image_len = size;
}

int arch_inspect_kernel(const uint8_t *data, size_t len, struct arch_inspection *out)
{
	struct elf_image elf;
	struct bzimage bz;
	int ret;

	*out = (struct arch_inspection){ 0 };
	if (!bzimage_detect(data, len)) {
		if (len < SELFMAG || memcmp(data, ELFMAG, SELFMAG) != 0) {
			out->problem = identify_file(data, len);
			return -ENOEXEC;
		}
		ret = elf_parse(data, len, &elf, &out->problem);
		if (ret == 0 && elf.segments[0].gpa < KERNEL_GPA_MIN) {
			out->problem = "a program, not a kernel";
			ret = -ENOEXEC;
		}
		return ret;
	}
	ret = bzimage_parse(data, len, &bz, &out->problem);
	if (ret < 0)
		return ret;
	snprintf(out->version, sizeof(out->version), "%.*s", (int)strcspn(bz.version, " "),
		 bz.version);
	if (bz.payload_len)
		unpack(data + bz.payload_offset, bz.payload_len, out);
	return 0;
}

void arch_inspect_fini(struct arch_inspection *inspection)
{
	if (inspection->image)
		munmap(inspection->image, inspection->image_len);
	inspection->image = NULL;
}
