/*
 * ACPI (specification 6.5, chapter 5) for a machine without the fixed hardware of a PC: RSDP, XSDT,
 * FADT, MADT, MCFG where there is a PCI host, DSDT.
 *
 * The DSDT is put together from pieces, one a kind of device, each written in ASL beside this file
 * and compiled by iasl at build time. A compiled table's body is a list of terms, so that bodies
 * one after the other under one header are a table again. Addresses and interrupts differ from
 * machine to machine: the ASL holds a striking constant in each such place, and every occurrence of
 * it in the piece is overwritten; the encoding gives them all a fixed width.
 */
#include "arch/x86_64/acpi.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "arch/x86_64/layout.h"

#define ACPI_HEADER_LEN 36
#define ACPI_ALIGN	16
#define ACPI_OEM_ID	"VMM   "
#define ACPI_TABLE_ID	"VMMBOARD"
#define ACPI_CREATOR_ID "VMM "

/* RSDP, 5.2.5.3 */
#define RSDP_LEN	 36
#define RSDP_LEN_V1	 20
#define RSDP_CHECKSUM	 8
#define RSDP_OEM_ID	 9
#define RSDP_REVISION	 15
#define RSDP_LENGTH	 20
#define RSDP_XSDT	 24
#define RSDP_CHECKSUM_V2 32

/* FADT, 5.2.9 */
#define FADT_LEN	       276
#define FADT_CENTURY	       108
#define FADT_IAPC_BOOT_ARCH    109
#define FADT_FLAGS	       112
#define FADT_RESET_REG	       116
#define FADT_RESET_VALUE       128
#define FADT_MINOR_VERSION     131
#define FADT_X_DSDT	       140
#define FADT_SLEEP_CONTROL_REG 244
#define FADT_SLEEP_STATUS_REG  256
#define FADT_HYPERVISOR	       268

#define FADT_WBINVD	       (1u << 0)
#define FADT_PWR_BUTTON	       (1u << 4) /* no fixed power button */
#define FADT_SLP_BUTTON	       (1u << 5)
#define FADT_FIX_RTC	       (1u << 6) /* the clock wakes nobody */
#define FADT_RESET_REG_SUP     (1u << 10)
#define FADT_HW_REDUCED	       (1u << 20)

/* Without the flag for an 8042 Linux spares itself the probing; reset through it still works. */
#define BOOT_ARCH_NO_VGA      (1u << 2)
#define BOOT_ARCH_NO_ASPM     (1u << 4)
#define BOOT_ARCH_NO_CMOS_RTC (1u << 5)

#define RTC_CENTURY_REGISTER  0x32

/* MADT, 5.2.12 */
#define MADT_LAPIC_GPA	    36
#define MADT_ENTRIES	    44
#define MADT_TYPE_LAPIC	    0
#define MADT_TYPE_IOAPIC    1
#define MADT_TYPE_LAPIC_NMI 4
#define MADT_LAPIC_ENABLED  1
#define MADT_ALL_PROCESSORS 0xff

/* MCFG, PCI Firmware Specification 3.3, 4.1.2 */
#define MCFG_LEN       60
#define MCFG_ECAM_GPA  44
#define MCFG_LAST_BUS  55
#define ECAM_BUS_LEN   0x100000u
#define ECAM_BUSES_MAX 256u

struct acpi {
	uint8_t *buf;
	size_t len;
	size_t used;
	gpa_t gpa;
};

static const uint8_t aml_power[] = {
#include "arch/x86_64/dsdt_power.aml.inc"
};
static const uint8_t aml_serial[] = {
#include "arch/x86_64/dsdt_serial.aml.inc"
};
static const uint8_t aml_rtc[] = {
#include "arch/x86_64/dsdt_rtc.aml.inc"
};
static const uint8_t aml_pvpanic[] = {
#include "arch/x86_64/dsdt_pvpanic.aml.inc"
};
static const uint8_t aml_pci[] = {
#include "arch/x86_64/dsdt_pci.aml.inc"
};
static const uint8_t aml_virtio_mmio[] = {
#include "arch/x86_64/dsdt_virtio_mmio.aml.inc"
};

