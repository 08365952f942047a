/*
 * From the entry to guest_main and out again; the serial port.
 */
#include "tests/guest/lib/guest.h"

/* Offsets in boot_params (Linux, Documentation/arch/x86/zero-page.rst). */
#define BOOT_PARAMS_RSDP     0x070
#define BOOT_PARAMS_CMD_LINE 0x228
/* Offsets in struct hvm_start_info (Xen's PVH boot protocol). */
#define PVH_CMDLINE_PADDR 24
#define PVH_RSDP_PADDR	  32

const char *guest_cmdline = "";
uint64_t guest_rsdp;

void guest_start(int kind, uint64_t info);

size_t guest_strlen(const char *text)
{
	size_t len = 0;

	while (text[len])
		len++;
	return len;
}

bool guest_cmdline_has(const char *word)
{
	size_t len = guest_strlen(word);

	for (const char *at = guest_cmdline; *at;) {
		size_t i = 0;

		while (i < len && at[i] == word[i])
			i++;
		if (i == len && (at[i] == '\0' || at[i] == ' '))
			return true;
		while (*at && *at != ' ')
			at++;
		while (*at == ' ')
			at++;
	}
	return false;
}

void serial_puts(const char *text)
{
	for (; *text; text++)
		outb(GUEST_SERIAL_PORT, (uint8_t)*text);
}

void serial_put_hex(uint64_t value)
{
	serial_puts("0x");
	for (int shift = 60; shift >= 0; shift -= 4)
		outb(GUEST_SERIAL_PORT, (uint8_t) "0123456789abcdef"[(value >> shift) & 15]);
}

void serial_put_dec(uint64_t value)
{
	char digits[21];
	size_t at = sizeof(digits) - 1;

	digits[at] = '\0';
	do {
		digits[--at] = (char)('0' + value % 10);
		value /= 10;
	} while (value);
	serial_puts(digits + at);
}

_Noreturn void guest_exit(int status)
{
	outb(GUEST_DEBUG_EXIT_PORT, (uint8_t)status);
	for (;;)
		__asm__ volatile("cli; hlt");
}

void guest_start(int kind, uint64_t info)
{
	const uint8_t *at = (const uint8_t *)info;

	if (kind == 0) {
		uint32_t cmdline = *(const uint32_t *)(at + BOOT_PARAMS_CMD_LINE);

		guest_rsdp = *(const uint64_t *)(at + BOOT_PARAMS_RSDP);
		guest_cmdline = cmdline ? (const char *)(uintptr_t)cmdline : "";
	} else {
		uint64_t cmdline = *(const uint64_t *)(at + PVH_CMDLINE_PADDR);

		guest_rsdp = *(const uint64_t *)(at + PVH_RSDP_PADDR);
		guest_cmdline = cmdline ? (const char *)cmdline : "";
	}
	guest_exit(guest_main());
}
