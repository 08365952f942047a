/*
 * The host's /dev/kvm, opened once for a process and kept over resets, and the CPU model that it
 * offers.
 */
#ifndef VMM_KVM_HOST_H
#define VMM_KVM_HOST_H

#include <stddef.h>

#include "vmm/err.h"

struct arch_cpu_model;

struct kvm_host {
	int fd;
	size_t run_len;		      /* bytes of struct kvm_run and what follows it */
	struct arch_cpu_model *model; /* NULL: not asked for yet */
};

/* Opens /dev/kvm and checks what is needed of it. 0 or -errno, logged with the cure; also after a
 * failure kvm_host_close may be called. */
int kvm_host_open(struct kvm_host *kvm) MUST_CHECK;
/* All machines on it are gone. */
void kvm_host_close(struct kvm_host *kvm);

/* Gives the model of CPU_COUNT CPUs (borrowed), which is asked for the first time. Any one thread
 * at a time. 0 or -errno, logged. */
int kvm_host_cpu_model(struct kvm_host *kvm, unsigned cpu_count,
		       struct arch_cpu_model **model) MUST_CHECK;

#endif
