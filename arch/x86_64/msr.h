/* MSRs that a vCPU starts with. */
#ifndef ARCH_X86_64_MSR_H
#define ARCH_X86_64_MSR_H

#include "vmm/err.h"

/* Sets them on VCPU_FD; those that KVM refuses are left out. 0 or -errno, logged. */
int msr_init(int vcpu_fd) MUST_CHECK;

#endif
