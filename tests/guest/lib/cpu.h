/*
 * The CPU of a bare guest: CPL 0 by call, interrupts, the local and the I/O APIC, more CPUs.
 */
#ifndef TESTS_GUEST_LIB_CPU_H
#define TESTS_GUEST_LIB_CPU_H

#include "tests/guest/lib/guest.h"

/* Vectors that a guest may give to devices; each is counted. */
#define CPU_VECTOR_FIRST 0x30
#define CPU_VECTOR_COUNT 0x40
#define CPU_VECTORS	 0x80
#define CPU_CPUS_MAX	 4

/* How often each vector came, on all CPUs. */
extern volatile uint64_t cpu_interrupts[CPU_VECTORS];

/* Runs FN(ARG) at CPL 0 with interrupts off. */
uint64_t cpu_call(uint64_t (*fn)(uint64_t arg), uint64_t arg);
/* Sleeps until an interrupt, unless *COUNT is not SEEN any more. */
void cpu_wait(volatile uint64_t *count, uint64_t seen);

/* LEN bytes to PORT, one after the other. From any CPL. */
void cpu_outs(uint16_t port, const void *data, size_t len);

uint64_t cpu_read_msr(uint32_t msr);
void cpu_write_msr(uint32_t msr, uint64_t value);

/* A vector nobody has yet. */
unsigned cpu_vector_alloc(void);
/* What a message-signalled interrupt for the first CPU carries. */
uint64_t cpu_msi_address(void);
/* Line GSI of the I/O APIC arrives as VECTOR on the first CPU, as an edge. */
void cpu_route_line(unsigned gsi, unsigned vector);

/*
 * Starts CPU number INDEX (1..) in FN(ARG) at CPL 3, with interrupts off; false when it does not
 * come. FN must not return.
 */
bool cpu_start(unsigned index, void (*fn)(void *arg), void *arg);

/* Makes the GiB that ADDR lies in accessible, for what is placed above 4 GiB. */
void cpu_map_high(uint64_t addr);

/* guest.c: from CPL 0 on the boot stack to FN at CPL 3. */
_Noreturn void cpu_enter(void (*fn)(void));

#endif
