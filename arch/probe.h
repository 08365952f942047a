/*
 * The architecture's part of vmm/probe.h: bare programs that try what a stock kernel does before
 * its first user process. Beside arch.h, because only the probe needs it. Calling thread.
 */
#ifndef ARCH_PROBE_H
#define ARCH_PROBE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/err.h"

struct kvm_run;

/* Guest memory of every program: at guest address 0, zeroed. */
#define ARCH_PROBE_MEM_LEN 65536

/* What KVM must be able to do, and what is missed when it cannot. */
struct arch_probe_cap {
	int cap;
	const char *name;
	const char *needed_for;
	bool optional;
};

extern const struct arch_probe_cap arch_probe_caps[];
extern const size_t arch_probe_cap_count;

/* Program 0 counts in the most privileged mode for the rate; the others each try one thing. */
extern const size_t arch_probe_program_count;
const char *arch_probe_program_name(size_t program);

/* True when the CPU says that it has virtualization, so that KVM has no reason to interpret. Cheap.
 */
bool arch_probe_cpu_virtualizes(void);

/* Before the vCPU is created. 0 or -errno. */
int arch_probe_vm_init(int vm_fd) MUST_CHECK;
/* Puts PROGRAM into MEM and the vCPU at its start; may be called again for the next. -ENOTSUP when
 * this CPU has nothing to try there. 0 or -errno. */
int arch_probe_load(size_t program, int kvm_fd, int vcpu_fd, uint8_t *mem) MUST_CHECK;
/* After an exit: true when the program came to its end as it should. */
bool arch_probe_passed(const struct kvm_run *run);
/* Instructions of program 0 run so far. */
int arch_probe_count(int vcpu_fd, uint64_t *out) MUST_CHECK;

#endif
