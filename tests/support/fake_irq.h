/*
 * An interrupt router for tests: MSI lines are eventfds, messages are remembered.
 */
#ifndef TESTS_SUPPORT_FAKE_IRQ_H
#define TESTS_SUPPORT_FAKE_IRQ_H

#include "vmm/irq.h"

#define FAKE_IRQ_LINES 64

struct fake_irq {
	struct irq_router router;
	struct {
		bool used;
		int fd;
		uint64_t addr;
		uint32_t data;
		unsigned sets;
	} lines[FAKE_IRQ_LINES]; /* by gsi */
	unsigned fail_after;	 /* irq_msi_alloc fails once this many lines are out; 0: never */
	int set_result;
};

void fake_irq_init(struct fake_irq *irq);
/* Lines not released. */
unsigned fake_irq_in_use(const struct fake_irq *irq);
/* True when the MSI line of number GSI (they are handed out from 0 up) was raised, and delivered,
 * since the last call. */
bool fake_irq_raised(const struct fake_irq *irq, uint32_t gsi);

#endif
