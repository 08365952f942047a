/*
 * A PCI host bridge with one bus (PCI Local Bus 3.0; ECAM of PCI Express 3.0, section 7.2.2):
 * device 0 is the bridge, up to 31 functions follow, one a device.
 *
 * Configuration space lives in host memory laid out as the guest sees it. The machine gives KVM
 * that memory as a read-only slot: the guest then reads it without leaving, and only writes arrive
 * here, by the bus. Where such a slot is refused reads arrive by the bus as well and find the same
 * bytes. There are no port I/O registers (0xcf8): ECAM is the only way in.
 *
 * Locks: the host's lock is taken by bus dispatch round every access; a function's lock inside it.
 */
#ifndef DEVICES_PCI_H
#define DEVICES_PCI_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "vmm/bus.h"
#include "vmm/err.h"

#define PCI_ECAM_LEN	  0x100000u /* bytes for one bus */
#define PCI_SLOTS_MAX	  32
#define PCI_HEADER_LEN	  256 /* configuration bytes that functions here have */
#define PCI_BARS_MAX	  2
#define PCI_CONFIG_STRIDE 0x8000u /* from one device's function 0 to the next device's */

struct pci_host;
struct pci_function;
struct pci_window;

struct pci_function_ops {
	const char *name;
	/* An access to BAR number INDEX, inside it. vCPU thread, function's lock held. */
	uint64_t (*bar_read)(struct pci_function *fn, unsigned index, uint64_t offset,
			     unsigned width);
	void (*bar_write)(struct pci_function *fn, unsigned index, uint64_t offset, unsigned width,
			  uint64_t value);
	/* BAR number INDEX went from guest address OLD to NEW; 0: off the bus. For doorbells.
	 * Function's lock held. */
	void (*bar_moved)(struct pci_function *fn, unsigned index, uint64_t old, uint64_t new);
	/* Bytes [OFFSET, OFFSET+LEN) of configuration space were written and masked. vCPU thread,
	 * function's lock held. */
	void (*config_written)(struct pci_function *fn, unsigned offset, unsigned len);
	/* The machine is reset; configuration space is as it was at the start. No lock held. */
	void (*reset)(struct pci_function *fn);
};

struct pci_bar {
	struct bus_device bus_device;
	struct pci_function *fn;
	struct pci_window *window;
	unsigned index;
	uint32_t len;	   /* power of two; 0: not there */
	uint64_t assigned; /* the address at power-on */
	uint64_t mapped;   /* where the bus has it; 0: nowhere */
	bool decoding;	   /* atomic: the guest has decoding on and the BAR at `mapped` */
};

/* Embedded in a device. */
struct pci_function {
	const struct pci_function_ops *ops;
	struct pci_host *host;
	pthread_mutex_t *lock; /* the device's; borrowed */
	unsigned slot;
	uint8_t *config;		  /* its page of the ECAM window; NULL: not added */
	uint8_t writable[PCI_HEADER_LEN]; /* bits that the guest may change */
	uint8_t initial[PCI_HEADER_LEN];  /* contents at power-on */
	unsigned cap_end;		  /* where the next capability goes */
	unsigned cap_last;		  /* offset of the last one's `next` byte */
	struct pci_bar bars[PCI_BARS_MAX];
};

struct pci_ids {
	uint16_t vendor;
	uint16_t device;
	uint16_t subsystem_vendor;
	uint16_t subsystem;
	uint32_t class_code; /* 0xCCSSPP */
	uint8_t revision;
};

/*
 * Puts the bridge on BUS (MMIO; borrowed) with its ECAM window at ECAM_BASE; BARs are assigned from
 * [WINDOW_BASE, WINDOW_BASE+WINDOW_LEN), below 4 GiB, and may be moved inside it only. Setup. 0 or
 * -errno, logged.
 */
int pci_host_create(struct pci_host **out, struct bus *bus, uint64_t ecam_base,
		    uint64_t window_base, uint64_t window_len) MUST_CHECK;
/* Port BARs are assigned from [BASE, BASE+LEN) of BUS (port I/O; borrowed). Setup, before functions
 * are added; without it there are none. */
void pci_host_set_ports(struct pci_host *host, struct bus *bus, uint64_t base, uint64_t len);
/* After its functions were removed and the read-only slot is gone. NULL is allowed. */
void pci_host_destroy(struct pci_host *host);

/*
 * The PCI_ECAM_LEN bytes that belong at ECAM_BASE as a read-only memory slot (page-aligned). The
 * address stays the same while functions are added. Using it is optional.
 */
void *pci_host_ecam(const struct pci_host *host);

/* Configuration space, BARs and functions as after power-on. With vCPUs paused; not on a loop's
 * thread. */
void pci_host_reset(struct pci_host *host);

/*
 * Puts FN, zeroed but for OPS and LOCK, into the next free slot. Setup, vCPUs not running. 0, or
 * -errno, logged.
 */
int pci_add(struct pci_host *host, struct pci_function *fn, const struct pci_ids *ids) MUST_CHECK;
/* Takes FN off the bus. After the vCPUs ended. Not added: no effect. */
void pci_remove(struct pci_function *fn);

/*
 * Gives FN a 32-bit memory BAR of LEN bytes (a power of two, at least a page) at the next free
 * address. Setup. 0 or -errno, logged.
 */
int pci_add_bar(struct pci_function *fn, unsigned index, uint32_t len) MUST_CHECK;
/* The bus of port BARs, or NULL: there are none. After pci_add. */
struct bus *pci_ports(const struct pci_function *fn);
/* The same for a BAR of 4 to 256 bytes of ports. */
int pci_add_port_bar(struct pci_function *fn, unsigned index, uint32_t len) MUST_CHECK;

/*
 * Appends a capability of LEN bytes; DATA's second byte (next) is filled in here. WRITABLE, of the
 * same length, says which bits the guest may change; NULL: none. Setup. Returns its offset; there
 * must be room.
 */
unsigned pci_add_capability(struct pci_function *fn, const void *data, const void *writable,
			    unsigned len);

/* Values in FN's configuration space. */
uint16_t pci_config_get16(const struct pci_function *fn, unsigned offset);
uint32_t pci_config_get32(const struct pci_function *fn, unsigned offset);
void pci_config_set32(struct pci_function *fn, unsigned offset, uint32_t value);

#endif
