/*
 * A KVM virtual machine without its devices: the descriptors, memory slots, both buses, interrupt
 * lines. Setup and teardown on the main thread.
 */
#ifndef VMM_VM_H
#define VMM_VM_H

#include <stdint.h>

#include "vmm/bus.h"
#include "vmm/err.h"
#include "vmm/guest_mem.h"
#include "vmm/irq_kvm.h"
#include "vmm/kvm_host.h"

struct vm {
	const struct kvm_host *kvm; /* borrowed */
	int fd;
	uint32_t slot_count;
	struct guest_mem mem;
	struct bus pio;
	struct bus mmio;
	struct irq_kvm irq;
};

/*
 * Creates a machine on KVM (borrowed) with MEMORY_LEN bytes, without an interrupt chip. 0 or
 * -errno, logged; vm_destroy is called in either case.
 */
int vm_create(struct vm *vm, const struct kvm_host *kvm, uint64_t memory_len) MUST_CHECK;
void vm_destroy(struct vm *vm);

/*
 * Adds the interrupt chip and its lines; after every memory slot and before the first vCPU. A slot
 * that comes later waits for grace periods: 5 ms instead of 0.1, measured. 0 or -errno, logged.
 */
int vm_create_irqchip(struct vm *vm) MUST_CHECK;

/*
 * Makes LEN bytes at HOST (borrowed) readable by the guest at GPA without exits; writes arrive on
 * the MMIO bus. 0, or -errno where KVM has no read-only slots (not logged: the caller traps reads
 * instead).
 */
int vm_add_readonly_slot(struct vm *vm, gpa_t gpa, uint64_t len, void *host) MUST_CHECK;

#endif
