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
#include "arch/x86_64/load.h"
#include "arch/x86_64/place.h"
#include "arch/x86_64/unpack.h"
#include "vmm/log.h"

/* COMMAND_LINE_SIZE of x86, for kernels without a header that says it. */
#define LOAD_CMDLINE_MAX  2047

#define LOAD_INITRD_LIMIT (1ULL << 31)

#define LOAD_EXPECTED	  "expected an x86-64 bzImage or vmlinux"

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

bool load_is_free(const struct loader *l, gpa_t gpa, uint64_t len)
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

int load_accept_image(struct loader *l, const struct elf_image *image)
{
	const struct elf_segment *last = &image->segments[image->segment_count - 1];
	int ret = load_check_segments(l, image);

	if (ret < 0)
		return ret;
	l->boot->kernel_gpa = image->segments[0].gpa;
	l->boot->kernel_len = last->gpa + last->mem_len - l->boot->kernel_gpa;
	return load_choose_entry(l, image);
}

int load_elf_from_file(struct loader *l, const struct elf_image *image, uint64_t file_offset)
{
	int ret = load_accept_image(l, image);

	for (unsigned i = 0; i < image->segment_count && ret == 0; i++) {
		const struct elf_segment *s = &image->segments[i];

		ret = place_file(l->mem, s->gpa, s->file_len, l->kernel->kernel_fd,
				 file_offset + s->offset, l->kernel->kernel_path, l->boot);
	}
	return ret;
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

	if (kind == UNPACK_NONE && boot->entry != ARCH_ENTRY_BZIMAGE)
		how = "taken out on the host";
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
		ret = payload_load(l, &why);
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
	struct elf_image image = { 0 };
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
	munmap((void *)l.file, l.file_len);
	return ret;
}
