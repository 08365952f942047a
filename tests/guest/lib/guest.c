/*
 * From the entry to guest_main and out again; the serial port.
 */
#include "tests/guest/lib/guest.h"

#include <stdarg.h>

#include "tests/guest/lib/cpu.h"

/* Offsets in boot_params (Linux, Documentation/arch/x86/zero-page.rst). */
#define BOOT_PARAMS_RSDP     0x070
#define BOOT_PARAMS_CMD_LINE 0x228
/* Offsets in struct hvm_start_info (Xen's PVH boot protocol). */
#define PVH_CMDLINE_PADDR 24
#define PVH_RSDP_PADDR	  32

const char *guest_cmdline = "";
uint64_t guest_rsdp;
int check_failures;

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

uint64_t guest_number(const char *text, const char **end)
{
	unsigned base = text[0] == '0' && text[1] == 'x' ? 16 : 10;
	uint64_t value = 0;

	if (base == 16)
		text += 2;
	for (;; text++) {
		unsigned digit = 99;

		if (*text >= '0' && *text <= '9')
			digit = (unsigned)(*text - '0');
		else if (*text >= 'a' && *text <= 'f')
			digit = (unsigned)(*text - 'a') + 10;
		if (digit >= base)
			break;
		value = value * base + digit;
	}
	*end = text;
	return value;
}

uint64_t guest_cmdline_number(const char *name, uint64_t otherwise)
{
	size_t len = guest_strlen(name);

	for (const char *at = guest_cmdline; *at; at++) {
		size_t i = 0;

		if (at != guest_cmdline && at[-1] != ' ')
			continue;
		while (i < len && at[i] == name[i])
			i++;
		if (i == len)
			return guest_number(at + len, &at);
	}
	return otherwise;
}

void serial_puts(const char *text)
{
	cpu_outs(GUEST_SERIAL_PORT, text, guest_strlen(text));
}

/* A line is gathered and sent at once: each byte sent alone would cost an exit. */
struct text {
	char bytes[256];
	size_t len;
};

static void text_flush(struct text *text)
{
	cpu_outs(GUEST_SERIAL_PORT, text->bytes, text->len);
	text->len = 0;
}

static void put_char(struct text *text, char c)
{
	text->bytes[text->len++] = c;
	if (text->len == sizeof(text->bytes))
		text_flush(text);
}

static void put_string(struct text *text, const char *string)
{
	while (*string)
		put_char(text, *string++);
}

static void put_number(struct text *text, uint64_t value, unsigned base)
{
	char digits[21];
	size_t at = sizeof(digits) - 1;

	digits[at] = '\0';
	do {
		digits[--at] = "0123456789abcdef"[value % base];
		value /= base;
	} while (value);
	put_string(text, digits + at);
}

static void put_signed(struct text *text, int64_t value)
{
	if (value < 0)
		put_char(text, '-');
	put_number(text, value < 0 ? 0 - (uint64_t)value : (uint64_t)value, 10);
}

/* What stands behind a '%', one argument's worth. */
static void put_argument(struct text *text, char kind, bool wide, va_list *args)
{
	switch (kind) {
	case 's':
		put_string(text, va_arg(*args, const char *));
		break;
	case 'c':
		put_char(text, (char)va_arg(*args, int));
		break;
	case 'd':
		put_signed(text, wide ? va_arg(*args, long) : va_arg(*args, int));
		break;
	case 'u':
	case 'x':
		put_number(text, wide ? va_arg(*args, unsigned long) : va_arg(*args, unsigned),
			   kind == 'x' ? 16 : 10);
		break;
	default:
		put_char(text, kind);
		break;
	}
}

void print(const char *format, ...)
{
	struct text text = { .len = 0 };
	va_list args;

	va_start(args, format);
	for (; *format; format++) {
		bool wide = false;

		if (*format != '%') {
			put_char(&text, *format);
			continue;
		}
		for (format++; *format == 'l'; format++)
			wide = true;
		if (!*format)
			break;
		put_argument(&text, *format, wide, &args);
	}
	va_end(args);
	text_flush(&text);
}

int serial_get(uint64_t ticks)
{
	uint64_t start = rdtsc();

	do {
		if (inb(GUEST_SERIAL_PORT + 5) & 1)
			return inb(GUEST_SERIAL_PORT);
	} while (rdtsc() - start < ticks);
	return -1;
}

_Noreturn void guest_exit(int status)
{
	outb(GUEST_DEBUG_EXIT_PORT, (uint8_t)status);
	for (;;)
		cpu_relax();
}

_Noreturn void guest_die(const char *why)
{
	serial_puts("guest: ");
	serial_puts(why);
	serial_puts("\n");
	guest_exit(GUEST_STATUS_DIED);
}

/* ---- memory ---- */

void *memset(void *at, int byte, size_t len)
{
	void *start = at;

	__asm__ volatile("rep stosb" : "+D"(at), "+c"(len) : "a"(byte) : "memory");
	return start;
}

void *memcpy(void *to, const void *from, size_t len)
{
	void *start = to;

	__asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(len) : : "memory");
	return start;
}

int memcmp(const void *a, const void *b, size_t len)
{
	const uint8_t *p = a, *q = b;

	for (size_t i = 0; i < len; i++)
		if (p[i] != q[i])
			return p[i] - q[i];
	return 0;
}

static uint8_t heap[GUEST_HEAP_LEN] __attribute__((aligned(4096)));
static size_t heap_used;

void *guest_alloc(size_t len, size_t align)
{
	size_t at = (heap_used + align - 1) & ~(align - 1);

	if (len > sizeof(heap) || at > sizeof(heap) - len)
		guest_die("the heap is used up");
	heap_used = at + len;
	return memset(heap + at, 0, len);
}

size_t guest_alloc_mark(void)
{
	return heap_used;
}

void guest_alloc_back_to(size_t mark)
{
	heap_used = mark;
}

/* ---- cases ---- */

bool check_that(bool good, const char *name)
{
	print("%s %s\n", good ? "ok" : "FAIL", name);
	check_failures += !good;
	return good;
}

static void guest_run(void)
{
	guest_exit(guest_main());
}

/* A copy: what lies in the first MiB may be given away. */
static void keep_cmdline(void)
{
	static char copy[4096];
	size_t len = guest_strlen(guest_cmdline);

	memcpy(copy, guest_cmdline, len < sizeof(copy) ? len : sizeof(copy) - 1);
	guest_cmdline = copy;
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
	keep_cmdline();
	cpu_enter(guest_run);
}
