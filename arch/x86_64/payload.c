/*
 * The kernel inside a bzImage: unpacked on the host into guest memory and placed like any ELF. Part
 * of the x86-64 kernel loader; main thread, before the machine runs.
 *
 * It is unpacked as a whole to such an address that the first segment of a Linux, and mostly the
 * second, comes to lie where it belongs; what follows is moved down by some pages. So all but these
 * bytes are written once, straight from the decoder.
 */
#include <string.h>
#include <sys/mman.h>

#include "arch/x86_64/layout.h"
#include "arch/x86_64/load.h"
#include "arch/x86_64/place.h"
#include "arch/x86_64/unpack.h"
#include "vmm/log.h"

/* No Linux kernel is larger; a forged size must not fill the host's memory. */
#define PAYLOAD_UNPACKED_MAX (512ULL << 20)

/* Where the first segment lies in the file of an x86-64 Linux: the linker's largest page. */
#define PAYLOAD_FIRST_OFFSET (2ULL << 20)

#define PAYLOAD_HUGE_PAGE    (2ULL << 20)

/*
 * Where to unpack so that the segments need not be moved far: the first one of a Linux comes to lie
 * in its place, often the next ones too. 0 when there is no room for that.
 */
static gpa_t payload_unpack_gpa(const struct loader *l, uint64_t len)
{
	gpa_t gpa = l->bz.hdr.pref_address - PAYLOAD_FIRST_OFFSET;

	if (l->bz.hdr.pref_address < PAYLOAD_FIRST_OFFSET || (gpa & PLACE_PAGE_MASK) != 0)
		return 0;
	return load_is_free(l, gpa, len) ? gpa : 0;
}

/*
 * True when the segments can be moved to their places one after another within memory, given that
 * the file starts at GPA: each moves down or not at all, none over one that is yet to be moved.
 */
static bool payload_can_move(const struct elf_image *image, gpa_t gpa)
{
	for (unsigned i = 0; i < image->segment_count; i++) {
		const struct elf_segment *s = &image->segments[i];

		if (s->gpa > gpa + s->offset)
			return false;
		if (i > 0 && s->offset < image->segments[i - 1].offset)
			return false;
	}
	return true;
}

/* Clears the part of a segment's bss that unpacking, up to UNPACKED_END, has written over. */
static void payload_clear_bss(struct loader *l, const struct elf_segment *s, gpa_t unpacked_end)
{
	gpa_t gpa = s->gpa + s->file_len;
	gpa_t end = s->gpa + s->mem_len;

	if (end > unpacked_end)
		end = unpacked_end;
	if (end > gpa)
		memset(guest_mem_ptr(l->mem, gpa, end - gpa), 0, end - gpa);
}

/* What is left of unpacking goes back to the host, but no huge page is broken up for it. */
static void payload_discard_huge(struct loader *l, gpa_t gpa, gpa_t end)
{
	place_discard(l->mem, (gpa + PAYLOAD_HUGE_PAGE - 1) & ~(PAYLOAD_HUGE_PAGE - 1),
		      end & ~(PAYLOAD_HUGE_PAGE - 1));
}

/* The ELF of IMAGE lies unpacked in guest memory at GPA, where LEN bytes may have been written:
 * moves its segments to their places. */
static void payload_move_segments(struct loader *l, const struct elf_image *image, gpa_t gpa,
				  uint64_t len)
{
	gpa_t end = l->boot->kernel_gpa + l->boot->kernel_len;

	for (unsigned i = 0; i < image->segment_count; i++) {
		const struct elf_segment *s = &image->segments[i];
		uint8_t *dst = guest_mem_ptr(l->mem, s->gpa, s->mem_len);
		const uint8_t *src = guest_mem_ptr(l->mem, gpa + s->offset, s->file_len);

		if (dst != src) {
			memmove(dst, src, s->file_len);
			l->boot->copied_len += s->file_len;
		}
		payload_clear_bss(l, s, gpa + len);
	}
	payload_discard_huge(l, gpa, l->boot->kernel_gpa);
	payload_discard_huge(l, end, gpa + len);
}

/* The ELF of IMAGE lies at DATA outside guest memory. */
static int payload_copy_segments(struct loader *l, const struct elf_image *image,
				 const uint8_t *data)
{
	for (unsigned i = 0; i < image->segment_count; i++) {
		const struct elf_segment *s = &image->segments[i];
		int ret = guest_mem_write(l->mem, s->gpa, data + s->offset, s->file_len);

		if (ret < 0)
			return log_errno(ret, "%s: place a segment", l->kernel->kernel_path);
		l->boot->copied_len += s->file_len;
	}
	return 0;
}

