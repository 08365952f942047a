/*
 * boot_params ("zero page", Linux Documentation/arch/x86/zero-page.rst) and the PVH start info
 * (Xen, public/arch-x86/hvm/start_info.h). Written on the main thread while the machine is built,
 * by the kernel loader and, for the memory map, by the tables' writer.
 */
#include "arch/x86_64/boot_params.h"

#include <stddef.h>
#include <string.h>

#include "arch/x86_64/layout.h"
#include "vmm/log.h"

#define BOOT_FLAG	       0xaa55
#define BOOT_MAGIC	       0x53726448U /* "HdrS" */
#define BOOT_PROTOCOL	       0x020f
#define BOOT_LOADER_UNASSIGNED 0xff

#define PVH_MAGIC	       0x336ec578U
#define PVH_VERSION	       1 /* the first with a memory map */

struct pvh_start_info {
	uint32_t magic;
	uint32_t version;
	uint32_t flags;
	uint32_t module_count;
	uint64_t modules_gpa;
	uint64_t cmdline_gpa;
	uint64_t rsdp_gpa;
	uint64_t memmap_gpa;
	uint32_t memmap_count;
	uint32_t reserved;
};

struct pvh_module {
	uint64_t gpa;
	uint64_t len;
	uint64_t cmdline_gpa;
	uint64_t reserved;
};

struct pvh_memmap_entry {
	uint64_t gpa;
	uint64_t len;
	uint32_t type;
	uint32_t reserved;
};

/* All of it in one page. */
#define PVH_MODULES_GPA (LAYOUT_PVH_INFO_GPA + 0x40)
#define PVH_MEMMAP_GPA	(LAYOUT_PVH_INFO_GPA + 0x80)

_Static_assert(sizeof(struct boot_params) == 4096, "the zero page is a page");
_Static_assert(BOOT_RAM_ENTRIES_MAX == E820_MAX_ENTRIES_ZEROPAGE, "rows of the zero page");
_Static_assert(0x80 + BOOT_RAM_ENTRIES_MAX * sizeof(struct pvh_memmap_entry) <= LAYOUT_PVH_INFO_LEN,
	       "rows of the PVH page");
_Static_assert(sizeof(struct pvh_start_info) == 56 && sizeof(struct pvh_module) == 32,
	       "PVH start info as specified");

/* What a vmlinux would have said in a header, had it one. */
static void boot_params_default_header(struct setup_header *hdr)
{
	hdr->boot_flag = BOOT_FLAG;
	hdr->header = BOOT_MAGIC;
	hdr->version = BOOT_PROTOCOL;
	hdr->kernel_alignment = 2U << 20;
	hdr->xloadflags = XLF_KERNEL_64;
	hdr->initrd_addr_max = INT32_MAX;
}

static int boot_params_write_linux(struct guest_mem *mem, const struct arch_boot *boot,
				   const struct setup_header *hdr)
{
	struct boot_params params = { 0 };

	if (hdr != NULL)
		params.hdr = *hdr;
	else
		boot_params_default_header(&params.hdr);
	params.hdr.type_of_loader = BOOT_LOADER_UNASSIGNED;
	params.hdr.loadflags |= LOADED_HIGH;
	params.hdr.setup_data = 0;
	params.hdr.code32_start = (uint32_t)boot->kernel_gpa;
	params.hdr.cmd_line_ptr = (uint32_t)boot->cmdline_gpa;
	params.ext_cmd_line_ptr = (uint32_t)(boot->cmdline_gpa >> 32);
	params.hdr.ramdisk_image = (uint32_t)boot->initrd_gpa;
	params.ext_ramdisk_image = (uint32_t)(boot->initrd_gpa >> 32);
	params.hdr.ramdisk_size = (uint32_t)boot->initrd_len;
	params.ext_ramdisk_size = (uint32_t)(boot->initrd_len >> 32);
	return guest_mem_write(mem, boot->info_gpa, &params, sizeof(params));
}

