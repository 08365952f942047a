/*
 * Descriptor tables, interrupts, the APICs, and more CPUs.
 */
#include "tests/guest/lib/cpu.h"

#define LAPIC_BASE	0xfee00000ull
#define LAPIC_ID	0x20
#define LAPIC_TPR	0x80
#define LAPIC_SVR	0xf0
#define LAPIC_ICR_LOW	0x300
#define LAPIC_ICR_HIGH	0x310
#define LAPIC_LVT_LINT0 0x350
#define LAPIC_LVT_LINT1 0x360
#define LAPIC_MASKED	0x10000
#define SVR_ENABLE	0x100
#define SVR_VECTOR	0x7f

#define MSR_APIC_BASE	0x1b
#define APIC_BASE_X2	0x400
#define MSR_X2APIC	0x800

#define IOAPIC_BASE	0xfec00000ull
#define IOAPIC_SELECT	0x00
#define IOAPIC_WINDOW	0x10
#define IOAPIC_ENTRY	0x10

#define ICR_INIT	0x4500
#define ICR_STARTUP	0x4600

#define GATE_INTERRUPT	0x8e00
#define CALL_WORD	0x6c6c6163
#define KERNEL_CODE	0x08
#define TSS_SELECTOR	0x28
#define STACK_LEN	8192
#define USER_STACK_LEN	32768
#define TRAMPOLINE	0x90000ull
#define USER_RFLAGS	0x202
#define USER_RFLAGS_OFF 0x002

#define PAGE_FLAGS	7u
#define PAGE_LARGE	0x80u

struct gate {
	uint16_t offset_low;
	uint16_t selector;
	uint16_t flags;
	uint16_t offset_mid;
	uint32_t offset_high;
	uint32_t reserved;
};

struct __attribute__((packed)) tss {
	uint32_t reserved0;
	uint64_t rsp[3];
	uint64_t reserved1;
	uint64_t ist[7];
	uint64_t reserved2;
	uint16_t reserved3;
	uint16_t io_map;
};

struct __attribute__((packed)) table_pointer {
	uint16_t limit;
	uint64_t base;
};

struct exception_frame {
	uint64_t vector, error, rip, cs, rflags, rsp, ss;
};

extern char cpu_stubs[], cpu_trampoline[], cpu_trampoline_end[];
extern uint64_t guest_gdt[];
extern uint64_t guest_pdpt[];
_Noreturn void cpu_descend(void (*fn)(void), void *arg, void *stack_top, uint64_t rflags);
void cpu_sleep(void);
_Noreturn void cpu_exception(const struct exception_frame *frame);
_Noreturn void cpu_start_here(void);

volatile uint64_t cpu_interrupts[CPU_VECTORS];
int cpu_x2apic;
void *cpu_start_stack;

static struct gate idt[CPU_VECTORS] __attribute__((aligned(16)));
static struct tss tss[CPU_CPUS_MAX] __attribute__((aligned(16)));
static char kernel_stacks[CPU_CPUS_MAX][STACK_LEN] __attribute__((aligned(16)));
static char user_stacks[CPU_CPUS_MAX][USER_STACK_LEN] __attribute__((aligned(16)));
static unsigned vectors_used;

static struct {
	void (*fn)(void *arg);
	void *arg;
	unsigned index;
	volatile bool arrived;
} starting;

/* ---- CPL 0 by call ---- */

uint64_t cpu_call(uint64_t (*fn)(uint64_t arg), uint64_t arg)
{
	uint64_t result;

	__asm__ volatile("ud2"
			 : "=a"(result)
			 : "a"((uint64_t)CALL_WORD), "D"(fn), "S"(arg)
			 : "memory", "cc");
	return result;
}

struct wait {
	volatile uint64_t *count;
	uint64_t seen;
};

static uint64_t wait0(uint64_t arg)
{
	const struct wait *wait = (const struct wait *)arg;

	if (*wait->count == wait->seen)
		cpu_sleep();
	return 0;
}

void cpu_wait(volatile uint64_t *count, uint64_t seen)
{
	struct wait wait = { count, seen };

	cpu_call(wait0, (uint64_t)&wait);
}

/* ---- ports ---- */

enum port_op { PORT_OUT = 1, PORT_IN, PORT_OUTS };

struct port_access {
	enum port_op op;
	unsigned width;
	uint16_t port;
	uint32_t value;
	const void *data;
	size_t len;
};

static uint32_t port_in0(const struct port_access *access)
{
	uint32_t value = 0;

	switch (access->width) {
	case 1:
		__asm__ volatile("inb %w1, %b0" : "=a"(value) : "d"(access->port));
		return value & 0xff;
	case 2:
		__asm__ volatile("inw %w1, %w0" : "=a"(value) : "d"(access->port));
		return value & 0xffff;
	default:
		__asm__ volatile("inl %w1, %0" : "=a"(value) : "d"(access->port));
		return value;
	}
}

