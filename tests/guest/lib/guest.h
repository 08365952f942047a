/*
 * A freestanding 64-bit guest: what a case may use. No libc, no SSE; memory is identity-mapped up
 * to 4 GiB.
 *
 * guest_main runs at CPL 3 with every page open to it and interrupts on: some /dev/kvm interpret
 * CPL 0, slowly, and run CPL 3 natively. What needs CPL 0 goes by cpu_call (cpu.h). Nothing is said
 * to a hostile host: a case that finds the machine not to be what it needs leaves by guest_die.
 */
#ifndef TESTS_GUEST_LIB_GUEST_H
#define TESTS_GUEST_LIB_GUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GUEST_DEBUG_EXIT_PORT 0x501
#define GUEST_SERIAL_PORT     0x3f8

/* I/O ports, from any CPL: at CPL 3 by a call to CPL 0, for not every /dev/kvm honours IOPL. */
void outb(uint16_t port, uint8_t value);
void outw(uint16_t port, uint16_t value);
void outl(uint16_t port, uint32_t value);
uint8_t inb(uint16_t port);
uint16_t inw(uint16_t port);
uint32_t inl(uint16_t port);

static inline uint64_t rdtsc(void)
{
	uint32_t low, high;

	__asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
	return (uint64_t)high << 32 | low;
}

static inline void cpu_relax(void)
{
	__asm__ volatile("pause" ::: "memory");
}

static inline void barrier(void)
{
	__asm__ volatile("" ::: "memory");
}

static inline uint8_t mmio_read8(uint64_t addr)
{
	return *(volatile uint8_t *)addr;
}

static inline uint16_t mmio_read16(uint64_t addr)
{
	return *(volatile uint16_t *)addr;
}

static inline uint32_t mmio_read32(uint64_t addr)
{
	return *(volatile uint32_t *)addr;
}

static inline void mmio_write8(uint64_t addr, uint8_t value)
{
	*(volatile uint8_t *)addr = value;
}

static inline void mmio_write16(uint64_t addr, uint16_t value)
{
	*(volatile uint16_t *)addr = value;
}

static inline void mmio_write32(uint64_t addr, uint32_t value)
{
	*(volatile uint32_t *)addr = value;
}

static inline void mmio_write64(uint64_t addr, uint64_t value)
{
	*(volatile uint64_t *)addr = value;
}

/* Text on the serial port. */
void serial_puts(const char *text);

/* printf with %s %c %d %u %x %lu %lx %%; no widths. */
__attribute__((format(printf, 1, 2))) void print(const char *format, ...);
/* A byte that came in on the serial port, or -1 after TICKS of the time stamp counter. */
int serial_get(uint64_t ticks);

/* Leaves the machine with STATUS (0..119). */
_Noreturn void guest_exit(int status);
#define GUEST_STATUS_DIED 111
/* Says why on the serial port and leaves with GUEST_STATUS_DIED. */
_Noreturn void guest_die(const char *why);

/*
 * Memory, zeroed, given back by guest_alloc_back_to. Dies when there is none
 * left.
 */
void *guest_alloc(size_t len, size_t align);
size_t guest_alloc_mark(void);
void guest_alloc_back_to(size_t mark);
#define GUEST_HEAP_LEN (12u << 20)

/* The kernel command line; empty when there is none. */
extern const char *guest_cmdline;
/* Address of the ACPI RSDP; 0: not told. */
extern uint64_t guest_rsdp;

/* The case's own code: returns the exit status. */
int guest_main(void);

size_t guest_strlen(const char *text);
bool guest_cmdline_has(const char *word);
/* The number behind the word NAME ("sectors=" ...), or OTHERWISE. */
uint64_t guest_cmdline_number(const char *name, uint64_t otherwise);
/* Digits, with 0x before them or not; *END is set behind them. */
uint64_t guest_number(const char *text, const char **end);

void *memset(void *at, int byte, size_t len);
void *memcpy(void *to, const void *from, size_t len);
int memcmp(const void *a, const void *b, size_t len);

/*
 * Cases that print a line each. check_that prints "ok NAME" or "FAIL NAME"; check_failures is what
 * guest_main returns.
 */
bool check_that(bool good, const char *name);
extern int check_failures;

#endif
