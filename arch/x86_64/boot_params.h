/*
 * What a kernel is handed at its entry: boot_params, "the zero page" (Linux boot protocol,
 * Documentation/arch/x86/boot.rst and zero-page.rst), or the PVH start info (Xen's
 * start_info.h, versions 0 and 1). Both lie at the addresses of layout.h.
 *
 * The loader writes all but the memory map and the RSDP; the tables' writer adds those.
 */
#ifndef ARCH_X86_64_BOOT_PARAMS_H
#define ARCH_X86_64_BOOT_PARAMS_H

#include <stdint.h>

#include <asm/bootparam.h>

#include "arch/arch.h"
#include "vmm/err.h"
#include "vmm/guest_mem.h"

/* One row of the memory map; types are E820's, which PVH shares. */
enum boot_ram_type {
	BOOT_RAM_USABLE = 1,
	BOOT_RAM_RESERVED = 2,
	BOOT_RAM_ACPI = 3,
	BOOT_RAM_NVS = 4,
};

struct boot_ram_entry {
	gpa_t gpa;
	uint64_t len;
	enum boot_ram_type type;
};

/* Rows that fit in either format. */
#define BOOT_RAM_ENTRIES_MAX 128

/*
 * Writes the boot information of BOOT->entry to BOOT->info_gpa from what BOOT says about initrd
 * and command line; no memory map yet. HDR is a bzImage's setup header, copied; NULL makes one up
 * for a plain ELF; not used for PVH. Returns 0 or -EFAULT (the place is not memory), logged.
 */
int boot_params_write(struct guest_mem *mem, const struct arch_boot *boot,
		      const struct setup_header *hdr) MUST_CHECK;

/*
 * Adds the memory map (COUNT rows in ascending order) and the RSDP's address (0: none) to the boot
 * information at BOOT->info_gpa, whichever format BOOT->entry asks for. For arch_write_tables, on
 * the main thread. Returns 0, -E2BIG (more than BOOT_RAM_ENTRIES_MAX rows) or -EFAULT, logged.
 */
int boot_info_write_memory_map(struct guest_mem *mem, const struct arch_boot *boot,
			       const struct boot_ram_entry *entries, unsigned count,
			       gpa_t rsdp_gpa) MUST_CHECK;

/*
 * Puts TEXT with its terminator at LAYOUT_CMDLINE_GPA. LIMIT is the longest text the kernel takes,
 * without the terminator. Returns 0, -E2BIG or -EFAULT, logged.
 */
int boot_cmdline_write(struct guest_mem *mem, const char *text, uint64_t limit) MUST_CHECK;

#endif
