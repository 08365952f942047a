/*
 * The host's /dev/kvm, opened once for a process and kept over resets, and the CPU model that it
 * offers. Main thread.
 */
#ifndef VMM_KVM_HOST_H
#define VMM_KVM_HOST_H

#include <stddef.h>

#include "vmm/beside.h"
#include "vmm/err.h"

struct arch_cpu_model;

struct kvm_host {
	int fd;
	size_t run_len; /* bytes of struct kvm_run and what follows it */
	unsigned cpu_count;
	struct beside asking; /* for the model */
	struct arch_cpu_model *model;
};

/*
 * Opens /dev/kvm, checks what is needed of it, and begins to ask for the model of CPU_COUNT CPUs.
 * 0 or
 * -errno, logged with the cure; also after a failure kvm_host_close may be called.
 */
int kvm_host_open(struct kvm_host *kvm, unsigned cpu_count) MUST_CHECK;
/* All machines on it are gone. */
void kvm_host_close(struct kvm_host *kvm);

/* Waits until the model is there and gives it (borrowed). Any one thread at a time. 0 or -errno,
 * logged. */
int kvm_host_cpu_model(struct kvm_host *kvm, struct arch_cpu_model **model) MUST_CHECK;

#endif
