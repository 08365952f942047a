/*
 * Every guest physical address and I/O port of an x86-64 machine, on one page. Whoever loads,
 * describes or builds something takes its place from here; nobody invents one.
 *
 *	0000_0000  page 0, left zero: Linux looks for a BIOS data area here
 *	0000_6000  boot information, descriptor table, page tables, command line
 *	000a_0000  nothing (a PC's video memory)
 *	000e_0000  ACPI tables, then SMBIOS from 000f_0000, where Linux searches for them
 *	0010_0000  kernel; the initrd as high as it may go
 *	c000_0000  PCI window, ECAM, virtio-mmio, interrupt chips, pages KVM keeps to itself
 *	1_0000_0000 the rest of memory
 */
#ifndef ARCH_X86_64_LAYOUT_H
#define ARCH_X86_64_LAYOUT_H

/* Memory: from 0 up to the hole, the rest from 4 GiB. */
#define LAYOUT_HOLE_GPA	    0xc0000000ULL
#define LAYOUT_HIGH_RAM_GPA 0x100000000ULL

/* Boot information: the PVH start info with its module list and memory map, or boot_params. */
#define LAYOUT_PVH_INFO_GPA  0x6000ULL
#define LAYOUT_PVH_INFO_LEN  0x1000ULL
#define LAYOUT_ZERO_PAGE_GPA 0x7000ULL
#define LAYOUT_GDT_GPA	     0x8000ULL
/* PML4, PDPT and four page directories: the first 4 GiB in 2 MiB pages. */
#define LAYOUT_PAGE_TABLES_GPA 0x9000ULL
#define LAYOUT_PAGE_TABLES_LEN 0x6000ULL
/* One page below the command line, for a guest that pushes before it has a stack. */
#define LAYOUT_BOOT_STACK_TOP_GPA 0x10000ULL
#define LAYOUT_CMDLINE_GPA	  0x10000ULL
#define LAYOUT_CMDLINE_LEN	  0x10000ULL

/* Where usable memory below 1 MiB ends. */
#define LAYOUT_LOW_RAM_END 0x9fc00ULL
#define LAYOUT_ACPI_GPA	   0xe0000ULL
#define LAYOUT_ACPI_LEN	   0x10000ULL
#define LAYOUT_SMBIOS_GPA  0xf0000ULL
#define LAYOUT_SMBIOS_LEN  0xfff0ULL
/* Where a CPU that is reset without firmware would start: code that resets the machine. */
#define LAYOUT_RESET_VECTOR_GPA 0xffff0ULL
#define LAYOUT_RESET_VECTOR_LEN 0x10ULL
/* All of the above lies below; no byte of a kernel or initrd may. */
#define LAYOUT_KERNEL_MIN_GPA 0x100000ULL

/* The hole. */
#define LAYOUT_PCI_WINDOW_GPA	0xc0000000ULL
#define LAYOUT_PCI_WINDOW_LEN	0x20000000ULL
#define LAYOUT_PCI_ECAM_GPA	0xe0000000ULL
#define LAYOUT_PCI_ECAM_LEN	0x100000ULL /* one bus */
#define LAYOUT_VIRTIO_MMIO_GPA	0xe8000000ULL
#define LAYOUT_VIRTIO_MMIO_LEN	0x1000ULL /* one device */
#define LAYOUT_IOAPIC_GPA	0xfec00000ULL
#define LAYOUT_LAPIC_GPA	0xfee00000ULL
#define LAYOUT_IDENTITY_MAP_GPA 0xfffbc000ULL /* KVM_SET_IDENTITY_MAP_ADDR, one page */
#define LAYOUT_TSS_GPA		0xfffbd000ULL /* KVM_SET_TSS_ADDR, three pages */

/* I/O ports. */
#define LAYOUT_I8042_DATA_PORT	  0x60
#define LAYOUT_I8042_COMMAND_PORT 0x64
#define LAYOUT_RTC_PORT		  0x70
#define LAYOUT_RTC_PORT_LEN	  2
#define LAYOUT_SERIAL_PORT	  0x3f8
#define LAYOUT_SERIAL_PORT_LEN	  8
#define LAYOUT_DEBUG_EXIT_PORT	  0x501
#define LAYOUT_PVPANIC_PORT	  0x505
#define LAYOUT_POWER_PORT	  0x600
#define LAYOUT_POWER_PORT_LEN	  8
#define LAYOUT_PCI_PORT		  0xc000 /* BARs of ports */
#define LAYOUT_PCI_PORT_LEN	  0x2000

/* Interrupt lines of the I/O APIC (GSI). PCI devices use MSI-X only. */
#define LAYOUT_IRQ_I8042	     1
#define LAYOUT_IRQ_SERIAL	     4
#define LAYOUT_IRQ_POWER	     5
#define LAYOUT_IRQ_RTC		     8
#define LAYOUT_IRQ_VIRTIO_MMIO	     10 /* device N has line 10 + N */
#define LAYOUT_VIRTIO_MMIO_COUNT_MAX 14
#define LAYOUT_IRQ_COUNT	     24
#define LAYOUT_IRQCHIP		     KVM_IRQCHIP_IOAPIC /* whose pins they are, for KVM's routing */

#endif
