/*
 * Bare x86-64 programs that tell a hardware /dev/kvm from one that interprets, and try the
 * instructions that a stock kernel runs in ring 0 before its first process. Called by vmm/probe.c
 * on its thread.
 */
#include "arch/probe.h"

#include <assert.h>
#include <cpuid.h>
#include <linux/kvm.h>
#include <string.h>
#include <sys/ioctl.h>

/* Where things lie in the probe's memory. One 2 MiB page maps it all, for ring 3 too. */
#define PML4_GPA   0x1000
#define PDPT_GPA   0x2000
#define PD_GPA	   0x3000
#define GDT_GPA	   0x4000
#define IDT_GPA	   0x5000
#define TSS_GPA	   0x6000
#define DATA_GPA   0x7000 /* room for an XSAVE area */
#define CODE_GPA   0xa000
#define TARGET_GPA 0xb000 /* where SYSCALL and traps arrive */
#define STACK_GPA  0xf000

#define KERNEL_CS  0x08
#define KERNEL_SS  0x10
#define USER_SS	   0x1b
#define USER_CS	   0x23

/* A program ends by writing PASSED here; a trap that nobody expects is a triple fault. */
#define RESULT_PORT	       0xf4
#define PASSED		       0x08 /* = KERNEL_CS, so that a program can give its CS as the answer */

#define LOOP_COUNT	       2000000u

#define CPUID_1_ECX_VMX	       (1u << 5)
#define CPUID_80000001_ECX_SVM (1u << 2)

#define MSR_STAR	       0xc0000081u
#define MSR_LSTAR	       0xc0000082u
#define MSR_FMASK	       0xc0000084u

#define PASS		       0xb0, PASSED, 0xe6, RESULT_PORT /* mov $PASSED, %al; out %al, $RESULT_PORT */
/* mov %cs, %eax; out %al, $RESULT_PORT */
#define PASS_CS 0x8c, 0xc8, 0xe6, RESULT_PORT

static const uint8_t code_loop[] = {
	0xff, 0xc9, /* 1: dec %ecx */
	0x75, 0xfc, /* jnz 1b */
	PASS,
};
static const uint8_t code_popcnt[] = { 0xf3, 0x48, 0x0f, 0xb8, 0xc1, /* popcnt %rcx, %rax */
				       PASS };
static const uint8_t code_cmpxchg16b[] = {
	0xf0, 0x48, 0x0f, 0xc7, 0x0f, /* lock cmpxchg16b (%rdi) */
	PASS,
};
static const uint8_t code_xsave[] = {
	0xb8, 0x03, 0x00, 0x00, 0x00, /* mov $3, %eax: x87 and SSE */
	0x31, 0xd2,		      /* xor %edx, %edx */
	0x31, 0xc9,		      /* xor %ecx, %ecx */
	0x0f, 0x01, 0xd1,	      /* xsetbv */
	0x48, 0x0f, 0xae, 0x27,	      /* xsave64 (%rdi) */
	0x48, 0x0f, 0xae, 0x2f,	      /* xrstor64 (%rdi) */
	PASS,
};
static const uint8_t code_fwait[] = { 0xdb, 0xe3, /* fninit */
				      0x9b,	  /* fwait */
				      PASS };
static const uint8_t code_stac[] = { 0x0f, 0x01, 0xcb, /* stac */
				     0x0f, 0x01, 0xca, /* clac */
				     PASS };
static const uint8_t code_int3[] = { 0xcc, 0xf4 };	    /* int3; hlt */
static const uint8_t code_syscall[] = { 0x0f, 0x05, 0x0b }; /* syscall; ud2 */
static const uint8_t code_target[] = { PASS_CS, 0xf4 };

enum need { NEED_NOTHING, NEED_POPCNT, NEED_CX16, NEED_XSAVE, NEED_SMAP };

static const struct program {
	const char *name;
	const uint8_t *code;
	size_t len;
	enum need need;
	bool in_ring3;
} programs[] = {
	{ "a loop in ring 0", code_loop, sizeof(code_loop), NEED_NOTHING, false },
	{ "popcnt", code_popcnt, sizeof(code_popcnt), NEED_POPCNT, false },
	{ "cmpxchg16b", code_cmpxchg16b, sizeof(code_cmpxchg16b), NEED_CX16, false },
	{ "xsave", code_xsave, sizeof(code_xsave), NEED_XSAVE, false },
	{ "fwait", code_fwait, sizeof(code_fwait), NEED_NOTHING, false },
	{ "stac", code_stac, sizeof(code_stac), NEED_SMAP, false },
	{ "int3", code_int3, sizeof(code_int3), NEED_NOTHING, false },
	{ "syscall from ring 3", code_syscall, sizeof(code_syscall), NEED_NOTHING, true },
};
const size_t arch_probe_program_count = ARRAY_SIZE(programs);

