/*
 * A freestanding 64-bit guest: what a case may use. No libc, no SSE; memory is identity-mapped up
 * to 4 GiB.
 */
#ifndef TESTS_GUEST_LIB_GUEST_H
#define TESTS_GUEST_LIB_GUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GUEST_DEBUG_EXIT_PORT 0x501
#define GUEST_SERIAL_PORT     0x3f8

static inline void outb(uint16_t port, uint8_t value)
{
	__asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static inline void outl(uint16_t port, uint32_t value)
{
	__asm__ volatile("outl %0, %1" : : "a"(value), "Nd"(port));
}

static inline uint8_t inb(uint16_t port)
{
	uint8_t value;

	__asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

static inline uint32_t inl(uint16_t port)
{
	uint32_t value;

	__asm__ volatile("inl %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

/* Text on the serial port. */
void serial_puts(const char *text);
void serial_put_hex(uint64_t value);
void serial_put_dec(uint64_t value);

/* Leaves the machine with STATUS (0..119). */
_Noreturn void guest_exit(int status);

/* The kernel command line; empty when there is none. */
extern const char *guest_cmdline;
/* Address of the ACPI RSDP; 0: not told. */
extern uint64_t guest_rsdp;

/* The case's own code: returns the exit status. */
int guest_main(void);

size_t guest_strlen(const char *text);
bool guest_cmdline_has(const char *word);

#endif
