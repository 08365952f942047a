/*
 * An address space with devices in it: one bus for port I/O, one for MMIO.
 *
 * Built before the vCPUs run; BARs that a guest moves change it later, under the bus's own lock.
 * Dispatch runs on vCPU threads, takes the device's mutex round the call, and hands over only
 * accesses that lie fully inside the range and whose width the device declared; every other read
 * gives all ones, every other write is dropped.
 */
#ifndef VMM_BUS_H
#define VMM_BUS_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "vmm/err.h"

struct bus_device;

/* Widths of access a device takes, as a bit set of byte counts. */
#define BUS_WIDTH_1   1u
#define BUS_WIDTH_2   2u
#define BUS_WIDTH_4   4u
#define BUS_WIDTH_8   8u
#define BUS_WIDTH_ANY (BUS_WIDTH_1 | BUS_WIDTH_2 | BUS_WIDTH_4 | BUS_WIDTH_8)

struct bus_device_ops {
	const char *name;
	unsigned widths; /* BUS_WIDTH_* accepted */
	/* OFFSET is from the base of the range; OFFSET + WIDTH lies inside it. The result's unused
	 * high bits are ignored. NULL: reads as all ones. */
	uint64_t (*read)(struct bus_device *dev, uint64_t offset, unsigned width);
	/* NULL: writes are dropped. */
	void (*write)(struct bus_device *dev, uint64_t offset, unsigned width, uint64_t value);
};

/* Embedded in a device. A device on two buses, or with two ranges, embeds one for each and shares
 * the lock. */
struct bus_device {
	const struct bus_device_ops *ops;
	pthread_mutex_t *lock; /* taken round every call; NULL: the device needs none */
};

struct bus_range {
	uint64_t base;
	uint64_t len;
	struct bus_device *dev;
};

struct bus_doorbell {
	uint64_t addr;
	uint64_t value;
	unsigned width; /* 0: any width (only without match) */
	bool match;
	int fd;
	bool in_kernel;
};

#define BUS_RANGES_MAX	  128
#define BUS_DOORBELLS_MAX 1024

/* How a bus reaches KVM for doorbells; NULL functions leave them in user space. Tests pass fakes.
 */
struct bus_kernel_ops {
	/* Attaches or detaches an ioeventfd; 0 or -errno. */
	int (*doorbell)(void *opaque, const struct bus_doorbell *bell, bool attach);
};

struct bus {
	pthread_rwlock_t lock;
	struct bus_range ranges[BUS_RANGES_MAX]; /* sorted by base */
	unsigned range_count;
	struct bus_doorbell *doorbells; /* BUS_DOORBELLS_MAX slots, allocated at init */
	unsigned doorbell_count;
	const struct bus_kernel_ops *kernel;
	void *kernel_opaque;
};

/* KERNEL may be NULL (tests): doorbells then work in user space. Returns 0 or -errno. */
int bus_init(struct bus *bus, const struct bus_kernel_ops *kernel, void *opaque) MUST_CHECK;
void bus_fini(struct bus *bus);

/* Adds DEV (borrowed) at [BASE, BASE+LEN). -EINVAL for zero length or wrap, -EEXIST for overlap,
 * -ENOSPC. */
int bus_add(struct bus *bus, uint64_t base, uint64_t len, struct bus_device *dev) MUST_CHECK;
/* Removes the range of DEV that starts at BASE; nothing happens when there is none. */
void bus_remove(struct bus *bus, uint64_t base, struct bus_device *dev);

/*
 * A write at ADDR rings FD (an eventfd, borrowed): in the kernel without an exit where KVM can,
 * else in dispatch. With MATCH only a write of VALUE of WIDTH bytes does. The address may lie
 * inside a device's range; the device never sees such a write. Returns 0 or -errno.
 */
int bus_add_doorbell(struct bus *bus, uint64_t addr, unsigned width, bool match, uint64_t value,
		     int fd) MUST_CHECK;
/* Removes the doorbell that rings FD at ADDR. */
void bus_remove_doorbell(struct bus *bus, uint64_t addr, int fd);

/* One access by a vCPU; DATA holds WIDTH bytes, little-endian. True when a device took it. vCPU
 * threads. */
bool bus_read(struct bus *bus, uint64_t addr, unsigned width, void *data);
bool bus_write(struct bus *bus, uint64_t addr, unsigned width, const void *data);

#endif