static void port_out0(const struct port_access *access)
{
	switch (access->width) {
	case 1:
		__asm__ volatile("outb %b0, %w1" : : "a"(access->value), "d"(access->port));
		break;
	case 2:
		__asm__ volatile("outw %w0, %w1" : : "a"(access->value), "d"(access->port));
		break;
	default:
		__asm__ volatile("outl %0, %w1" : : "a"(access->value), "d"(access->port));
		break;
	}
}

static uint64_t port0(uint64_t arg)
{
	struct port_access *access = (struct port_access *)arg;

	if (access->op == PORT_IN)
		return port_in0(access);
	if (access->op == PORT_OUT)
		port_out0(access);
	else
		__asm__ volatile("rep outsb"
				 : "+S"(access->data), "+c"(access->len)
				 : "d"(access->port)
				 : "memory");
	return 0;
}

static uint64_t port(struct port_access access)
{
	uint16_t cs;

	__asm__("mov %%cs, %0" : "=r"(cs));
	return cs & 3 ? cpu_call(port0, (uint64_t)&access) : port0((uint64_t)&access);
}

void outb(uint16_t number, uint8_t value)
{
	port((struct port_access){ .op = PORT_OUT, .width = 1, .port = number, .value = value });
}

void outw(uint16_t number, uint16_t value)
{
	port((struct port_access){ .op = PORT_OUT, .width = 2, .port = number, .value = value });
}

void outl(uint16_t number, uint32_t value)
{
	port((struct port_access){ .op = PORT_OUT, .width = 4, .port = number, .value = value });
}

uint8_t inb(uint16_t number)
{
	return (uint8_t)port((struct port_access){ .op = PORT_IN, .width = 1, .port = number });
}

uint16_t inw(uint16_t number)
{
	return (uint16_t)port((struct port_access){ .op = PORT_IN, .width = 2, .port = number });
}

uint32_t inl(uint16_t number)
{
	return (uint32_t)port((struct port_access){ .op = PORT_IN, .width = 4, .port = number });
}

void cpu_outs(uint16_t number, const void *data, size_t len)
{
	port((struct port_access){ .op = PORT_OUTS, .port = number, .data = data, .len = len });
}

/* ---- model-specific registers ---- */

static uint64_t rdmsr0(uint64_t msr)
{
	uint32_t low, high;

	__asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"((uint32_t)msr));
	return (uint64_t)high << 32 | low;
}

static void wrmsr0(uint32_t msr, uint64_t value)
{
	__asm__ volatile("wrmsr" : : "a"((uint32_t)value), "d"((uint32_t)(value >> 32)), "c"(msr));
}

static uint64_t wrmsr_call(uint64_t arg)
{
	const uint64_t *args = (const uint64_t *)arg;

	wrmsr0((uint32_t)args[0], args[1]);
	return 0;
}

uint64_t cpu_read_msr(uint32_t msr)
{
	return cpu_call(rdmsr0, msr);
}

void cpu_write_msr(uint32_t msr, uint64_t value)
{
	uint64_t args[2] = { msr, value };

	cpu_call(wrmsr_call, (uint64_t)args);
}

/* ---- the local APIC, at CPL 0 ---- */

static uint32_t lapic_read0(unsigned reg)
{
	return cpu_x2apic ? (uint32_t)rdmsr0(MSR_X2APIC + reg / 16) : mmio_read32(LAPIC_BASE + reg);
}

static void lapic_write0(unsigned reg, uint32_t value)
{
	if (cpu_x2apic)
		wrmsr0(MSR_X2APIC + reg / 16, value);
	else
		mmio_write32(LAPIC_BASE + reg, value);
}

static uint64_t lapic_id0(uint64_t arg)
{
	(void)arg;
	return cpu_x2apic ? lapic_read0(LAPIC_ID) : lapic_read0(LAPIC_ID) >> 24;
}

static uint64_t send0(uint64_t arg)
{
	uint32_t to = (uint32_t)(arg >> 32), what = (uint32_t)arg;

	if (cpu_x2apic) {
		wrmsr0(MSR_X2APIC + LAPIC_ICR_LOW / 16, arg);
		return 0;
	}
	lapic_write0(LAPIC_ICR_HIGH, to << 24);
	lapic_write0(LAPIC_ICR_LOW, what);
	return 0;
}

static void lapic_init0(void)
{
	cpu_x2apic = !!(rdmsr0(MSR_APIC_BASE) & APIC_BASE_X2);
	lapic_write0(LAPIC_SVR, SVR_ENABLE | SVR_VECTOR);
	lapic_write0(LAPIC_TPR, 0);
	/* What firmware left of the old interrupt controller. */
	lapic_write0(LAPIC_LVT_LINT0, LAPIC_MASKED);
	lapic_write0(LAPIC_LVT_LINT1, LAPIC_MASKED);
	outb(0x21, 0xff);
	outb(0xa1, 0xff);
}

/* ---- tables ---- */

