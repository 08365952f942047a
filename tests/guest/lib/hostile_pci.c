/*
 * What a lying driver can do with PCI itself (moving BARs, interrupts to nowhere, the access
 * window), and ports of every width.
 */
#include <linux/pci_regs.h>
#include <linux/virtio_pci.h>

#include "tests/guest/lib/cpu.h"
#include "tests/guest/lib/hostile.h"
#include "tests/guest/lib/pci.h"

#define SCRATCH		 ((uint64_t)hostile_scratch)
#define MSIX_ENTRIES	 3u
#define ENTRY_LEN	 16u
#define SECTOR		 512u

#define ARRAY_LEN(array) (sizeof(array) / sizeof((array)[0]))

/* Reads under way, which interrupt when they are done. */
static void start_requests(struct vq *vq, unsigned count)
{
	memset(hostile_scratch, 0, 16);
	for (unsigned i = 0; i < count; i++) {
		vq_raw_desc(vq, 3 * i, SCRATCH, 16, VRING_DESC_F_NEXT, (uint16_t)(3 * i + 1));
		vq_raw_desc(vq, 3 * i + 1, SCRATCH + SECTOR * (i + 1), SECTOR,
			    VRING_DESC_F_NEXT | VRING_DESC_F_WRITE, (uint16_t)(3 * i + 2));
		vq_raw_desc(vq, 3 * i + 2, SCRATCH + 100, 1, VRING_DESC_F_WRITE, 0);
		vq->avail->flags = 0;
		vq_raw_offer(vq, (uint16_t)(3 * i));
	}
	vq_notify(vq);
}

static uint64_t msix_table(uint16_t bdf)
{
	uint32_t where = pci_read(bdf, pci_capability(bdf, PCI_CAP_ID_MSIX, 0) + PCI_MSIX_TABLE, 4);

	return pci_bar(bdf, where & PCI_MSIX_TABLE_BIR) + (where & PCI_MSIX_TABLE_OFFSET);
}

static void msix_control(uint16_t bdf, uint32_t flags)
{
	pci_write(bdf, pci_capability(bdf, PCI_CAP_ID_MSIX, 0) + PCI_MSIX_FLAGS, 2, flags);
}

static void msix_entries(uint16_t bdf, uint64_t addr, uint32_t data, uint32_t control)
{
	uint64_t at = msix_table(bdf);

	for (unsigned i = 0; i < MSIX_ENTRIES; i++, at += ENTRY_LEN) {
		mmio_write32(at + PCI_MSIX_ENTRY_LOWER_ADDR, (uint32_t)addr);
		mmio_write32(at + PCI_MSIX_ENTRY_UPPER_ADDR, (uint32_t)(addr >> 32));
		mmio_write32(at + PCI_MSIX_ENTRY_DATA, data);
		mmio_write32(at + PCI_MSIX_ENTRY_VECTOR_CTRL, control);
	}
}

static void use_vector(struct vq *vq, uint16_t vector)
{
	virtio_set(vq->dev, V_QUEUE_SELECT, vq->index);
	mmio_write16(vq->dev->common + VIRTIO_PCI_COMMON_Q_MSIX, vector);
	mmio_write16(vq->dev->common + VIRTIO_PCI_COMMON_MSIX, vector);
}

/* No message in here reaches a CPU that takes it for more than an interrupt it does not know. */
static void interrupts_to_nowhere(struct vq *vq)
{
	static const uint64_t addrs[] = { 0,	      ~0ull,	 0x100000, 0xfee00000ull | 77 << 12,
					  0xfec00000, 0xe0000000 };
	uint16_t bdf = vq->dev->bdf;

	use_vector(vq, 1);
	for (unsigned i = 0; i < ARRAY_LEN(addrs); i++) {
		msix_entries(bdf, addrs[i], CPU_VECTOR_FIRST, 0);
		msix_control(bdf, PCI_MSIX_FLAGS_ENABLE);
		start_requests(vq, 8);
	}
	msix_control(bdf, 0);
}

