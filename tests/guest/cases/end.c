/*
 * The ways a machine can end, one a run: the word how=NAME of the command line picks it. What comes
 * back though it should not exits with a status of its own.
 */
#include "tests/guest/lib/blk.h"
#include "tests/guest/lib/cpu.h"
#include "tests/guest/lib/pci.h"

#define FADT_RESET_REG	   116
#define FADT_RESET_VALUE   128
#define FADT_SLEEP_CONTROL 244
#define GAS_ADDRESS	   4
#define SLEEP_OFF	   (5 << 2 | 0x20) /* SLP_TYP 5 with SLP_EN (ACPI 6.5, 4.8.3.7) */
#define RESETS		   3
#define STATUS_RESET_DONE  42
#define STATUS_SURVIVED	   110

static uint16_t fadt_port(unsigned gas)
{
	uint64_t fadt = acpi_find("FACP");

	if (!fadt)
		guest_die("there is no FADT");
	return mmio_read16(fadt + gas + GAS_ADDRESS);
}

static void wait_for_the_end(void)
{
	uint64_t start = rdtsc();

	while (rdtsc() - start < VQ_TICKS)
		cpu_relax();
}

static int end_sleep(void)
{
	outb(fadt_port(FADT_SLEEP_CONTROL), SLEEP_OFF);
	wait_for_the_end();
	return STATUS_SURVIVED;
}

static volatile bool released; /* never */

static int end_never(void)
{
	while (!released)
		cpu_relax();
	return STATUS_SURVIVED;
}

/* Counts on the disk how often it has started; with the word "stay" the last one stays. */
static int end_reset(void)
{
	uint64_t resets = guest_cmdline_number("resets=", RESETS);
	static uint8_t sector[512];
	static struct blk blk;

	if (!blk_open(&blk, 0, 0, VQ_POLLED) ||
	    blk_do(&blk, 0, VIRTIO_BLK_T_IN, 0, sector, sizeof(sector)) != VIRTIO_BLK_S_OK)
		guest_die("no disk to count on");
	print("start %u\n", sector[0] + 1u);
	if (sector[0] == resets)
		return guest_cmdline_has("stay") ? end_never() : STATUS_RESET_DONE;
	sector[0]++;
	if (blk_do(&blk, 0, VIRTIO_BLK_T_OUT, 0, sector, sizeof(sector)) != VIRTIO_BLK_S_OK)
		guest_die("cannot count");
	/* By turns the reset register and the keyboard controller. */
	if (sector[0] % 2)
		outb(fadt_port(FADT_RESET_REG), mmio_read8(acpi_find("FACP") + FADT_RESET_VALUE));
	else
		outb(0x64, 0xfe);
	wait_for_the_end();
	return STATUS_SURVIVED;
}

static uint64_t triple_fault0(uint64_t arg)
{
	const struct __attribute__((packed)) {
		uint16_t limit;
		uint64_t base;
	} nothing = { 0, 0 };

	(void)arg;
	__asm__ volatile("lidt %0; ud2" : : "m"(nothing));
	return 0;
}

static int end_triple(void)
{
	cpu_call(triple_fault0, 0);
	return STATUS_SURVIVED;
}

/* A /dev/kvm that interprets CPL 0 does not know this instruction; others run it. */
static uint64_t unknown0(uint64_t arg)
{
	uint64_t bits;

	__asm__ volatile("popcnt %1, %0" : "=r"(bits) : "r"(arg));
	return bits;
}

static int end_internal(void)
{
	print("popcnt at CPL 0 gives %lu\n", cpu_call(unknown0, 3));
	return STATUS_SURVIVED;
}

static uint64_t sleep0(uint64_t arg)
{
	while (!released)
		__asm__ volatile("cli; hlt");
	return arg;
}

static int end_asleep(void)
{
	return (int)cpu_call(sleep0, STATUS_SURVIVED);
}

static void print_panic(void)
{
	print("[    1.000000] Kernel panic - not syncing: of yesterday\n");
	print("[    1.000001] CPU: 0 PID: 1 Comm: init\n");
	print("[    1.000002] ---[ end Kernel panic - not syncing: of yesterday ]---\n");
}

static int end_panic(void)
{
	print_panic();
	return end_never();
}

/* A person looks at a log, and then at the prompt. */
static int end_log(void)
{
	print_panic();
	print("# ");
	if (guest_cmdline_has("stay"))
		return end_never();
	return end_sleep();
}

static const struct {
	const char *word;
	int (*end)(void);
} ends[] = {
	{ "how=sleep", end_sleep },	  { "how=reset", end_reset }, { "how=triple", end_triple },
	{ "how=internal", end_internal }, { "how=never", end_never }, { "how=asleep", end_asleep },
	{ "how=panic", end_panic },	  { "how=log", end_log },
};

int guest_main(void)
{
	for (unsigned i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
		if (guest_cmdline_has(ends[i].word))
			return ends[i].end();
	print("status on request\n");
	return (int)guest_cmdline_number("status=", 0);
}
