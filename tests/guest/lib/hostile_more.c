/*
 * Rings of random contents, notifications without end, registers of every width, two CPUs at once.
 */
#include <linux/pci_regs.h>

#include "tests/guest/lib/cpu.h"
#include "tests/guest/lib/hostile.h"
#include "tests/guest/lib/pci.h"

#define RANDOM_ROUNDS	   60
#define NOTIFICATIONS	   2000
#define NOTIFICATION_BURST 1000
#define RAM_END		   (64ull << 20)
#define RACE_TICKS	   150000000ull
#define BAR_LEN		   0x4000u
#define MMIO_LEN	   0x1000u

/* ---- random rings ---- */

static uint64_t pick(const uint64_t *from, unsigned count)
{
	return from[hostile_random_number() % count];
}

static void random_desc(struct vring_desc *desc, uint16_t size)
{
	const uint64_t scratch = (uint64_t)hostile_scratch;
	const uint64_t addrs[] = { scratch,	  scratch + 1, scratch + 4095, scratch + 65536,
				   scratch + 512, 0,	       RAM_END - 16,   RAM_END,
				   ~0ull,	  scratch + 16 };
	const uint64_t lens[] = { 0, 1, 12, 16, 17, 511, 512, 4096, 65536, 16, 16, 1 };
	uint64_t bits = hostile_random_number();

	desc->addr = pick(addrs, bits & 3 ? 5 : sizeof(addrs) / sizeof(addrs[0]));
	desc->len = (uint32_t)pick(lens, sizeof(lens) / sizeof(lens[0]));
	desc->flags = (uint16_t)(bits >> 8 & 3);
	if (!(bits & 0xf0))
		desc->flags |= VRING_DESC_F_INDIRECT;
	desc->next = (uint16_t)(bits >> 16) % (bits & 0xf000 ? size : 2 * size);
	/* Neither page 0 nor the end of memory is anybody's. */
	if (desc->addr == 0 && desc->len > 4096)
		desc->len = 4096;
}

static void random_round(struct vq *vq)
{
	for (unsigned i = 0; i < 32; i++)
		random_desc(&vq->desc[i], 32);
	/* Blocks of requests that would do, with any contents. */
	for (unsigned i = 0; i < 64; i++)
		((uint64_t *)hostile_scratch)[i] = hostile_random_number() & 0x1f000000ff;
	for (unsigned i = 0; i < 8; i++)
		vq_raw_offer(vq, (uint16_t)(hostile_random_number() % 33));
	vq_notify(vq);
}

void hostile_random(struct target *target)
{
	size_t mark = guest_alloc_mark();
	bool bad = false;

	for (unsigned i = 0; i < RANDOM_ROUNDS; i++) {
		guest_alloc_back_to(mark);
		hostile_clear(target);
		bad = bad || !hostile_open(target, HOSTILE_RINGS, false);
		for (unsigned j = 0; j < 4; j++)
			random_round(&target->vq[target->queue]);
		if (target->poke)
			target->poke(target);
		if (i % 4 == 0)
			(void)hostile_settle(target);
	}
	hostile_verdict(target, "random rings", bad);
	guest_alloc_back_to(mark);
}

/* ---- notifications ---- */

/* At CPL 0: that a software /dev/kvm interprets it is far cheaper than an exit from CPL 3. */
static uint64_t notification_burst(uint64_t vq)
{
	for (unsigned i = 0; i < NOTIFICATION_BURST; i++)
		vq_notify((const struct vq *)vq);
	return 0;
}

void hostile_notifications(struct target *target)
{
	/* The first target gets as many as the command line says. */
	uint64_t count = target == &hostile_targets[0]
				 ? guest_cmdline_number("notifications=", NOTIFICATIONS)
				 : NOTIFICATIONS;
	size_t mark = guest_alloc_mark();
	bool bad = !hostile_open(target, HOSTILE_RINGS, false);

	for (uint64_t i = 0; i < count; i += NOTIFICATION_BURST)
		(void)cpu_call(notification_burst, (uint64_t)&target->vq[target->queue]);
	hostile_verdict(target, "notifications without end", bad);
	guest_alloc_back_to(mark);
}

/* ---- registers ---- */

static uint64_t read_any(uint64_t at, unsigned width)
{
	switch (width) {
	case 1:
		return mmio_read8(at);
	case 2:
		return mmio_read16(at);
	case 4:
		return mmio_read32(at);
	default:
		return *(volatile uint64_t *)at;
	}
}