/* The constants in the ASL that stand for something. */
#define AML_PORT	0x5ac5
#define AML_IRQ		0xc4c4c4c4
#define AML_FIRST_PORT	0x5ad1
#define AML_LAST_PORT	0x9fa3
#define AML_PORT_COUNT	0x44d3
#define AML_BASE	0xa5a10000
#define AML_LAST	0xa5b2c2ff
#define AML_LEN		0x0011c300
#define AML_ECAM_BASE	0xa6a60000
#define AML_ECAM_LEN	0x00a7a700
#define AML_LAST_BUS	0x5ac3
#define AML_BUS_COUNT	0x5ac4
#define AML_UID		0xd1d1d1d1
#define AML_DEVICE_NAME "VMXX"

static void acpi_put(uint8_t *at, uint64_t value, unsigned width)
{
	for (unsigned i = 0; i < width; i++)
		at[i] = (uint8_t)(value >> 8 * i);
}

/* Text fills its field and has no terminator. */
static void acpi_put_text(uint8_t *at, const char *text)
{
	while (*text)
		*at++ = (uint8_t)*text++;
}

/* What makes the bytes sum up to zero; their checksum field is zero still. */
static uint8_t acpi_checksum(const uint8_t *data, size_t len)
{
	uint8_t sum = 0;

	for (size_t i = 0; i < len; i++)
		sum = (uint8_t)(sum + data[i]);
	return (uint8_t)-sum;
}

/* Takes LEN zeroed bytes at the next aligned place, or NULL. */
static uint8_t *acpi_take(struct acpi *acpi, size_t len)
{
	size_t start = (acpi->used + ACPI_ALIGN - 1) & ~(size_t)(ACPI_ALIGN - 1);

	if (start > acpi->len || len > acpi->len - start)
		return NULL;
	acpi->used = start + len;
	return memset(acpi->buf + start, 0, len);
}

static gpa_t acpi_gpa_of(const struct acpi *acpi, const uint8_t *table)
{
	return acpi->gpa + (gpa_t)(table - acpi->buf);
}

/* Header (5.2.6) and checksum of a table whose body is complete. */
static void acpi_finish(uint8_t *table, const char *signature, size_t len, uint8_t revision)
{
	acpi_put_text(table, signature);
	acpi_put(table + 4, len, 4);
	table[8] = revision;
	acpi_put_text(table + 10, ACPI_OEM_ID);
	acpi_put_text(table + 16, ACPI_TABLE_ID);
	acpi_put(table + 24, 1, 4);
	acpi_put_text(table + 28, ACPI_CREATOR_ID);
	acpi_put(table + 32, 1, 4);
	table[9] = acpi_checksum(table, len);
}

static const struct board_row *acpi_find(const struct arch_board *board, enum board_kind kind)
{
	for (unsigned i = 0; i < board->row_count; i++)
		if (board->rows[i].kind == kind)
			return &board->rows[i];
	return NULL;
}

/* A piece of the DSDT that is being patched. */
struct piece {
	uint8_t *aml;
	size_t len;
};

/* Overwrites each occurrence of the WIDTH bytes of OLD. Constants and ASL are written for each
 * other: a missing one is a mistake in the program. */
static void piece_patch(const struct piece *piece, uint64_t old, uint64_t value, unsigned width)
{
	uint8_t pattern[8];
	unsigned found = 0;

	acpi_put(pattern, old, sizeof(pattern));
	for (size_t i = 0; i + width <= piece->len; i++) {
		if (memcmp(piece->aml + i, pattern, width) != 0)
			continue;
		acpi_put(piece->aml + i, value, width);
		found++;
		i += width - 1;
	}
	assert(found);
	(void)found;
}

static void piece_patch_name(const struct piece *piece, const char *name)
{
	uint64_t old = 0, new = 0;

	memcpy(&old, AML_DEVICE_NAME, 4);
	memcpy(&new, name, 4);
	piece_patch(piece, old, new, 4);
}

/* Appends the body of a compiled table. */
static int piece_add(struct acpi *acpi, const uint8_t *aml, size_t len, struct piece *piece)
{
	piece->len = len - ACPI_HEADER_LEN;
	if (piece->len > acpi->len - acpi->used)
		return -ENOSPC;
	piece->aml = acpi->buf + acpi->used;
	memcpy(piece->aml, aml + ACPI_HEADER_LEN, piece->len);
	acpi->used += piece->len;
	return 0;
}

