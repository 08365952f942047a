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

struct vm {
	int kvm_fd;
	int fd;
	size_t run_len; /* bytes of struct kvm_run and what follows it */
	uint32_t slot_count;
	struct guest_mem mem;
	struct bus pio;
	struct bus mmio;
	struct irq_kvm irq;
};

/*
 * Opens /dev/kvm, checks what is needed of it, and creates the machine with MEMORY_LEN bytes,
 * without an interrupt chip. 0 or -errno, logged with the cure.
 */
int vm_create(struct vm *vm, uint64_t memory_len) MUST_CHECK;
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