const struct arch_probe_cap arch_probe_caps[] = {
	{ KVM_CAP_IRQCHIP, "IRQCHIP", "interrupts", false },
	{ KVM_CAP_USER_MEMORY, "USER_MEMORY", "guest memory", false },
	{ KVM_CAP_EXT_CPUID, "EXT_CPUID", "the guest's CPU model", false },
	{ KVM_CAP_IRQ_ROUTING, "IRQ_ROUTING", "message-signalled interrupts", false },
	{ KVM_CAP_SIGNAL_MSI, "SIGNAL_MSI", "message-signalled interrupts", false },
	{ KVM_CAP_IRQFD, "IRQFD", "interrupts of virtio devices", false },
	{ KVM_CAP_IOEVENTFD, "IOEVENTFD", "kicks of virtio devices", false },
	{ KVM_CAP_IMMEDIATE_EXIT, "IMMEDIATE_EXIT", "stopping a vCPU", false },
	{ KVM_CAP_READONLY_MEM, "READONLY_MEM", "PCI configuration reads without exits", true },
	{ KVM_CAP_TSC_DEADLINE_TIMER, "TSC_DEADLINE_TIMER", "cheap timers in the guest", true },
	{ KVM_CAP_ADJUST_CLOCK, "ADJUST_CLOCK", "the guest's clock", true },
};
const size_t arch_probe_cap_count = ARRAY_SIZE(arch_probe_caps);

const char *arch_probe_program_name(size_t program)
{
	return programs[program].name;
}

bool arch_probe_cpu_virtualizes(void)
{
	unsigned eax;
	unsigned ebx;
	unsigned ecx;
	unsigned edx;

	if (__get_cpuid(1, &eax, &ebx, &ecx, &edx) && (ecx & CPUID_1_ECX_VMX))
		return true;
	return __get_cpuid(0x80000001, &eax, &ebx, &ecx, &edx) && (ecx & CPUID_80000001_ECX_SVM);
}

int arch_probe_vm_init(int vm_fd)
{
	/* Intel's real mode needs a page and a TSS nowhere near; harmless elsewhere. */
	return ioctl(vm_fd, KVM_SET_TSS_ADDR, 0xfffbd000ul) < 0 ? -errno : 0;
}

/* Laid out as struct kvm_cpuid2 and struct kvm_msrs, which end in arrays without a length. */
struct cpuid_buffer {
	uint32_t count;
	uint32_t padding;
	struct kvm_cpuid_entry2 entries[256];
};

struct msr_buffer {
	uint32_t count;
	uint32_t padding;
	struct kvm_msr_entry entries[3];
};

static_assert(offsetof(struct cpuid_buffer, entries) == offsetof(struct kvm_cpuid2, entries) &&
		      offsetof(struct msr_buffer, entries) == offsetof(struct kvm_msrs, entries),
	      "what KVM takes");

static int load_cpuid(int kvm_fd, int vcpu_fd, struct cpuid_buffer *cpuid)
{
	*cpuid = (struct cpuid_buffer){ .count = ARRAY_SIZE(cpuid->entries) };
	if (ioctl(kvm_fd, KVM_GET_SUPPORTED_CPUID, cpuid) < 0 ||
	    ioctl(vcpu_fd, KVM_SET_CPUID2, cpuid) < 0)
		return -errno;
	return 0;
}

static bool cpuid_has(const struct cpuid_buffer *cpuid, enum need need)
{
	uint32_t leaf = need == NEED_SMAP ? 7 : 1;

	if (need == NEED_NOTHING)
		return true;
	for (uint32_t i = 0; i < cpuid->count && i < ARRAY_SIZE(cpuid->entries); i++) {
		const struct kvm_cpuid_entry2 *entry = &cpuid->entries[i];

		if (entry->function != leaf || entry->index != 0)
			continue;
		if (need == NEED_POPCNT)
			return entry->ecx & bit_POPCNT;
		if (need == NEED_CX16)
			return entry->ecx & bit_CMPXCHG16B;
		if (need == NEED_XSAVE)
			return entry->ecx & bit_XSAVE;
		return entry->ebx & (1u << 20);
	}
	return false;
}

static void put64(uint8_t *mem, uint32_t gpa, uint64_t value)
{
	memcpy(mem + gpa, &value, sizeof(value));
}