static int acpi_add_port_device(struct acpi *acpi, const uint8_t *aml, size_t len, uint64_t port)
{
	struct piece piece;
	int ret;

	if (port > UINT16_MAX)
		return -EINVAL;
	ret = piece_add(acpi, aml, len, &piece);
	if (!ret)
		piece_patch(&piece, AML_PORT, port, 2);
	return ret;
}

static int acpi_add_port_irq_device(struct acpi *acpi, const uint8_t *aml, size_t len,
				    uint64_t port, uint32_t irq)
{
	struct piece piece;
	int ret;

	if (port > UINT16_MAX)
		return -EINVAL;
	ret = piece_add(acpi, aml, len, &piece);
	if (ret)
		return ret;
	piece_patch(&piece, AML_PORT, port, 2);
	piece_patch(&piece, AML_IRQ, irq, 4);
	return 0;
}

/* True for what fits below 4 GiB, as 32-bit descriptors need. */
static bool acpi_row_is_low(const struct board_row *row)
{
	return row->len && row->len <= UINT32_MAX && row->base <= UINT32_MAX &&
	       row->base + (row->len - 1) <= UINT32_MAX;
}

static int acpi_add_virtio_mmio(struct acpi *acpi, const struct board_row *row, unsigned uid)
{
	static const char digits[] = "0123456789ABCDEF";
	const char name[] = { 'V', 'M', digits[uid >> 4 & 15], digits[uid & 15], '\0' };
	struct piece piece;
	int ret;

	if (!acpi_row_is_low(row))
		return -EINVAL;
	ret = piece_add(acpi, aml_virtio_mmio, sizeof(aml_virtio_mmio), &piece);
	if (ret)
		return ret;
	piece_patch_name(&piece, name);
	piece_patch(&piece, AML_UID, uid, 4);
	piece_patch(&piece, AML_BASE, row->base, 4);
	piece_patch(&piece, AML_LEN, row->len, 4);
	piece_patch(&piece, AML_IRQ, row->irq, 4);
	return 0;
}

static int acpi_add_pci(struct acpi *acpi, const struct board_row *ecam,
			const struct board_row *window, const struct board_row *ports)
{
	uint64_t bus_count = ecam->len / ECAM_BUS_LEN;
	struct piece piece;
	int ret;

	if (!window || !acpi_row_is_low(window) || !acpi_row_is_low(ecam) || !bus_count ||
	    bus_count > ECAM_BUSES_MAX)
		return -EINVAL;
	if (!ports || !acpi_row_is_low(ports) || ports->base + (ports->len - 1) > UINT16_MAX)
		return -EINVAL;
	ret = piece_add(acpi, aml_pci, sizeof(aml_pci), &piece);
	if (ret)
		return ret;
	piece_patch(&piece, AML_LAST_BUS, bus_count - 1, 2);
	piece_patch(&piece, AML_BUS_COUNT, bus_count, 2);
	piece_patch(&piece, AML_FIRST_PORT, ports->base, 2);
	piece_patch(&piece, AML_LAST_PORT, ports->base + (ports->len - 1), 2);
	piece_patch(&piece, AML_PORT_COUNT, ports->len, 2);
	piece_patch(&piece, AML_BASE, window->base, 4);
	piece_patch(&piece, AML_LAST, window->base + (window->len - 1), 4);
	piece_patch(&piece, AML_LEN, window->len, 4);
	piece_patch(&piece, AML_ECAM_BASE, ecam->base, 4);
	piece_patch(&piece, AML_ECAM_LEN, ecam->len, 4);
	return 0;
}

