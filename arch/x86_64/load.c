/*
 * Loads an x86-64 kernel: arch_load_kernel of arch/arch.h, called once on the main thread after
 * guest memory is mapped and before tables and vCPUs. MEM must read as zero: bss is left as it is.
 *
 * A bzImage is taken apart: its payload is unpacked here, natively, and is an ELF that is entered
 * like a vmlinux, so that the guest runs no decompressor. What cannot be unpacked is entered at the
 * bzImage's own 64-bit entry and unpacks itself.
 *
 * Which entry AUTO takes for an ELF: its own (Linux 64-bit boot protocol) when e_entry is 64-bit
 * and lies in a segment's physical range, else the PVH note's. Linux has both and starts sooner
 * with the first; a PVH kernel whose 64-bit e_entry means something else needs --entry pvh.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "arch/arch.h"
#include "arch/x86_64/boot_params.h"
#include "arch/x86_64/bzimage.h"
#include "arch/x86_64/elf.h"
#include "arch/x86_64/identify.h"
#include "arch/x86_64/initrd.h"
#include "arch/x86_64/layout.h"
#include "arch/x86_64/place.h"
#include "arch/x86_64/unpack.h"
#include "vmm/log.h"

/* No Linux kernel is larger; a forged size must not fill the host's memory. */
#define LOAD_UNPACKED_MAX (512ULL << 20)

/* Where the first segment lies in the file of an x86-64 Linux: the linker's largest page. */
#define LOAD_FIRST_OFFSET (2ULL << 20)

#define LOAD_HUGE_PAGE	  (2ULL << 20)

/* COMMAND_LINE_SIZE of x86, for kernels without a header that says it. */
#define LOAD_CMDLINE_MAX  2047

#define LOAD_INITRD_LIMIT (1ULL << 31)

#define LOAD_EXPECTED	  "expected an x86-64 bzImage or vmlinux"

struct loader {
	struct guest_mem *mem;
	const struct arch_kernel *kernel;
	struct arch_boot *boot;
	const uint8_t *file; /* the whole kernel file, mapped */
	size_t file_len;
	struct bzimage bz;
	bool is_bzimage;
};

static int load_refuse(const struct loader *l, int err, const char *what)
{
	log_err("%s: %s; " LOAD_EXPECTED, l->kernel->kernel_path, what);
	return err;
}

static int load_map_file(struct loader *l)
{
	struct stat st;
	const char *what;
	void *map;

	if (fstat(l->kernel->kernel_fd, &st) != 0)
		return log_errno(errno, "read %s", l->kernel->kernel_path);
	what = identify_mode(st.st_mode);
	if (what != NULL)
		return load_refuse(l, S_ISDIR(st.st_mode) ? -EISDIR : -EINVAL, what);
	if (st.st_size == 0)
		return load_refuse(l, -ENOEXEC, "an empty file");
	map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, l->kernel->kernel_fd, 0);
	if (map == MAP_FAILED)
		return log_errno(errno, "read %s", l->kernel->kernel_path);
	l->file = map;
	l->file_len = (size_t)st.st_size;
	return 0;
}

/* Sets the entry that was asked for, or says what the file lacks. */
static int load_choose_entry(const struct loader *l, const struct elf_image *image)
{
	enum arch_entry entry = l->kernel->entry;

	if (entry == ARCH_ENTRY_AUTO)
		entry = image->has_entry || !image->has_pvh ? ARCH_ENTRY_ELF : ARCH_ENTRY_PVH;
	if (entry == ARCH_ENTRY_PVH && !image->has_pvh) {
		log_err("%s: no PVH entry: the kernel has no such note (Linux: CONFIG_PVH)",
			l->kernel->kernel_path);
		return -ENOEXEC;
	}
	if (entry == ARCH_ENTRY_ELF && !image->is_64bit)
		return load_refuse(l, -ENOEXEC, "a 32-bit x86 ELF without a PVH entry");
	if (entry == ARCH_ENTRY_ELF && (!image->has_entry || image->entry >= LAYOUT_HOLE_GPA)) {
		log_err("%s: no 64-bit entry: the ELF's entry %#" PRIx64
			" lies in none of its segments' physical addresses below 3 GiB",
			l->kernel->kernel_path, image->entry);
		return -ENOEXEC;
	}
	l->boot->entry = entry;
	l->boot->entry_gpa = entry == ARCH_ENTRY_PVH ? image->pvh_entry : image->entry;
	return 0;
}