static void fill_memory(uint8_t *mem, const struct program *program)
{
	memset(mem, 0, ARCH_PROBE_MEM_LEN);
	put64(mem, PML4_GPA, PDPT_GPA | 7);
	put64(mem, PDPT_GPA, PD_GPA | 7);
	put64(mem, PD_GPA, 0x87); /* present, writable, user, 2 MiB */
	put64(mem, GDT_GPA + KERNEL_CS, 0x00af9b000000ffff);
	put64(mem, GDT_GPA + KERNEL_SS, 0x00cf93000000ffff);
	put64(mem, GDT_GPA + (USER_SS & ~7u), 0x00cff3000000ffff);
	put64(mem, GDT_GPA + (USER_CS & ~7u), 0x00affb000000ffff);
	/* int3 only: a 64-bit interrupt gate to the target */
	put64(mem, IDT_GPA + 3 * 16, (uint64_t)0x8e00 << 32 | KERNEL_CS << 16 | TARGET_GPA);
	memcpy(mem + CODE_GPA, program->code, program->len);
	memcpy(mem + TARGET_GPA, code_target, sizeof(code_target));
}

static struct kvm_segment segment(uint16_t selector, uint8_t type, bool code)
{
	return (struct kvm_segment){
		.limit = 0xffffffff,
		.selector = selector,
		.type = type,
		.present = 1,
		.dpl = selector & 3,
		.db = !code,
		.s = 1,
		.l = code,
		.g = 1,
	};
}

static int load_sregs(int vcpu_fd, const struct program *program, bool has_xsave)
{
	struct kvm_sregs sregs;
	struct kvm_segment data;

	if (ioctl(vcpu_fd, KVM_GET_SREGS, &sregs) < 0)
		return -errno;
	sregs.cs = segment(program->in_ring3 ? USER_CS : KERNEL_CS, 11, true);
	data = segment(program->in_ring3 ? USER_SS : KERNEL_SS, 3, false);
	sregs.ss = sregs.ds = sregs.es = sregs.fs = sregs.gs = data;
	sregs.tr = (struct kvm_segment){ .base = TSS_GPA, .limit = 0x67, .type = 11, .present = 1 };
	sregs.gdt = (struct kvm_dtable){ .base = GDT_GPA, .limit = 0x27 };
	sregs.idt = (struct kvm_dtable){ .base = IDT_GPA, .limit = 4 * 16 - 1 };
	sregs.cr0 = 0x80010033; /* PG WP NE ET MP PE */
	sregs.cr3 = PML4_GPA;
	sregs.cr4 = 0x620 | (has_xsave ? 1u << 18 : 0); /* PAE OSFXSR OSXMMEXCPT, OSXSAVE */
	sregs.efer = 0x501;				/* SCE LME LMA */
	return ioctl(vcpu_fd, KVM_SET_SREGS, &sregs) < 0 ? -errno : 0;
}

/* An MSR that is refused shows when the program that needs it fails. */
static void load_msrs(int vcpu_fd)
{
	struct msr_buffer msrs = {
		.count = 3,
		.entries = { { .index = MSR_STAR,
			       .data = (uint64_t)(USER_SS - 8) << 48 | (uint64_t)KERNEL_CS << 32 },
			     { .index = MSR_LSTAR, .data = TARGET_GPA },
			     { .index = MSR_FMASK, .data = 0x200 } },
	};

	(void)!ioctl(vcpu_fd, KVM_SET_MSRS, &msrs);
}

int arch_probe_load(size_t index, int kvm_fd, int vcpu_fd, uint8_t *mem)
{
	const struct program *program = &programs[index];
	struct cpuid_buffer cpuid;
	struct kvm_regs regs = {
		.rip = CODE_GPA,
		.rsp = STACK_GPA,
		.rcx = LOOP_COUNT,
		.rdi = DATA_GPA,
		.rflags = program->in_ring3 ? 0x3002 : 2, /* ports are open to ring 3 */
	};
	int ret = load_cpuid(kvm_fd, vcpu_fd, &cpuid);

	if (ret < 0)
		return ret;
	if (!cpuid_has(&cpuid, program->need))
		return -ENOTSUP;
	fill_memory(mem, program);
	ret = load_sregs(vcpu_fd, program, cpuid_has(&cpuid, NEED_XSAVE));
	if (ret < 0)
		return ret;
	load_msrs(vcpu_fd);
	return ioctl(vcpu_fd, KVM_SET_REGS, &regs) < 0 ? -errno : 0;
}

bool arch_probe_passed(const struct kvm_run *run)
{
	return run->exit_reason == KVM_EXIT_IO && run->io.direction == KVM_EXIT_IO_OUT &&
	       run->io.port == RESULT_PORT &&
	       *((const uint8_t *)run + run->io.data_offset) == PASSED;
}

int arch_probe_count(int vcpu_fd, uint64_t *out)
{
	struct kvm_regs regs;

	if (ioctl(vcpu_fd, KVM_GET_REGS, &regs) < 0)
		return -errno;
	*out = 2 * (LOOP_COUNT - (regs.rcx & UINT32_MAX));
	return 0;
}
