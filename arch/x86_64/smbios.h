/*
 * SMBIOS tables: what the machine is called, and strings handed to the guest. A pure function into
 * a buffer.
 */
#ifndef ARCH_X86_64_SMBIOS_H
#define ARCH_X86_64_SMBIOS_H

#include <stddef.h>
#include <stdint.h>

#include "arch/arch.h"
#include "vmm/err.h"
#include "vmm/guest_mem.h"

#define SMBIOS_OEM_STRINGS_MAX 255

/*
 * Writes entry point and tables with BOARD's name and OEM strings to the BUF_LEN bytes at BUF,
 * which the guest will see at GPA. *LEN is what was used. Returns 0, or -ENOSPC when BUF is too
 * small or there are too many strings.
 */
int smbios_build(uint8_t *buf, size_t buf_len, gpa_t gpa, const struct arch_board *board,
		 size_t *len) MUST_CHECK;

/* An identifier that is the same for the same name, in the byte order of SMBIOS type 1. */
void smbios_uuid(const char *name, uint8_t uuid[16]);

#endif