static void interrupts_masked_and_not(struct vq *vq)
{
	uint16_t bdf = vq->dev->bdf;

	use_vector(vq, 1);
	msix_entries(bdf, cpu_msi_address(), CPU_VECTOR_FIRST, 0);
	for (unsigned i = 0; i < 50; i++) {
		msix_control(bdf, PCI_MSIX_FLAGS_ENABLE | (i & 1 ? PCI_MSIX_FLAGS_MASKALL : 0));
		start_requests(vq, 4);
		msix_entries(bdf, cpu_msi_address(), CPU_VECTOR_FIRST, i >> 1 & 1);
		if (i % 8 == 7)
			msix_control(bdf, 0);
	}
	msix_control(bdf, 0);
}

static void wild_vectors(struct vq *vq)
{
	static const uint16_t vectors[] = { 3, 33, 34, 35, 255, 2047, 0x8000, 0xfffe, 0xffff };

	msix_control(vq->dev->bdf, PCI_MSIX_FLAGS_ENABLE);
	for (unsigned i = 0; i < ARRAY_LEN(vectors); i++) {
		use_vector(vq, vectors[i]);
		start_requests(vq, 4);
	}
	msix_control(vq->dev->bdf, 0);
}

/* The BAR at each of these places in turn, requests under way; then back. */
static void bar_moved(struct vq *vq)
{
	static const uint32_t places[] = { 0,	       0x100000,   0x200000,   0xc0000000,
					   0xc0004000, 0xc0008000, 0xdfffc000, 0xe0000000,
					   0xe8000000, 0xfec00000, 0xfee00000, 0xffffc000 };
	uint16_t bdf = vq->dev->bdf;
	uint32_t home = pci_read(bdf, PCI_BASE_ADDRESS_0, 4);

	for (unsigned i = 0; i < ARRAY_LEN(places); i++) {
		start_requests(vq, 4);
		pci_write(bdf, PCI_BASE_ADDRESS_0, 4, places[i]);
		vq_notify(vq);
		pci_write(bdf, PCI_BASE_ADDRESS_0, 4, home);
	}
}

