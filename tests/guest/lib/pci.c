/*
 * ACPI tables, as far as they tell where PCI is; PCI configuration space; MSI-X.
 */
#include "tests/guest/lib/pci.h"

#include <linux/pci_regs.h>

#include "tests/guest/lib/cpu.h"

#define RSDP_LEN    36
#define RSDP_RSDT   16
#define RSDP_XSDT   24
#define BIOS_START  0xe0000ull
#define BIOS_END    0x100000ull
#define TABLE_LEN   4
#define TABLE_BODY  36
#define MCFG_BASE   44
#define PORT_ADDR   0xcf8
#define PORT_DATA   0xcfc
#define BUSES	    2
#define FUNCTIONS   (BUSES * 256)
#define MSIX_STRIDE 16u

static uint64_t rsdp_find(void)
{
	if (guest_rsdp)
		return guest_rsdp;
	for (uint64_t at = BIOS_START; at < BIOS_END; at += 16)
		if (!memcmp((const void *)at, "RSD PTR ", 8))
			return at;
	return 0;
}

static uint64_t read_le(uint64_t at, unsigned width)
{
	uint64_t value = 0;

	memcpy(&value, (const void *)at, width);
	return value;
}

uint64_t acpi_find(const char *signature)
{
	uint64_t rsdp = rsdp_find(), root, end;
	unsigned width = 8;

	if (!rsdp)
		return 0;
	root = mmio_read8(rsdp + 15) >= 2 ? read_le(rsdp + RSDP_XSDT, 8) : 0;
	if (!root) {
		root = read_le(rsdp + RSDP_RSDT, 4);
		width = 4;
	}
	end = root + read_le(root + TABLE_LEN, 4);
	for (uint64_t at = root + TABLE_BODY; at + width <= end; at += width) {
		uint64_t table = read_le(at, width);

		if (!memcmp((const void *)table, signature, 4))
			return table;
	}
	return 0;
}

uint64_t pci_ecam(void)
{
	static uint64_t base;
	static bool known;
	uint64_t mcfg;

	if (!known) {
		mcfg = acpi_find("MCFG");
		base = mcfg ? read_le(mcfg + MCFG_BASE, 8) : 0;
		known = true;
	}
	return base;
}

static void port_address(uint16_t bdf, unsigned offset)
{
	outl(PORT_ADDR, 0x80000000u | (uint32_t)bdf << 8 | (offset & 0xfc));
}

uint32_t pci_read(uint16_t bdf, unsigned offset, unsigned width)
{
	uint64_t at = pci_ecam() + ((uint64_t)bdf << 12) + offset;
	uint32_t value;

	if (!pci_ecam()) {
		port_address(bdf, offset);
		value = inl(PORT_DATA) >> 8 * (offset & 3);
		return width == 4 ? value : value & ((1u << 8 * width) - 1);
	}
	if (width == 1)
		return mmio_read8(at);
	return width == 2 ? mmio_read16(at) : mmio_read32(at);
}

void pci_write(uint16_t bdf, unsigned offset, unsigned width, uint32_t value)
{
	uint64_t at = pci_ecam() + ((uint64_t)bdf << 12) + offset;

	if (!pci_ecam()) {
		port_address(bdf, offset);
		if (width == 1)
			outb((uint16_t)(PORT_DATA + (offset & 3)), (uint8_t)value);
		else if (width == 2)
			outw((uint16_t)(PORT_DATA + (offset & 2)), (uint16_t)value);
		else
			outl(PORT_DATA, value);
	} else if (width == 1) {
		mmio_write8(at, (uint8_t)value);
	} else if (width == 2) {
		mmio_write16(at, (uint16_t)value);
	} else {
		mmio_write32(at, value);
	}
}

bool pci_find(struct pci_dev *out, uint16_t vendor, uint16_t first, uint16_t last, unsigned nth)
{
	for (unsigned bdf = 0; bdf < FUNCTIONS; bdf++) {
		uint32_t id;
		uint16_t device;

		/* Functions besides the first only where the first one says so. */
		if (bdf % 8 && !(pci_read((uint16_t)(bdf & ~7u), PCI_HEADER_TYPE, 1) & 0x80))
			continue;
		id = pci_read((uint16_t)bdf, PCI_VENDOR_ID, 4);
		device = (uint16_t)(id >> 16);
		if ((id & 0xffff) != vendor || device < first || device > last || nth--)
			continue;
		*out = (struct pci_dev){ (uint16_t)bdf, vendor, device };
		return true;
	}
	return false;
}

unsigned pci_capability(uint16_t bdf, uint8_t id, unsigned after)
{
	unsigned at = pci_read(bdf, after ? after + 1 : PCI_CAPABILITY_LIST, 1) & 0xfc;

	for (unsigned left = 48; at && left; left--) {
		if (pci_read(bdf, at, 1) == id)
			return at;
		at = pci_read(bdf, at + 1, 1) & 0xfc;
	}
	return 0;
}

uint64_t pci_bar(uint16_t bdf, unsigned index)
{
	unsigned offset = PCI_BASE_ADDRESS_0 + 4 * index;
	uint32_t low = pci_read(bdf, offset, 4);
	uint64_t addr = low & ~0xfull;

	if (low & PCI_BASE_ADDRESS_SPACE_IO)
		return 0;
	if ((low & PCI_BASE_ADDRESS_MEM_TYPE_MASK) == PCI_BASE_ADDRESS_MEM_TYPE_64)
		addr |= (uint64_t)pci_read(bdf, offset + 4, 4) << 32;
	if (addr >> 32)
		cpu_map_high(addr);
	return addr;
}

void pci_enable(uint16_t bdf)
{
	pci_write(bdf, PCI_COMMAND, 2,
		  pci_read(bdf, PCI_COMMAND, 2) | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
}

bool pci_msix_set(uint16_t bdf, unsigned entry, unsigned vector)
{
	unsigned cap = pci_capability(bdf, PCI_CAP_ID_MSIX, 0);
	uint32_t where, control;
	uint64_t at, address = cpu_msi_address();

	if (!cap)
		return false;
	control = pci_read(bdf, cap + PCI_MSIX_FLAGS, 2);
	if (entry > (control & PCI_MSIX_FLAGS_QSIZE))
		return false;
	where = pci_read(bdf, cap + PCI_MSIX_TABLE, 4);
	at = pci_bar(bdf, where & PCI_MSIX_TABLE_BIR) + (where & PCI_MSIX_TABLE_OFFSET) +
	     entry * MSIX_STRIDE;
	mmio_write32(at + PCI_MSIX_ENTRY_LOWER_ADDR, (uint32_t)address);
	mmio_write32(at + PCI_MSIX_ENTRY_UPPER_ADDR, (uint32_t)(address >> 32));
	mmio_write32(at + PCI_MSIX_ENTRY_DATA, vector);
	mmio_write32(at + PCI_MSIX_ENTRY_VECTOR_CTRL, 0);
	pci_write(bdf, cap + PCI_MSIX_FLAGS, 2,
		  (control | PCI_MSIX_FLAGS_ENABLE) & ~(uint32_t)PCI_MSIX_FLAGS_MASKALL);
	return true;
}
