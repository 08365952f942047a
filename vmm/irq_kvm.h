/*
 * Interrupt lines by KVM: irqfd for each, one routing table for all. Setup on the main thread;
 * irq_msi_set also on vCPU threads.
 */
#ifndef VMM_IRQ_KVM_H
#define VMM_IRQ_KVM_H

#include <linux/kvm.h>
#include <pthread.h>

#include "vmm/irq.h"

#define IRQ_KVM_MSI_MAX 512

struct irq_kvm {
	struct irq_router router;
	int vm_fd; /* borrowed */
	pthread_mutex_t lock;
	struct kvm_irq_routing *table; /* pins first, then programmed MSI lines */
	uint32_t *slot_gsi; /* for MSI number i: 1 + index into the table, 0: no message yet */
	bool *used;	    /* MSI numbers handed out */
	bool *attached;	    /* irqfd assigned */
};

/* After the interrupt chip exists. 0 or -errno, logged. */
int irq_kvm_init(struct irq_kvm *irq, int vm_fd) MUST_CHECK;
/* After every line was released. */
void irq_kvm_fini(struct irq_kvm *irq);

#endif
