/*
 * A plugin of the emulator that mends a fault of its SVM, in its memory. Debian 12's QEMU 7.2 puts
 * the vector that KVM injects into a guest into the processor's `exception_index`, delivers it
 * (helper_vmrun, by do_interrupt_x86_hardirq), and leaves it there. When the emulator's loop comes
 * round before the guest's next exit, which with --icount it does at every timer of the host, it
 * takes what stands there for an exception and delivers it once more, whether the guest has
 * interrupts off or not: the guest spins in a lock that it holds, or panics of a double fault.
 *
 * do_interrupt_x86_hardirq is replaced by what it is, and `exception_index = -1` behind it, as all
 * its other callers do. Where code is not what is known here, nothing is changed, and a line on
 * standard error (the lab's qemu.log) says so.
 */
#include <dlfcn.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PUBLIC __attribute__((visibility("default")))

PUBLIC int qemu_plugin_version = 1;
PUBLIC int qemu_plugin_install(uint64_t id, const void *info, int argc, char **argv);

/* do_interrupt_x86_hardirq: mov %edx,%r9d; sub $ENV,%rdi; xor %r8d,%r8d; xor %ecx,%ecx;
 * xor %edx,%edx; jmp do_interrupt_all. ENV is where a CPUX86State stands in its CPUState. */
static const uint8_t hardirq_code[] = { 0x41, 0x89, 0xd1, 0x48, 0x81, 0xef, 0,	  0,	0,
					0,    0x45, 0x31, 0xc0, 0x31, 0xc9, 0x31, 0xd2, 0xe9 };
#define ENV_AT 6
/* In cpu_loop_exit_noexc: movl $-1,INDEX(%rdi). INDEX is where exception_index stands there. */
static const uint8_t index_code[] = { 0xc7, 0x87, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff };
#define INDEX_AT  2
#define INDEX_MAX 16 /* how far into the function it is looked for */
/* movabs $FUNCTION,%rax; jmp *%rax */
static uint8_t jump_code[] = { 0x48, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xe0 };
#define FUNCTION_AT 2

static void (*do_interrupt_all)(uint8_t *cpu, int vector, int is_int, int error_code, uint64_t next,
				int is_hardware);
static uint32_t env_offset, index_offset;

static void do_interrupt_and_forget(uint8_t *env, int vector, int is_hardware)
{
	static const int32_t none = -1;
	uint8_t *cpu = env - env_offset;

	do_interrupt_all(cpu, vector, 0, 0, 0, is_hardware);
	memcpy(cpu + index_offset, &none, sizeof(none));
}

/* Whether CODE is there but for the four bytes at HOLE, which are put into VALUE. */
static bool matches(const uint8_t *at, const uint8_t *code, size_t len, size_t hole,
		    uint32_t *value)
{
	if (memcmp(at, code, hole) != 0 ||
	    memcmp(at + hole + 4, code + hole + 4, len - hole - 4) != 0)
		return false;
	memcpy(value, at + hole, sizeof(*value));
	return true;
}

static bool find(const uint8_t *hardirq, const uint8_t *noexc)
{
	if (!hardirq || !noexc || !do_interrupt_all ||
	    !matches(hardirq, hardirq_code, sizeof(hardirq_code), ENV_AT, &env_offset))
		return false;
	for (size_t i = 0; i < INDEX_MAX; i++)
		if (matches(noexc + i, index_code, sizeof(index_code), INDEX_AT, &index_offset))
			return true;
	return false;
}

static bool replace(uint8_t *hardirq)
{
	uintptr_t page_len = (uintptr_t)sysconf(_SC_PAGESIZE);
	uint8_t *page = hardirq - (uintptr_t)hardirq % page_len;
	void (*function)(uint8_t *, int, int) = do_interrupt_and_forget;

	if (mprotect(page, 2 * page_len, PROT_READ | PROT_WRITE | PROT_EXEC) < 0)
		return false;
	memcpy(jump_code + FUNCTION_AT, &function, sizeof(function));
	memcpy(hardirq, jump_code, sizeof(jump_code));
	return mprotect(page, 2 * page_len, PROT_READ | PROT_EXEC) == 0;
}

int qemu_plugin_install(uint64_t id, const void *info, int argc, char **argv)
{
	uint8_t *hardirq = dlsym(RTLD_DEFAULT, "do_interrupt_x86_hardirq");

	(void)id;
	(void)info;
	(void)argc;
	(void)argv;
	*(void **)&do_interrupt_all = dlsym(RTLD_DEFAULT, "do_interrupt_all");
	if (!find(hardirq, dlsym(RTLD_DEFAULT, "cpu_loop_exit_noexc")) || !replace(hardirq))
		fputs("mend: not the emulator that is known here; left as it is\n", stderr);
	return 0;
}
