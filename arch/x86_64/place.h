/*
 * Puts bytes of a file at their guest addresses: mapped from the file where alignment allows, so
 * that machines which run the same file share its pages, and copied elsewhere.
 */
#ifndef ARCH_X86_64_PLACE_H
#define ARCH_X86_64_PLACE_H

#include <stdint.h>

#include "arch/arch.h"
#include "vmm/err.h"
#include "vmm/guest_mem.h"

/* Less than this costs less to copy than to map. */
#define PLACE_MAP_MIN	(64ULL << 10)

#define PLACE_PAGE_LEN	4096ULL
#define PLACE_PAGE_MASK (PLACE_PAGE_LEN - 1)

/*
 * Puts LEN bytes at OFFSET of FD to GPA and adds to BOOT's mapped_len and copied_len. Memory
 * around them is left alone. PATH is for messages. Main thread, before the machine runs. Returns 0
 * or -errno, logged: -EFAULT when GPA is not memory, -EIO when the file is shorter.
 */
int place_file(struct guest_mem *mem, gpa_t gpa, uint64_t len, int fd, uint64_t offset,
	       const char *path, struct arch_boot *boot) MUST_CHECK;

/* Gives the whole pages between GPA and END back to the host: they read as zero again. For
 * anonymous memory only. */
void place_discard(struct guest_mem *mem, gpa_t gpa, gpa_t end);

#endif
