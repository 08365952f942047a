/*
 * ACPI tables of a hardware-reduced machine, from the board's rows. A pure function into a buffer.
 */
#ifndef ARCH_X86_64_ACPI_H
#define ARCH_X86_64_ACPI_H

#include <stddef.h>
#include <stdint.h>

#include "arch/arch.h"
#include "vmm/err.h"
#include "vmm/guest_mem.h"

/* Registers of a BOARD_POWER row, from its base: the same as in devices/power.h. */
#define ACPI_POWER_SLEEP_CONTROL 0
#define ACPI_POWER_SLEEP_STATUS	 1
#define ACPI_POWER_RESET	 2
#define ACPI_POWER_EVENT	 4
#define ACPI_POWER_RESET_VALUE	 0x06

/*
 * Writes the tables for BOARD to the BUF_LEN bytes at BUF, which the guest will see at GPA; the
 * RSDP comes first. *LEN is what was used. Returns 0, -ENOSPC when BUF is
 * too small, -EINVAL when a row cannot be described (an address beyond what its kind can hold).
 */
int acpi_build(uint8_t *buf, size_t buf_len, gpa_t gpa, const struct arch_board *board,
	       size_t *len) MUST_CHECK;

#endif
