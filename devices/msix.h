/*
 * MSI-X (PCI Local Bus 3.0, section 6.8.2): a table of vectors, each a message to one interrupt
 * line, masks, and pending bits. Embedded by a PCI function, which places table and pending bits in
 * a BAR and tells of writes to the capability's control word.
 *
 * The registers' half runs on vCPU threads under the function's lock; raising needs no lock.
 */
#ifndef DEVICES_MSIX_H
#define DEVICES_MSIX_H

#include <stdbool.h>
#include <stdint.h>

#include "vmm/err.h"
#include "vmm/irq.h"
#include "vmm/log.h"

#define MSIX_VECTORS_MAX 34

struct msix_vector {
	uint32_t entry[4]; /* address low and high, data, control */
	struct irq_line line;
	bool connected; /* the line sends the entry's message */
};

struct msix {
	const char *name; /* the device's, for messages */
	struct irq_router *router;
	struct log_limit *limit;
	unsigned count;
	bool enabled; /* atomic */
	bool masked;  /* all vectors */
	struct msix_vector vectors[MSIX_VECTORS_MAX];
};

/*
 * Takes COUNT lines from ROUTER; MSI-X is off and all vectors are masked. NAME, ROUTER and LIMIT
 * are borrowed. Setup. 0 or -errno, logged; msix_fini is allowed after either.
 */
int msix_init(struct msix *msix, struct irq_router *router, unsigned count, const char *name,
	      struct log_limit *limit) MUST_CHECK;
/* Gives the lines back. Only zeroed: no effect. */
void msix_fini(struct msix *msix);

/* As after msix_init; pending interrupts are forgotten. */
void msix_reset(struct msix *msix);

/* The control word of the capability was written: enable and mask bits. */
void msix_control_written(struct msix *msix, uint16_t control);
/* Dword INDEX of the table: four a vector. Beyond it: reads 0, writes nothing. */
uint32_t msix_table_read(const struct msix *msix, uint64_t index);
void msix_table_write(struct msix *msix, uint64_t index, uint32_t value);
/* Dword INDEX of the pending bits. */
uint32_t msix_pending_read(const struct msix *msix, uint64_t index);

/* An eventfd (borrowed) that sends VECTOR's message when written to, until one of the functions
 * above is called; -1 while it is masked, or there is no such vector. */
int msix_vector_fd(const struct msix *msix, unsigned vector);

/* Any thread. */
bool msix_is_enabled(const struct msix *msix);
/* Sends VECTOR's message, or keeps it pending while masked. A vector that does not exist: nothing.
 * Any thread. */
void msix_raise(struct msix *msix, unsigned vector);

#endif