/* A place for unpacking outside guest memory. NULL: no memory. */
static uint8_t *payload_map_scratch(uint64_t len)
{
	void *map = mmap(NULL, len, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return map == MAP_FAILED ? NULL : map;
}

/* Unpacks to DST and reads the headers found there. 0, or -errno with *WHY for a debug line. */
static int payload_unpack(const struct loader *l, uint8_t *dst, uint64_t dst_len, uint64_t *len,
			  struct elf_image *image, const char **why)
{
	const uint8_t *payload = l->file + l->bz.payload_offset;
	size_t out_len;
	int ret = unpack_stream(unpack_detect(payload, l->bz.payload_len), payload,
				l->bz.payload_len, dst, dst_len, &out_len);

	*len = out_len;
	switch (ret) {
	case 0:
		return elf_parse(dst, out_len, image, why);
	case -ENOSPC:
		*why = "it unpacks to more than its size says";
		break;
	case -ENOTSUP:
		*why = "its compression is unknown";
		break;
	case -ELIBACC:
		*why = "the library for its compression is not installed";
		break;
	case -ENOMEM:
		*why = "no memory to unpack it";
		break;
	default:
		*why = "it is damaged";
		break;
	}
	return ret;
}

/* Segments that cannot be moved in place make a detour: out of guest memory and in again. */
static int payload_move_through_copy(struct loader *l, const struct elf_image *image, gpa_t gpa,
				     uint64_t len)
{
	uint8_t *copy = payload_map_scratch(len);
	int ret;

	if (copy == NULL)
		return log_errno(ENOMEM, "%s: unpack", l->kernel->kernel_path);
	ret = guest_mem_read(l->mem, gpa, copy, len);
	place_discard(l->mem, gpa, (gpa + len + PLACE_PAGE_MASK) & ~PLACE_PAGE_MASK);
	if (ret == 0)
		ret = payload_copy_segments(l, image, copy);
	munmap(copy, len);
	return ret;
}

static int payload_unpack_in_place(struct loader *l, gpa_t gpa, uint64_t size, const char **why)
{
	struct elf_image image = { 0 };
	uint64_t len;
	int ret = payload_unpack(l, guest_mem_ptr(l->mem, gpa, size), size, &len, &image, why);

	if (ret < 0) {
		place_discard(l->mem, gpa, (gpa + size + PLACE_PAGE_MASK) & ~PLACE_PAGE_MASK);
		return ret;
	}
	*why = NULL;
	ret = load_accept_image(l, &image);
	if (ret < 0)
		return ret;
	if (!payload_can_move(&image, gpa))
		return payload_move_through_copy(l, &image, gpa, len);
	payload_move_segments(l, &image, gpa, size);
	return 0;
}

static int payload_unpack_aside(struct loader *l, uint64_t size, const char **why)
{
	struct elf_image image = { 0 };
	uint8_t *scratch = payload_map_scratch(size);
	uint64_t len;
	int ret;

	*why = "no memory to unpack it";
	if (scratch == NULL)
		return -ENOMEM;
	ret = payload_unpack(l, scratch, size, &len, &image, why);
	if (ret == 0) {
		*why = NULL;
		ret = load_accept_image(l, &image);
		if (ret == 0)
			ret = payload_copy_segments(l, &image, scratch);
	}
	munmap(scratch, size);
	return ret;
}

/* The four bytes behind a payload, or the last four of gzip's: its size, if they do not lie. */
static uint64_t payload_claimed_size(const struct loader *l)
{
	uint32_t size;

	if (l->bz.payload_len < sizeof(size))
		return 0;
	memcpy(&size, l->file + l->bz.payload_offset + l->bz.payload_len - sizeof(size),
	       sizeof(size));
	return size;
}

int payload_load(struct loader *l, const char **why)
{
	const uint8_t *payload = l->file + l->bz.payload_offset;
	uint64_t size = payload_claimed_size(l);
	struct elf_image image = { 0 };
	gpa_t gpa;
	int ret;

	*why = "it has no payload";
	if (l->bz.payload_len == 0)
		return -ENOEXEC;
	if (unpack_detect(payload, l->bz.payload_len) == UNPACK_NONE) {
		ret = elf_parse(payload, l->bz.payload_len, &image, why);
		if (ret < 0)
			return ret;
		*why = NULL;
		return load_elf_from_file(l, &image, l->bz.payload_offset);
	}
	*why = "its size is not that of a kernel";
	if (size == 0 || size > PAYLOAD_UNPACKED_MAX)
		return -EINVAL;
	*why = "it unpacks to more than there is memory";
	if (size > guest_mem_total(l->mem))
		return -ENOSPC;
	gpa = payload_unpack_gpa(l, size);
	if (gpa != 0)
		return payload_unpack_in_place(l, gpa, size, why);
	return payload_unpack_aside(l, size, why);
}