static void idt_fill(void)
{
	for (unsigned v = 0; v < CPU_VECTORS; v++) {
		uint64_t at = (uint64_t)cpu_stubs + 16ull * v;

		idt[v] = (struct gate){
			.offset_low = (uint16_t)at,
			.selector = KERNEL_CODE,
			.flags = GATE_INTERRUPT,
			.offset_mid = (uint16_t)(at >> 16),
			.offset_high = (uint32_t)(at >> 32),
		};
	}
}

/* One slot of the descriptor table serves all CPUs, one after the other: a CPU reads it once. */
static void tables_load(unsigned index)
{
	struct table_pointer pointer = { sizeof(idt) - 1, (uint64_t)idt };
	uint64_t base = (uint64_t)&tss[index];

	tss[index].rsp[0] = (uint64_t)kernel_stacks[index] + STACK_LEN;
	tss[index].io_map = sizeof(struct tss);
	guest_gdt[TSS_SELECTOR / 8] = (sizeof(struct tss) - 1) | (base & 0xffffff) << 16 |
				      0x89ull << 40 | (base >> 24 & 0xff) << 56;
	guest_gdt[TSS_SELECTOR / 8 + 1] = base >> 32;
	__asm__ volatile("lidt %0; ltr %w1" : : "m"(pointer), "r"(TSS_SELECTOR) : "memory");
}

_Noreturn void cpu_exception(const struct exception_frame *frame)
{
	uint64_t cr2;

	__asm__ volatile("mov %%cr2, %0" : "=r"(cr2));
	print("\nguest: exception %lu error %lx at %lx:%lx rsp %lx cr2 %lx\n", frame->vector,
	      frame->error, frame->cs, frame->rip, frame->rsp, cr2);
	guest_die("exception");
}

_Noreturn void cpu_enter(void (*fn)(void))
{
	idt_fill();
	tables_load(0);
	lapic_init0();
	cpu_descend(fn, NULL, user_stacks[0] + USER_STACK_LEN, USER_RFLAGS);
}

/* ---- interrupts ---- */

unsigned cpu_vector_alloc(void)
{
	if (vectors_used == CPU_VECTOR_COUNT)
		vectors_used = 0; /* shared from here on; counts still only grow */
	return CPU_VECTOR_FIRST + vectors_used++;
}

uint64_t cpu_msi_address(void)
{
	return LAPIC_BASE | cpu_call(lapic_id0, 0) << 12;
}

void cpu_route_line(unsigned gsi, unsigned vector)
{
	mmio_write32(IOAPIC_BASE + IOAPIC_SELECT, IOAPIC_ENTRY + 2 * gsi + 1);
	mmio_write32(IOAPIC_BASE + IOAPIC_WINDOW, (uint32_t)cpu_call(lapic_id0, 0) << 24);
	mmio_write32(IOAPIC_BASE + IOAPIC_SELECT, IOAPIC_ENTRY + 2 * gsi);
	mmio_write32(IOAPIC_BASE + IOAPIC_WINDOW, vector);
}

/* ---- more CPUs ---- */

static void started(void)
{
	starting.arrived = true;
	starting.fn(starting.arg);
	for (;;)
		cpu_relax();
}

_Noreturn void cpu_start_here(void)
{
	tables_load(starting.index);
	cpu_descend(started, NULL, user_stacks[starting.index] + USER_STACK_LEN, USER_RFLAGS_OFF);
}

static void spin(uint64_t ticks)
{
	uint64_t start = rdtsc();

	while (rdtsc() - start < ticks)
		cpu_relax();
}

bool cpu_start(unsigned index, void (*fn)(void *arg), void *arg)
{
	uint64_t to = (uint64_t)index << 32, start;

	memcpy((void *)TRAMPOLINE, cpu_trampoline, (size_t)(cpu_trampoline_end - cpu_trampoline));
	starting.fn = fn;
	starting.arg = arg;
	starting.index = index;
	starting.arrived = false;
	cpu_start_stack = kernel_stacks[index] + STACK_LEN;
	barrier();
	cpu_call(send0, to | ICR_INIT);
	spin(20000000);
	cpu_call(send0, to | ICR_STARTUP | TRAMPOLINE >> 12);
	start = rdtsc();
	while (!starting.arrived && rdtsc() - start < 2000000000)
		cpu_relax();
	return starting.arrived;
}

/* ---- memory above 4 GiB ---- */

void cpu_map_high(uint64_t addr)
{
	uint64_t gib = addr >> 30;
	uint64_t *directory;

	if (gib >= 512)
		guest_die("an address of more than 512 GiB");
	if (guest_pdpt[gib])
		return;
	directory = guest_alloc(4096, 4096);
	for (uint64_t i = 0; i < 512; i++)
		directory[i] = (gib << 30 | i << 21) | PAGE_FLAGS | PAGE_LARGE;
	guest_pdpt[gib] = (uint64_t)directory | PAGE_FLAGS;
}
