/*
 * Interrupt lines as a device sees them. A line is an eventfd that KVM injects by irqfd; raising it
 * is one write(2), from any thread. All lines are edges: a raise while one is pending merges with
 * it.
 *
 * Wired lines (IOAPIC pins) exist from the start. MSI lines are taken from a router, which programs
 * the message (address, data) that a raise sends.
 */
#ifndef VMM_IRQ_H
#define VMM_IRQ_H

#include <stdbool.h>
#include <stdint.h>

#include "vmm/err.h"

struct irq_line {
	int fd;	      /* eventfd; -1: not connected, raising does nothing */
	uint32_t gsi; /* KVM's number: the IOAPIC pin, or a number above them for MSI */
	/* MSI only, atomic: while masked a raise is remembered instead, and delivered when
	 * unmasked. */
	bool masked;
	bool pending;
};

#define IRQ_LINE_NONE ((struct irq_line){ .fd = -1 })

/* Any thread. Never fails visibly: a full eventfd is already pending. */
void irq_raise(struct irq_line *line);

struct irq_router;

struct irq_router_ops {
	int (*wire)(struct irq_router *router, struct irq_line *line, uint32_t gsi);
	int (*msi_alloc)(struct irq_router *router, struct irq_line *line);
	/* Called only for lines that are to be unmasked. */
	int (*msi_set)(struct irq_router *router, const struct irq_line *line, uint64_t addr,
		       uint32_t data);
	void (*release)(struct irq_router *router, struct irq_line *line);
};

/* Embedded by the KVM implementation (vmm/irq_kvm.h) and by fakes in tests. */
struct irq_router {
	const struct irq_router_ops *ops;
};

/* Connects LINE to IOAPIC pin GSI. Setup only. 0 or -errno, logged. */
int irq_wire(struct irq_router *router, struct irq_line *line, uint32_t gsi) MUST_CHECK;

/* Takes a free MSI line, masked until irq_msi_set. Setup only. 0 or -errno, logged. */
int irq_msi_alloc(struct irq_router *router, struct irq_line *line) MUST_CHECK;

/*
 * Programs the message of an MSI line and unmasks it, or masks it (ADDR and DATA are then not
 * looked at): raises are then kept in line->pending, which is the PBA's bit, and delivered when
 * unmasked. vCPU threads, under the device's lock. Masking, and unmasking with an unchanged
 * message, cost no system call. 0 or -errno.
 */
int irq_msi_set(struct irq_router *router, struct irq_line *line, uint64_t addr, uint32_t data,
		bool masked) MUST_CHECK;

/* Gives the line back and closes it. */
void irq_release(struct irq_router *router, struct irq_line *line);

#endif