static int acpi_add_row(struct acpi *acpi, const struct arch_board *board,
			const struct board_row *row, unsigned *virtio_count)
{
	switch (row->kind) {
	case BOARD_SERIAL:
		return acpi_add_port_irq_device(acpi, aml_serial, sizeof(aml_serial), row->base,
						row->irq);
	case BOARD_RTC:
		return acpi_add_port_device(acpi, aml_rtc, sizeof(aml_rtc), row->base);
	case BOARD_PVPANIC:
		return acpi_add_port_device(acpi, aml_pvpanic, sizeof(aml_pvpanic), row->base);
	case BOARD_POWER:
		return acpi_add_port_irq_device(acpi, aml_power, sizeof(aml_power),
						row->base + ACPI_POWER_EVENT, row->irq);
	case BOARD_PCI_ECAM:
		return acpi_add_pci(acpi, row, acpi_find(board, BOARD_PCI_WINDOW),
				    acpi_find(board, BOARD_PCI_PORTS));
	case BOARD_VIRTIO_MMIO:
		return acpi_add_virtio_mmio(acpi, row, (*virtio_count)++);
	case BOARD_I8042:
	case BOARD_DEBUG_EXIT:
	case BOARD_PCI_WINDOW: /* described with the host bridge, as are the ports */
	case BOARD_PCI_PORTS:
		return 0;
	}
	return -EINVAL;
}

static int acpi_add_dsdt(struct acpi *acpi, const struct arch_board *board, gpa_t *gpa)
{
	uint8_t *table = acpi_take(acpi, ACPI_HEADER_LEN);
	unsigned virtio_count = 0;

	if (!table)
		return -ENOSPC;
	for (unsigned i = 0; i < board->row_count; i++) {
		int ret = acpi_add_row(acpi, board, &board->rows[i], &virtio_count);

		if (ret)
			return ret;
	}
	acpi_finish(table, "DSDT", (size_t)(acpi->buf + acpi->used - table), 2);
	*gpa = acpi_gpa_of(acpi, table);
	return 0;
}

/* A generic address structure (5.2.3.2) for one byte of port I/O. */
static void acpi_put_port(uint8_t *at, uint64_t port)
{
	at[0] = 1; /* system I/O */
	at[1] = 8;
	at[3] = 1; /* byte access */
	acpi_put(at + 4, port, 8);
}

static int acpi_add_fadt(struct acpi *acpi, const struct arch_board *board, gpa_t dsdt_gpa,
			 gpa_t *gpa)
{
	uint8_t *table = acpi_take(acpi, FADT_LEN);
	const struct board_row *power = acpi_find(board, BOARD_POWER);
	uint32_t flags =
		FADT_WBINVD | FADT_PWR_BUTTON | FADT_SLP_BUTTON | FADT_FIX_RTC | FADT_HW_REDUCED;
	uint32_t boot_arch = BOOT_ARCH_NO_VGA | BOOT_ARCH_NO_ASPM;

	if (!table)
		return -ENOSPC;
	if (acpi_find(board, BOARD_RTC))
		table[FADT_CENTURY] = RTC_CENTURY_REGISTER;
	else
		boot_arch |= BOOT_ARCH_NO_CMOS_RTC;
	if (power) {
		flags |= FADT_RESET_REG_SUP;
		table[FADT_RESET_VALUE] = ACPI_POWER_RESET_VALUE;
		acpi_put_port(table + FADT_RESET_REG, power->base + ACPI_POWER_RESET);
		acpi_put_port(table + FADT_SLEEP_CONTROL_REG,
			      power->base + ACPI_POWER_SLEEP_CONTROL);
		acpi_put_port(table + FADT_SLEEP_STATUS_REG, power->base + ACPI_POWER_SLEEP_STATUS);
	}
	acpi_put(table + FADT_IAPC_BOOT_ARCH, boot_arch, 2);
	acpi_put(table + FADT_FLAGS, flags, 4);
	table[FADT_MINOR_VERSION] = 5;
	acpi_put(table + FADT_X_DSDT, dsdt_gpa, 8);
	acpi_put_text(table + FADT_HYPERVISOR, "VMM");
	acpi_finish(table, "FACP", FADT_LEN, 6);
	*gpa = acpi_gpa_of(acpi, table);
	return 0;
}

