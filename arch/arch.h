/*
 * What a CPU architecture provides. One implementation is linked: arch/<name>/. A function that is
 * missing is a link error. All are called by the core's boot path on the main thread, in the order
 * given here, unless said otherwise. Errors are logged where they are found.
 */
#ifndef ARCH_ARCH_H
#define ARCH_ARCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/err.h"
#include "vmm/guest_mem.h"

struct kvm_run;

/* Where memory of a given size goes. */
struct arch_ram_layout {
	struct {
		gpa_t gpa;
		uint64_t len;
	} ranges[2];
	unsigned range_count;
};

/* MEMORY_LEN is a multiple of 2 MiB, at least 16 MiB. 0 or -EINVAL (more than the address space
 * holds). */
int arch_ram_layout(uint64_t memory_len, struct arch_ram_layout *out) MUST_CHECK;

/* Most vCPUs a machine may have here. */
#define ARCH_CPUS_MAX 64

/* After the memory slots, before the first vCPU: the in-kernel interrupt chip and what belongs to
 * it. */
int arch_vm_init(int kvm_fd, int vm_fd) MUST_CHECK;

enum arch_entry {
	ARCH_ENTRY_AUTO,
	ARCH_ENTRY_ELF,	    /* the ELF's own entry: x86-64 64-bit boot protocol */
	ARCH_ENTRY_PVH,	    /* 32-bit entry of the PVH note */
	ARCH_ENTRY_BZIMAGE, /* a bzImage's own 64-bit entry: the guest unpacks itself */
};

struct arch_kernel {
	int kernel_fd;		 /* borrowed */
	const char *kernel_path; /* for messages */
	int initrd_fd;		 /* borrowed; -1: none */
	const char *initrd_path;
	const void *initrd_data; /* an initramfs made in memory instead of initrd_fd; NULL: none */
	size_t initrd_data_len;
	const char *cmdline;
	enum arch_entry entry;
};

/* What loading found out, for arch_write_tables, arch_vcpu_set_entry and -v. */
struct arch_boot {
	enum arch_entry entry; /* never AUTO */
	gpa_t entry_gpa;
	gpa_t kernel_gpa; /* occupied by the kernel, its bss included */
	uint64_t kernel_len;
	gpa_t initrd_gpa;
	uint64_t initrd_len;
	gpa_t cmdline_gpa;
	gpa_t info_gpa;	     /* boot_params (zero page), or the PVH start info */
	gpa_t tables_gpa;    /* x86: RSDP; 0 before arch_write_tables */
	uint64_t mapped_len; /* bytes mapped from files instead of copied, for -v */
	uint64_t copied_len;
	const char *what; /* "bzImage 6.12.1 (zstd), unpacked on the host", static or owned by this
			     struct */
	char what_buf[160];
};

/* Loads kernel, initrd and command line into MEM and writes boot information except memory map and
 * tables. */
int arch_load_kernel(struct guest_mem *mem, const struct arch_kernel *kernel,
		     struct arch_boot *boot) MUST_CHECK;

/* What the machine has, as plain rows that tables are written from. */
enum board_kind {
	BOARD_SERIAL,
	BOARD_RTC,
	BOARD_I8042,
	BOARD_PVPANIC,
	BOARD_DEBUG_EXIT,
	BOARD_POWER,	   /* sleep/reset registers and the power button's event device */
	BOARD_PCI_ECAM,	   /* base and length of the configuration window */
	BOARD_PCI_WINDOW,  /* where BARs live */
	BOARD_PCI_PORTS,   /* where BARs of ports live */
	BOARD_VIRTIO_MMIO, /* one a device */
};

struct board_row {
	enum board_kind kind;
	uint64_t base;
	uint64_t len;
	uint32_t irq; /* GSI */
};

#define BOARD_ROWS_MAX 64

struct arch_board {
	const struct board_row *rows;
	unsigned row_count;
	unsigned cpu_count;
	const char *name;		/* the machine's, for SMBIOS */
	const char *const *oem_strings; /* SMBIOS type 11 */
	unsigned oem_string_count;
};

/* ACPI and SMBIOS, or a device tree; also the memory map in the boot information. Sets
 * boot->tables_gpa. */
int arch_write_tables(struct guest_mem *mem, const struct arch_board *board,
		      struct arch_boot *boot) MUST_CHECK;

/* What is the same for all vCPUs, asked from KVM once, on any thread. 0 or -errno, logged. */
struct arch_cpu_model;
int arch_cpu_model_create(struct arch_cpu_model **out, int kvm_fd, unsigned cpu_count) MUST_CHECK;
/* Adds what only a machine knows; before its first vCPU, for each machine anew. 0 or -errno,
 * logged. */
int arch_cpu_model_complete(struct arch_cpu_model *model, int vm_fd) MUST_CHECK;
void arch_cpu_model_destroy(struct arch_cpu_model *model);

/* Sets up vCPU INDEX: CPUID, MSRs. Refused optional MSRs are left out. May run on the vCPU's own
 * thread. */
int arch_vcpu_init(const struct arch_cpu_model *model, int vcpu_fd, unsigned index) MUST_CHECK;
/* Puts vCPU 0 at the kernel's entry; others wait to be started by the guest. */
int arch_vcpu_set_entry(struct guest_mem *mem, int vcpu_fd, unsigned index,
			const struct arch_boot *boot) MUST_CHECK;

/* Registers and instruction bytes as text for a report of an internal error. Any time the vCPU is
 * not running. */
void arch_vcpu_dump(int vcpu_fd, const struct guest_mem *mem, const struct kvm_run *run, char *buf,
		    size_t buf_len);

#endif
