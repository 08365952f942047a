/*
 * PCI as a driver sees it: configuration space by ECAM, where ACPI's MCFG says there is one, else
 * by the ports 0xcf8 and 0xcfc; buses 0 and 1.
 */
#ifndef TESTS_GUEST_LIB_PCI_H
#define TESTS_GUEST_LIB_PCI_H

#include "tests/guest/lib/guest.h"

/* bus << 8 | device << 3 | function */
struct pci_dev {
	uint16_t bdf;
	uint16_t vendor;
	uint16_t device;
};

/* Address of the ACPI table with this signature, or 0. */
uint64_t acpi_find(const char *signature);

/* Width 1, 2 or 4. */
uint32_t pci_read(uint16_t bdf, unsigned offset, unsigned width);
void pci_write(uint16_t bdf, unsigned offset, unsigned width, uint32_t value);
/* Address of the ECAM window; 0: there is none. */
uint64_t pci_ecam(void);

/* The NTH function of VENDOR with a device number from FIRST to LAST. */
bool pci_find(struct pci_dev *out, uint16_t vendor, uint16_t first, uint16_t last, unsigned nth);
/* Offset of the next capability ID after AFTER (0: the first one), or 0. */
unsigned pci_capability(uint16_t bdf, uint8_t id, unsigned after);
/* Where memory BAR number INDEX is, mapped; 0: nowhere. */
uint64_t pci_bar(uint16_t bdf, unsigned index);
/* Turns on memory decoding and bus mastering. */
void pci_enable(uint16_t bdf);
/* Entry ENTRY of the MSI-X table raises VECTOR on the first CPU; turns MSI-X on. False: there is
 * none. */
bool pci_msix_set(uint16_t bdf, unsigned entry, unsigned vector);

#endif