static int boot_params_write_pvh(struct guest_mem *mem, const struct arch_boot *boot)
{
	struct pvh_start_info info = { .magic = PVH_MAGIC,
				       .version = PVH_VERSION,
				       .cmdline_gpa = boot->cmdline_gpa };
	struct pvh_module module = { .gpa = boot->initrd_gpa, .len = boot->initrd_len };
	int ret;

	if (boot->initrd_len != 0) {
		info.module_count = 1;
		info.modules_gpa = PVH_MODULES_GPA;
		ret = guest_mem_write(mem, PVH_MODULES_GPA, &module, sizeof(module));
		if (ret < 0)
			return ret;
	}
	return guest_mem_write(mem, boot->info_gpa, &info, sizeof(info));
}

int boot_params_write(struct guest_mem *mem, const struct arch_boot *boot,
		      const struct setup_header *hdr)
{
	int ret;

	if (boot->entry == ARCH_ENTRY_PVH)
		ret = boot_params_write_pvh(mem, boot);
	else
		ret = boot_params_write_linux(mem, boot, hdr);
	return ret < 0 ? log_errno(ret, "boot information") : 0;
}

static int boot_info_write_e820(struct guest_mem *mem, gpa_t info_gpa,
				const struct boot_ram_entry *entries, unsigned count,
				gpa_t rsdp_gpa)
{
	struct boot_params *params = guest_mem_ptr(mem, info_gpa, sizeof(*params));

	if (params == NULL)
		return -EFAULT;
	params->acpi_rsdp_addr = rsdp_gpa;
	params->e820_entries = (uint8_t)count;
	for (unsigned i = 0; i < count; i++) {
		params->e820_table[i] = (struct boot_e820_entry){ .addr = entries[i].gpa,
								  .size = entries[i].len,
								  .type = entries[i].type };
	}
	return 0;
}

static int boot_info_write_pvh(struct guest_mem *mem, gpa_t info_gpa,
			       const struct boot_ram_entry *entries, unsigned count, gpa_t rsdp_gpa)
{
	struct pvh_start_info *info = guest_mem_ptr(mem, info_gpa, sizeof(*info));
	struct pvh_memmap_entry *map = guest_mem_ptr(mem, PVH_MEMMAP_GPA, count * sizeof(*map));

	if (info == NULL || map == NULL)
		return -EFAULT;
	info->rsdp_gpa = rsdp_gpa;
	info->memmap_gpa = PVH_MEMMAP_GPA;
	info->memmap_count = count;
	for (unsigned i = 0; i < count; i++) {
		map[i] = (struct pvh_memmap_entry){ .gpa = entries[i].gpa,
						    .len = entries[i].len,
						    .type = entries[i].type };
	}
	return 0;
}

int boot_info_write_memory_map(struct guest_mem *mem, const struct arch_boot *boot,
			       const struct boot_ram_entry *entries, unsigned count, gpa_t rsdp_gpa)
{
	int ret;

	if (count > BOOT_RAM_ENTRIES_MAX)
		return log_errno(E2BIG, "memory map of %u rows", count);
	if (boot->entry == ARCH_ENTRY_PVH)
		ret = boot_info_write_pvh(mem, boot->info_gpa, entries, count, rsdp_gpa);
	else
		ret = boot_info_write_e820(mem, boot->info_gpa, entries, count, rsdp_gpa);
	return ret < 0 ? log_errno(ret, "memory map") : 0;
}

int boot_cmdline_write(struct guest_mem *mem, const char *text, uint64_t limit)
{
	size_t len = strlen(text);

	if (limit >= LAYOUT_CMDLINE_LEN)
		limit = LAYOUT_CMDLINE_LEN - 1;
	if (len > limit) {
		log_err("kernel command line: %zu bytes are more than the %llu this kernel takes",
			len, (unsigned long long)limit);
		return -E2BIG;
	}
	if (guest_mem_write(mem, LAYOUT_CMDLINE_GPA, text, len + 1) != 0)
		return log_errno(EFAULT, "kernel command line");
	return 0;
}