static int acpi_add_madt(struct acpi *acpi, const struct arch_board *board, gpa_t *gpa)
{
	const uint8_t ioapic[] = { MADT_TYPE_IOAPIC, 12 };
	const uint8_t nmi[] = { MADT_TYPE_LAPIC_NMI, 6, MADT_ALL_PROCESSORS, 0, 0, 1 };
	size_t len = MADT_ENTRIES + 8 * (size_t)board->cpu_count + 12 + sizeof(nmi);
	uint8_t *table = acpi_take(acpi, len);
	uint8_t *at;

	if (!table)
		return -ENOSPC;
	/* No PCAT_COMPAT flag: the 8259s are of no use to a hardware-reduced machine, and the lines
	 * below 16 are plain lines of the I/O APIC, which needs no overrides. */
	acpi_put(table + MADT_LAPIC_GPA, LAYOUT_LAPIC_GPA, 4);
	at = table + MADT_ENTRIES;
	for (unsigned i = 0; i < board->cpu_count; i++, at += 8) {
		const uint8_t lapic[] = { MADT_TYPE_LAPIC, 8, (uint8_t)i, (uint8_t)i,
					  MADT_LAPIC_ENABLED };

		memcpy(at, lapic, sizeof(lapic));
	}
	memcpy(at, ioapic, sizeof(ioapic)); /* id 0, as KVM resets it; lines from 0 */
	acpi_put(at + 4, LAYOUT_IOAPIC_GPA, 4);
	memcpy(at + 12, nmi, sizeof(nmi));
	acpi_finish(table, "APIC", len, 5);
	*gpa = acpi_gpa_of(acpi, table);
	return 0;
}

static int acpi_add_mcfg(struct acpi *acpi, const struct board_row *ecam, gpa_t *gpa)
{
	uint8_t *table = acpi_take(acpi, MCFG_LEN);

	if (!table)
		return -ENOSPC;
	acpi_put(table + MCFG_ECAM_GPA, ecam->base, 8);
	table[MCFG_LAST_BUS] = (uint8_t)(ecam->len / ECAM_BUS_LEN - 1);
	acpi_finish(table, "MCFG", MCFG_LEN, 1);
	*gpa = acpi_gpa_of(acpi, table);
	return 0;
}

static int acpi_add_xsdt(struct acpi *acpi, const gpa_t *tables, unsigned count, gpa_t *gpa)
{
	size_t len = ACPI_HEADER_LEN + 8 * (size_t)count;
	uint8_t *table = acpi_take(acpi, len);

	if (!table)
		return -ENOSPC;
	for (unsigned i = 0; i < count; i++)
		acpi_put(table + ACPI_HEADER_LEN + 8 * (size_t)i, tables[i], 8);
	acpi_finish(table, "XSDT", len, 1);
	*gpa = acpi_gpa_of(acpi, table);
	return 0;
}

static void acpi_write_rsdp(uint8_t *rsdp, gpa_t xsdt_gpa)
{
	acpi_put_text(rsdp, "RSD PTR ");
	acpi_put_text(rsdp + RSDP_OEM_ID, ACPI_OEM_ID);
	rsdp[RSDP_REVISION] = 2;
	acpi_put(rsdp + RSDP_LENGTH, RSDP_LEN, 4);
	acpi_put(rsdp + RSDP_XSDT, xsdt_gpa, 8);
	rsdp[RSDP_CHECKSUM] = acpi_checksum(rsdp, RSDP_LEN_V1);
	rsdp[RSDP_CHECKSUM_V2] = acpi_checksum(rsdp, RSDP_LEN);
}

int acpi_build(uint8_t *buf, size_t buf_len, gpa_t gpa, const struct arch_board *board, size_t *len)
{
	struct acpi acpi = { .buf = buf, .len = buf_len, .gpa = gpa };
	const struct board_row *ecam = acpi_find(board, BOARD_PCI_ECAM);
	uint8_t *rsdp = acpi_take(&acpi, RSDP_LEN);
	gpa_t dsdt_gpa, xsdt_gpa, tables[3];
	unsigned count = 0;
	int ret;

	if (!rsdp)
		return -ENOSPC;
	ret = acpi_add_dsdt(&acpi, board, &dsdt_gpa);
	if (!ret)
		ret = acpi_add_fadt(&acpi, board, dsdt_gpa, &tables[count++]);
	if (!ret)
		ret = acpi_add_madt(&acpi, board, &tables[count++]);
	if (!ret && ecam)
		ret = acpi_add_mcfg(&acpi, ecam, &tables[count++]);
	if (!ret)
		ret = acpi_add_xsdt(&acpi, tables, count, &xsdt_gpa);
	if (ret)
		return ret;
	acpi_write_rsdp(rsdp, xsdt_gpa);
	*len = acpi.used;
	return 0;
}