static void decoding_off(struct vq *vq)
{
	uint16_t bdf = vq->dev->bdf;

	for (unsigned i = 0; i < 20; i++) {
		start_requests(vq, 4);
		pci_write(bdf, PCI_COMMAND, 2, 0);
		vq_notify(vq);
		(void)virtio_get(vq->dev, V_STATUS);
		pci_write(bdf, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	}
}

/* The doorbells' ports, moved about and rung in every width, where they are and where they were. */
static void port_bar_moved(struct vq *vq)
{
	static const uint16_t places[] = { 0,	   0x60,   0x3f8,  0x501,  0xbffc,
					   0xc000, 0xc004, 0xc040, 0xdffc, 0xfffc };
	uint16_t bdf = vq->dev->bdf;
	uint32_t home = pci_read(bdf, PCI_BASE_ADDRESS_1, 4);
	uint16_t port = (uint16_t)(home & PCI_BASE_ADDRESS_IO_MASK);

	if (!(home & PCI_BASE_ADDRESS_SPACE_IO))
		return;
	pci_write(bdf, PCI_COMMAND, 2, PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	for (unsigned i = 0; i < ARRAY_LEN(places); i++) {
		start_requests(vq, 4);
		pci_write(bdf, PCI_BASE_ADDRESS_1, 4, places[i]);
		for (unsigned j = 0; j < 8; j++) {
			(void)inl((uint16_t)(port + j));
			outb((uint16_t)(port + j), 0xff);
			outw((uint16_t)(port + j), 0xffff);
			outl((uint16_t)(port + j), 0xffffffff);
		}
		if (places[i] >= 0xc000)
			outw(places[i], vq->index);
		pci_write(bdf, PCI_BASE_ADDRESS_1, 4, home);
		outw((uint16_t)(port + 4 * vq->index), vq->index);
	}
	pci_write(bdf, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
}

/* The access window of section 4.1.4.9, aimed at where nothing is. */
static void access_window(struct vq *vq)
{
	static const uint32_t offsets[] = { 0, 20, 0x3ff, 0x1000, 0x3ffe, 0x4000, ~0u, ~0u - 3 };
	static const uint32_t lens[] = { 0, 1, 2, 3, 4, 5, 8, ~0u };
	uint16_t bdf = vq->dev->bdf;
	unsigned cap = 0;

	while ((cap = pci_capability(bdf, PCI_CAP_ID_VNDR, cap)))
		if (pci_read(bdf, cap + 3, 1) == VIRTIO_PCI_CAP_PCI_CFG)
			break;
	for (unsigned i = 0; cap && i < 2 * ARRAY_LEN(offsets) * ARRAY_LEN(lens); i++) {
		pci_write(bdf, cap + 4, 1, i < ARRAY_LEN(offsets) * ARRAY_LEN(lens) ? 0 : i);
		pci_write(bdf, cap + 8, 4, offsets[i % ARRAY_LEN(offsets)]);
		pci_write(bdf, cap + 12, 4, lens[i / ARRAY_LEN(offsets) % ARRAY_LEN(lens)]);
		(void)pci_read(bdf, cap + 16, 4);
		pci_write(bdf, cap + 16, 4, 0);
	}
}

static const struct attack pci_attacks[] = {
	{ "interrupts to nowhere", false, false, true, interrupts_to_nowhere },
	{ "interrupts masked and unmasked", false, false, true, interrupts_masked_and_not },
	{ "vectors that there are not", false, false, true, wild_vectors },
	{ "BAR moved about", false, false, true, bar_moved },
	{ "BAR of ports moved about", false, false, true, port_bar_moved },
	{ "decoding switched off", false, false, true, decoding_off },
	{ "access window aimed at nothing", false, false, true, access_window },
};

void hostile_pci(uint16_t device_id)
{
	struct target *target = hostile_target_of(device_id);

	if (!virtio_find(&target->dev, device_id, 0) || target->dev.mmio)
		return;
	for (unsigned i = 0; i < ARRAY_LEN(pci_attacks); i++)
		hostile_attack(target, &pci_attacks[i]);
}

/* ---- ports ---- */

/* Ports to which any value may be written without an end of the machine. */
static const struct {
	uint16_t first, count;
	bool write;
} ports[] = {
	{ 0x20, 2, false },  { 0x40, 4, false },  { 0x60, 1, true },	{ 0x64, 1, false },
	{ 0x70, 2, true },   { 0x80, 1, true },	  { 0xcf8, 8, true },	{ 0x2f8, 8, true },
	{ 0x3f8, 8, false }, { 0x501, 1, false }, { 0x505, 1, false },	{ 0x600, 8, false },
	{ 0x604, 4, true },  { 0x1000, 4, true }, { 0xfffc, 4, false },
};

static void port_access(uint16_t port, bool write)
{
	(void)inb(port);
	(void)inw(port);
	(void)inl(port);
	if (!write)
		return;
	outb(port, 0xff);
	outw(port, 0xffff);
	outl(port, 0xffffffff);
}

void hostile_ports(void)
{
	struct target *target = hostile_target_of(VIRTIO_ID_BLOCK);
	const char *name = target->name;

	for (unsigned i = 0; i < ARRAY_LEN(ports); i++)
		for (unsigned j = 0; j < ports[i].count; j++)
			port_access((uint16_t)(ports[i].first + j), ports[i].write);
	if (!virtio_find(&target->dev, target->device_id, 0))
		guest_die("a device is missing");
	target->name = "ports";
	hostile_verdict(target, "of every width", false);
	target->name = name;
}