static void write_any(uint64_t at, unsigned width, uint64_t value)
{
	switch (width) {
	case 1:
		mmio_write8(at, (uint8_t)value);
		break;
	case 2:
		mmio_write16(at, (uint16_t)value);
		break;
	case 4:
		mmio_write32(at, (uint32_t)value);
		break;
	default:
		mmio_write64(at, value);
		break;
	}
}

/* Every offset from FIRST to LAST, every width, aligned or not; those that leave END as well. */
static void sweep(uint64_t base, unsigned first, unsigned last, unsigned widest)
{
	static const uint64_t values[] = { ~0ull, 0x0102030405060708ull, 0 };

	for (unsigned width = 1; width <= widest; width *= 2) {
		for (unsigned offset = first; offset < last; offset++) {
			(void)read_any(base + offset, width);
			write_any(base + offset, width, values[(offset / width + width) % 3]);
		}
	}
}

static void sweep_bar(uint64_t base)
{
	static const struct {
		unsigned first, last;
	} parts[] = {
		{ 0x0000, 0x0048 }, { 0x03fd, 0x0402 },	      { 0x0800, 0x0880 },
		{ 0x0ff9, 0x1010 }, { 0x1083, 0x1090 },	      { 0x2000, 0x2044 },
		{ 0x2ff8, 0x300c }, { BAR_LEN - 9, BAR_LEN },
	};

	for (unsigned i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		sweep(base, parts[i].first, parts[i].last, 8);
}

static void sweep_mmio(uint64_t base)
{
	sweep(base, 0, 0x150, 8);
	sweep(base, 0x1f8, 0x208, 8);
	sweep(base, MMIO_LEN - 9, MMIO_LEN, 8);
}

static void msix_off(uint16_t bdf)
{
	unsigned cap = pci_capability(bdf, PCI_CAP_ID_MSIX, 0);

	if (cap)
		pci_write(bdf, cap + PCI_MSIX_FLAGS, 2, 0);
}

/* The configuration space of a function, which then gets back what it had. */
static void sweep_config(uint16_t bdf)
{
	uint64_t base = pci_ecam() + ((uint64_t)bdf << 12);
	uint32_t saved[64];

	for (unsigned i = 0; i < 64; i++)
		saved[i] = pci_read(bdf, 4 * i, 4);
	/* The last ones would leave memory decoding off, which goes on working too. */
	sweep(base, 0, 0x110, 4);
	sweep(base, 0xff8, 0xfff, 1);
	for (unsigned i = 0; i < 64; i++)
		if (i != 1)
			pci_write(bdf, 4 * i, 4, saved[i]);
	msix_off(bdf);
	pci_write(bdf, PCI_COMMAND, 2, saved[1] & 0xffff);
}

void hostile_registers(uint16_t device_id)
{
	struct target *target = hostile_target_of(device_id);
	size_t mark = guest_alloc_mark();
	bool bad = !hostile_open(target, HOSTILE_RINGS, false);
	struct target shown = *target;

	if (!target->dev.mmio)
		msix_off(target->dev.bdf);
	if (target->dev.mmio)
		sweep_mmio(target->dev.common);
	else
		sweep_bar(target->dev.common);
	target->name = "registers";
	hostile_verdict(target, shown.name, bad);
	if (!target->dev.mmio) {
		bad = !hostile_open(target, HOSTILE_RINGS, false);
		sweep_config(target->dev.bdf);
		target->name = "configuration space";
		hostile_verdict(target, shown.name, bad);
	}
	target->name = shown.name;
	guest_alloc_back_to(mark);
}

/* ---- two CPUs on one device ---- */

static volatile unsigned race_kind; /* what the other CPU does; 0: nothing */
static volatile unsigned race_done; /* counts its way through the loop */
static struct vq *volatile race_vq;

static void (*volatile race_beside)(void);
static bool race_cpu;

enum {
	RACE_NONE,
	RACE_RING,
	RACE_DESC,
	RACE_NOTIFY,
	RACE_REGISTERS,
	RACE_STATUS,
	RACE_KINDS,
	RACE_BESIDE = RACE_KINDS
};

static uint64_t race_random;

static uint32_t race_number(void)
{
	race_random = race_random * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(race_random >> 33);
}

static void race_step(struct vq *vq, unsigned kind)
{
	uint32_t r = race_number();

	switch (kind) {
	case RACE_RING:
		vq->avail->ring[r % vq->size] = (uint16_t)(r >> 8) % (vq->size + 1);
		*(volatile uint16_t *)&vq->avail->idx = (uint16_t)(vq->avail->idx + r % 3);
		vq_notify(vq);
		break;
	case RACE_DESC:
		/* An address, a length, a next that change while they are looked at. */
		for (unsigned i = 0; i < 64; i++) {
			struct vring_desc *desc = &vq->desc[i % 8];

			*(volatile uint64_t *)&desc->addr =
				i & 8 ? (uint64_t)hostile_scratch : RAM_END - 8;
			*(volatile uint32_t *)&desc->len = i & 16 ? 16 : ~0u;
			*(volatile uint16_t *)&desc->flags = (uint16_t)(race_number() % 8);
			*(volatile uint16_t *)&desc->next = (uint16_t)(race_number() % 512);
		}
		break;
	case RACE_NOTIFY:
		vq_notify(vq);
		break;
	case RACE_REGISTERS:
		virtio_set(vq->dev, V_QUEUE_SELECT, r % 5);
		virtio_set(vq->dev, V_QUEUE_SIZE, 1u << r % 10);
		virtio_set(vq->dev, V_QUEUE_USED_LOW, (uint32_t)(uintptr_t)hostile_scratch);
		virtio_set(vq->dev, V_QUEUE_ENABLE, r >> 8 & 1);
		break;
	case RACE_STATUS:
		virtio_set(vq->dev, V_STATUS, r & 1 ? 0 : 0xf);
		break;
	case RACE_BESIDE:
		race_beside();
		break;
	default:
		cpu_relax();
		break;
	}
}

static void race_run(void *arg)
{
	(void)arg;
	for (;;) {
		unsigned kind = race_kind;

		if (kind)
			race_step(race_vq, kind);
		race_done++;
		cpu_relax();
	}
}

/* Returns once the other CPU does KIND and nothing else any more. */
static void race_set(unsigned kind)
{
	unsigned seen;

	race_kind = kind;
	seen = race_done;
	while (race_done - seen < 2)
		cpu_relax();
}

static void race_begin(void)
{
	if (race_cpu)
		return;
	race_cpu = cpu_start(1, race_run, NULL);
	if (!race_cpu)
		guest_die("there is no second CPU");
}

void hostile_beside(void (*step)(void))
{
	race_begin();
	if (step)
		race_beside = step;
	race_set(step ? RACE_BESIDE : RACE_NONE);
}

/* What this CPU does meanwhile. */
static void race_here(struct target *target, unsigned round)
{
	struct vq *vq = &target->vq[target->queue];

	for (unsigned i = 0; i < 8; i++)
		vq_raw_desc(vq, i, (uint64_t)hostile_scratch + 4096 * i, 4096,
			    (uint16_t)((i < 7 ? VRING_DESC_F_NEXT : 0) |
				       (i > 3 ? VRING_DESC_F_WRITE : 0)),
			    (uint16_t)(i + 1));
	for (unsigned i = 0; i < 8; i++)
		vq_raw_offer(vq, (uint16_t)(i % 4));
	vq_notify(vq);
	if (target->poke)
		target->poke(target);
	if (round % 4 == 3)
		virtio_set(&target->dev, V_STATUS, 0);
}

static void race(struct target *target, const char *name, unsigned kind)
{
	uint64_t start = rdtsc();
	size_t mark = guest_alloc_mark();

	memset(hostile_scratch, 0, 65536);
	for (unsigned round = 0; rdtsc() - start < RACE_TICKS; round++) {
		if (round % 4 == 0) {
			race_set(RACE_NONE);
			guest_alloc_back_to(mark);
			/* It may be that the reset was undone; the verdict tells. */
			(void)hostile_open(target, HOSTILE_RINGS, false);
			race_vq = &target->vq[target->queue];
			race_set(kind);
		}
		race_here(target, round);
	}
	race_set(RACE_NONE);
	hostile_verdict(target, name, false);
	guest_alloc_back_to(mark);
}

void hostile_races(uint16_t device_id)
{
	static const char *const names[RACE_KINDS] = {
		[RACE_RING] = "two CPUs fill one ring",
		[RACE_DESC] = "descriptors change while they are read",
		[RACE_NOTIFY] = "notified while it is reset",
		[RACE_REGISTERS] = "queue registers change while it runs",
		[RACE_STATUS] = "reset and started by another CPU",
	};

	race_begin();
	for (unsigned kind = 1; kind < RACE_KINDS; kind++)
		race(hostile_target_of(device_id), names[kind], kind);
}