/* True when LEN bytes at GPA are memory that a kernel may occupy. */
static bool load_is_free(const struct loader *l, gpa_t gpa, uint64_t len)
{
	return gpa >= LAYOUT_KERNEL_MIN_GPA && guest_mem_ptr(l->mem, gpa, len) != NULL;
}

static int load_check_segments(const struct loader *l, const struct elf_image *image)
{
	for (unsigned i = 0; i < image->segment_count; i++) {
		const struct elf_segment *s = &image->segments[i];

		if (s->gpa < LAYOUT_KERNEL_MIN_GPA) {
			log_err("%s: a segment at %#" PRIx64
				" lies below 1 MiB, where the boot tables are",
				l->kernel->kernel_path, s->gpa);
			return -ENOEXEC;
		}
		if (!load_is_free(l, s->gpa, s->mem_len)) {
			log_err("%s: a segment of %" PRIu64 " KiB at %#" PRIx64
				" lies outside memory; more --memory may be needed",
				l->kernel->kernel_path, (s->mem_len + 1023) >> 10, s->gpa);
			return -ENOSPC;
		}
	}
	return 0;
}

/* All that is common to the ways an ELF gets into memory. */
static int load_accept_image(struct loader *l, const struct elf_image *image)
{
	const struct elf_segment *last = &image->segments[image->segment_count - 1];
	int ret = load_check_segments(l, image);

	if (ret < 0)
		return ret;
	l->boot->kernel_gpa = image->segments[0].gpa;
	l->boot->kernel_len = last->gpa + last->mem_len - l->boot->kernel_gpa;
	return load_choose_entry(l, image);
}

/* An ELF whose bytes lie in the kernel's file, from FILE_OFFSET on. */
static int load_elf_from_file(struct loader *l, const struct elf_image *image, uint64_t file_offset)
{
	int ret = load_accept_image(l, image);

	for (unsigned i = 0; i < image->segment_count && ret == 0; i++) {
		const struct elf_segment *s = &image->segments[i];

		ret = place_file(l->mem, s->gpa, s->file_len, l->kernel->kernel_fd,
				 file_offset + s->offset, l->kernel->kernel_path, l->boot);
	}
	return ret;
}

/*
 * Where to unpack so that the segments need not be moved far: the first one of a Linux comes to lie
 * in its place, often the next ones too. 0 when there is no room for that.
 */
static gpa_t load_unpack_gpa(const struct loader *l, uint64_t len)
{
	gpa_t gpa = l->bz.hdr.pref_address - LOAD_FIRST_OFFSET;

	if (l->bz.hdr.pref_address < LOAD_FIRST_OFFSET || (gpa & PLACE_PAGE_MASK) != 0)
		return 0;
	return load_is_free(l, gpa, len) ? gpa : 0;
}

/*
 * True when the segments can be moved to their places one after another within memory, given that
 * the file starts at GPA: each moves down or not at all, none over one that is yet to be moved.
 */
static bool load_can_move(const struct elf_image *image, gpa_t gpa)
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

/* What is left of unpacking goes back to the host, but no huge page is broken up for it. */
static void load_discard_huge(struct loader *l, gpa_t gpa, gpa_t end)
{
	place_discard(l->mem, (gpa + LOAD_HUGE_PAGE - 1) & ~(LOAD_HUGE_PAGE - 1),
		      end & ~(LOAD_HUGE_PAGE - 1));
}

/* The ELF of IMAGE lies unpacked in guest memory at GPA: moves its segments to their places. */
static void load_move_segments(struct loader *l, const struct elf_image *image, gpa_t gpa,
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
		memset(dst + s->file_len, 0, s->mem_len - s->file_len);
	}
	load_discard_huge(l, gpa, l->boot->kernel_gpa);
	load_discard_huge(l, end, gpa + len);
}

