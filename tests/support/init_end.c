/*
 * The smallest init: ends the machine at once, as its argument says. It is /init of the initramfs
 * that boot tests and boot measurements use, so nothing of it but the way out is measured.
 *
 * Linux hands words of its command line that it does not know itself (and all words after `--`)
 * to init as arguments:
 *	(none)	power off		restart	reboot		halt	halt the CPU
 *	panic	return, so that the kernel panics
 *	clock	first print monotonic and wall clock on the console
 * No libc: build with -nostdlib -static; see tests/image/initramfs-end.sh.
 */
#include <asm/unistd.h>
#include <linux/reboot.h>
#include <linux/time.h>

static long syscall3(long number, long a, long b, long c)
{
	register long fourth __asm__("r10") = 0;
	long ret;

	__asm__ volatile("syscall"
			 : "=a"(ret)
			 : "a"(number), "D"(a), "S"(b), "d"(c), "r"(fourth)
			 : "rcx", "r11", "memory");
	return ret;
}

static int same(const char *a, const char *b)
{
	while (*a && *a == *b) {
		a++;
		b++;
	}
	return *a == *b;
}

/* Writes VALUE with at least WIDTH digits at TO; returns the end. */
static char *put_number(char *to, unsigned long value, int width)
{
	char digits[20];
	int count = 0;

	do {
		digits[count++] = (char)('0' + value % 10);
		value /= 10;
	} while (value || count < width);
	while (count)
		*to++ = digits[--count];
	return to;
}

static char *put_clock(char *to, const char *name, int clock)
{
	struct __kernel_timespec now = { 0, 0 };

	while (*name)
		*to++ = *name++;
	syscall3(__NR_clock_gettime, clock, (long)&now, 0);
	to = put_number(to, (unsigned long)now.tv_sec, 1);
	*to++ = '.';
	return put_number(to, (unsigned long)now.tv_nsec, 9);
}

static void print_clocks(void)
{
	char line[128];
	char *end = put_clock(line, "init: monotonic ", CLOCK_MONOTONIC);

	end = put_clock(end, " realtime ", CLOCK_REALTIME);
	*end++ = '\n';
	syscall3(__NR_write, 1, (long)line, end - line);
}

/* Called by _start with the stack that the kernel prepared: argc, then argv. */
__attribute__((noreturn, used)) static void run(const long *stack)
{
	const char *const *argv = (const char *const *)(stack + 1);
	unsigned int command = LINUX_REBOOT_CMD_POWER_OFF;

	for (long i = 1; i < stack[0]; i++) {
		if (same(argv[i], "restart"))
			command = LINUX_REBOOT_CMD_RESTART;
		else if (same(argv[i], "halt"))
			command = LINUX_REBOOT_CMD_HALT;
		else if (same(argv[i], "panic"))
			command = 0;
		else if (same(argv[i], "clock"))
			print_clocks();
	}
	if (command)
		syscall3(__NR_reboot, (long)LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2,
			 (long)command);
	for (;;)
		syscall3(__NR_exit, 1, 0, 0);
}

__asm__(".globl _start\n"
	"_start:\n"
	"	xorl %ebp, %ebp\n"
	"	movq %rsp, %rdi\n"
	"	andq $-16, %rsp\n"
	"	call run\n");
