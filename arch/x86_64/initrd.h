/*
 * The initial RAM disk: as high in memory as the kernel can reach it, mapped from its file.
 */
#ifndef ARCH_X86_64_INITRD_H
#define ARCH_X86_64_INITRD_H

#include <stdint.h>

#include "arch/arch.h"
#include "vmm/err.h"
#include "vmm/guest_mem.h"

/*
 * The highest place for LEN bytes below LIMIT and clear of the kernel's KERNEL_LEN bytes at
 * KERNEL_GPA and of what lies under 1 MiB; on a 2 MiB boundary where there is room, else on a page.
 * Returns 0 and *OUT, or -ENOSPC, unlogged.
 */
int initrd_find_place(const struct guest_mem *mem, uint64_t len, gpa_t limit, gpa_t kernel_gpa,
		      uint64_t kernel_len, gpa_t *out) MUST_CHECK;

/*
 * Loads KERNEL's initrd, if it has one, below LIMIT. BOOT's kernel_gpa and kernel_len are set; its
 * initrd_gpa, initrd_len, mapped_len and copied_len are written. Main thread. Returns 0 or -errno,
 * logged.
 */
int initrd_load(struct guest_mem *mem, const struct arch_kernel *kernel, gpa_t limit,
		struct arch_boot *boot) MUST_CHECK;

#endif
