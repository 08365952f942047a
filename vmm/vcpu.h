/*
 * A virtual CPU: one thread that enters the guest and hands its exits to the buses.
 */
#ifndef VMM_VCPU_H
#define VMM_VCPU_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "arch/arch.h"
#include "vmm/end.h"
#include "vmm/vm.h"

struct kvm_run;

/* Exits to user space, by what they were for. The vCPU's thread writes, anyone reads. */
struct vcpu_stats {
	uint64_t exits;
	uint64_t pio;
	uint64_t mmio;
	uint64_t interrupted;
};

struct vcpu {
	struct vm *vm;	 /* borrowed */
	struct end *end; /* borrowed: where a vCPU says that the machine has ended */
	unsigned index;
	int fd;
	struct kvm_run *run;
	pthread_t thread;
	bool started;
	bool stop; /* atomic */
	void (*on_first_run)(
		void *opaque); /* called once, just before the first KVM_RUN; may be NULL */
	void *first_run_opaque;
	struct vcpu_stats stats;
};

/* Creates vCPU INDEX; no thread yet. Any thread. 0 or -errno, logged. */
int vcpu_create(struct vcpu *vcpu, struct vm *vm, struct end *end,
		const struct arch_cpu_model *model, unsigned index) MUST_CHECK;
/* Makes it ready to run from BOOT. 0 or -errno, logged. */
int vcpu_set_entry(struct vcpu *vcpu, const struct arch_boot *boot) MUST_CHECK;
/* Stopped or never started. */
void vcpu_destroy(struct vcpu *vcpu);

/* Starts the thread. 0 or -errno, logged. */
int vcpu_start(struct vcpu *vcpu) MUST_CHECK;
/* Asks the thread to leave the guest and end; does not wait. Any thread. */
void vcpu_request_stop(struct vcpu *vcpu);
void vcpu_join(struct vcpu *vcpu);

/* Installs the handler of the signal that takes a vCPU out of the guest. Once, before any
 * vcpu_start. */
int vcpu_setup_signal(void) MUST_CHECK;

#endif