/* The ELF of IMAGE lies at DATA outside guest memory. */
static int load_copy_segments(struct loader *l, const struct elf_image *image, const uint8_t *data)
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
static uint8_t *load_map_scratch(uint64_t len)
{
	void *map = mmap(NULL, len, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return map == MAP_FAILED ? NULL : map;
}

/* Unpacks to DST and reads the headers found there. 0, or -errno with *WHY for a debug line. */
static int load_unpack(const struct loader *l, uint8_t *dst, uint64_t dst_len, uint64_t *len,
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
static int load_move_through_copy(struct loader *l, const struct elf_image *image, gpa_t gpa,
				  uint64_t len)
{
	uint8_t *copy = load_map_scratch(len);
	int ret;

	if (copy == NULL)
		return log_errno(ENOMEM, "%s: unpack", l->kernel->kernel_path);
	ret = guest_mem_read(l->mem, gpa, copy, len);
	place_discard(l->mem, gpa, (gpa + len + PLACE_PAGE_MASK) & ~PLACE_PAGE_MASK);
	if (ret == 0)
		ret = load_copy_segments(l, image, copy);
	munmap(copy, len);
	return ret;
}

static int load_unpack_in_place(struct loader *l, gpa_t gpa, uint64_t size, const char **why)
{
	struct elf_image image;
	uint64_t len;
	int ret = load_unpack(l, guest_mem_ptr(l->mem, gpa, size), size, &len, &image, why);

	if (ret < 0) {
		place_discard(l->mem, gpa, (gpa + size + PLACE_PAGE_MASK) & ~PLACE_PAGE_MASK);
		return ret;
	}
	*why = NULL;
	ret = load_accept_image(l, &image);
	if (ret < 0)
		return ret;
	if (!load_can_move(&image, gpa))
		return load_move_through_copy(l, &image, gpa, len);
	load_move_segments(l, &image, gpa, len);
	return 0;
}

static int load_unpack_aside(struct loader *l, uint64_t size, const char **why)
{
	struct elf_image image;
	uint8_t *scratch = load_map_scratch(size);
	uint64_t len;
	int ret;

	*why = "no memory to unpack it";
	if (scratch == NULL)
		return -ENOMEM;
	ret = load_unpack(l, scratch, size, &len, &image, why);
	if (ret == 0) {
		*why = NULL;
		ret = load_accept_image(l, &image);
		if (ret == 0)
			ret = load_copy_segments(l, &image, scratch);
	}
	munmap(scratch, size);
	return ret;
}

/* The four bytes behind a payload, or the last four of gzip's: its size, if they do not lie. */
static uint64_t load_claimed_size(const struct loader *l)
{
	uint32_t size;

	if (l->bz.payload_len < sizeof(size))
		return 0;
	memcpy(&size, l->file + l->bz.payload_offset + l->bz.payload_len - sizeof(size),
	       sizeof(size));
	return size;
}

/*
 * The payload's kernel. Returns 0, or -errno: logged when *WHY is NULL, else *WHY says why there is
 * no use in the payload.
 */
static int load_payload(struct loader *l, const char **why)
{
	const uint8_t *payload = l->file + l->bz.payload_offset;
	uint64_t size = load_claimed_size(l);
	struct elf_image image;
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
	if (size == 0 || size > LOAD_UNPACKED_MAX)
		return -EINVAL;
	gpa = load_unpack_gpa(l, size);
	if (gpa != 0)
		return load_unpack_in_place(l, gpa, size, why);
	return load_unpack_aside(l, size, why);
}

/* Where the bzImage's own code goes: where it wants to be, or as near to it as there is room. */
static gpa_t load_bzimage_gpa(const struct loader *l, uint64_t room)
{
	const struct setup_header *hdr = &l->bz.hdr;
	uint64_t align = hdr->kernel_alignment;
	gpa_t gpa = hdr->pref_address;

	if (load_is_free(l, gpa, room) && gpa + room <= LAYOUT_HOLE_GPA)
		return gpa;
	if (!hdr->relocatable_kernel || align == 0 || (align & (align - 1)) != 0)
		return 0;
	gpa = (LAYOUT_KERNEL_MIN_GPA + align - 1) & ~(align - 1);
	return load_is_free(l, gpa, room) ? gpa : 0;
}

/* The bzImage enters itself and unpacks itself. */
static int load_bzimage_code(struct loader *l)
{
	uint64_t room = l->bz.hdr.init_size;
	gpa_t gpa;

	if (!l->bz.has_64bit_entry)
		return load_refuse(l, -ENOEXEC, "a bzImage without a 64-bit entry");
	if (room < l->bz.code_len)
		room = l->bz.code_len;
	gpa = load_bzimage_gpa(l, room);
	if (gpa == 0) {
		log_err("%s: it needs %" PRIu64 " MiB of memory at %#" PRIx64
			" to unpack itself; more --memory may be needed",
			l->kernel->kernel_path, (room + 0xfffff) >> 20,
			(uint64_t)l->bz.hdr.pref_address);
		return -ENOSPC;
	}
	l->boot->entry = ARCH_ENTRY_BZIMAGE;
	l->boot->entry_gpa = gpa + BZIMAGE_ENTRY64_OFFSET;
	l->boot->kernel_gpa = gpa;
	l->boot->kernel_len = room;
	return place_file(l->mem, gpa, l->bz.code_len, l->kernel->kernel_fd, l->bz.code_offset,
			  l->kernel->kernel_path, l->boot);
}

static void load_describe(struct loader *l, const char *how)
{
	struct arch_boot *boot = l->boot;
	enum unpack_kind kind = unpack_detect(l->file + l->bz.payload_offset, l->bz.payload_len);

	snprintf(boot->what_buf, sizeof(boot->what_buf), "bzImage%s%s (%s), %s",
		 l->bz.version[0] != '\0' ? " " : "", l->bz.version, unpack_kind_name(kind), how);
	boot->what = boot->what_buf;
}

static int load_bzimage(struct loader *l)
{
	const char *why;
	int ret = bzimage_parse(l->file, l->file_len, &l->bz, &why);

	if (ret < 0)
		return load_refuse(l, ret, why);
	l->is_bzimage = true;
	if (l->kernel->entry != ARCH_ENTRY_BZIMAGE) {
		ret = load_payload(l, &why);
		if (ret == 0)
			load_describe(l, "unpacked on the host");
		if (ret == 0 || why == NULL)
			return ret;
		if (l->kernel->entry != ARCH_ENTRY_AUTO || !l->bz.has_64bit_entry) {
			log_err("%s: the bzImage's payload cannot be used: %s",
				l->kernel->kernel_path, why);
			return ret;
		}
		log_debug("%s: the bzImage's payload is left to the guest: %s",
			  l->kernel->kernel_path, why);
	}
	ret = load_bzimage_code(l);
	load_describe(l, "unpacked by the guest");
	return ret;
}

static int load_elf(struct loader *l)
{
	struct elf_image image;
	const char *why;
	int ret = elf_parse(l->file, l->file_len, &image, &why);

	if (ret < 0)
		return load_refuse(l, ret, why);
	if (l->kernel->entry == ARCH_ENTRY_BZIMAGE) {
		log_err("%s: no bzImage entry: it is an ELF", l->kernel->kernel_path);
		return -ENOEXEC;
	}
	ret = load_elf_from_file(l, &image, 0);
	l->boot->what = l->boot->entry == ARCH_ENTRY_PVH ? "ELF, PVH entry" : "ELF, 64-bit entry";
	return ret;
}

static int load_kernel_file(struct loader *l)
{
	if (bzimage_detect(l->file, l->file_len))
		return load_bzimage(l);
	if (unpack_detect(l->file, l->file_len) == UNPACK_NONE)
		return load_elf(l);
	return load_refuse(l, -ENOEXEC, identify_file(l->file, l->file_len));
}

/* Everything that the kernel is told, once it has its place. */
static int load_boot_information(struct loader *l)
{
	const struct setup_header *hdr = l->is_bzimage ? &l->bz.hdr : NULL;
	uint64_t cmdline_max = LOAD_CMDLINE_MAX;
	gpa_t initrd_limit = LOAD_INITRD_LIMIT;
	const char *cmdline = l->kernel->cmdline != NULL ? l->kernel->cmdline : "";
	int ret;

	if (hdr != NULL && hdr->cmdline_size != 0)
		cmdline_max = hdr->cmdline_size;
	if (hdr != NULL && hdr->initrd_addr_max != 0)
		initrd_limit = (gpa_t)hdr->initrd_addr_max + 1;
	if (initrd_limit > LAYOUT_HOLE_GPA)
		initrd_limit = LAYOUT_HOLE_GPA;
	ret = initrd_load(l->mem, l->kernel, initrd_limit, l->boot);
	if (ret < 0)
		return ret;
	ret = boot_cmdline_write(l->mem, cmdline, cmdline_max);
	if (ret < 0)
		return ret;
	l->boot->cmdline_gpa = LAYOUT_CMDLINE_GPA;
	l->boot->info_gpa =
		l->boot->entry == ARCH_ENTRY_PVH ? LAYOUT_PVH_INFO_GPA : LAYOUT_ZERO_PAGE_GPA;
	return boot_params_write(l->mem, l->boot, hdr);
}

int arch_load_kernel(struct guest_mem *mem, const struct arch_kernel *kernel,
		     struct arch_boot *boot)
{
	struct loader l = { .mem = mem, .kernel = kernel, .boot = boot };
	int ret;

	memset(boot, 0, sizeof(*boot));
	ret = load_map_file(&l);
	if (ret < 0)
		return ret;
	ret = load_kernel_file(&l);
	if (ret == 0)
		ret = load_boot_information(&l);
	munmap((void *)(uintptr_t)l.file, l.file_len);
	return ret;
}
