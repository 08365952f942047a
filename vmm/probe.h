/*
 * What kind of /dev/kvm this is: one that runs guest code on the CPU's own virtualization, or one
 * that interprets the guest's kernel and cannot run a stock one. Found out by running tiny bare
 * guests. Used by `vmm doctor`, and by `vmm run` to explain why a kernel did not start.
 */
#ifndef VMM_PROBE_H
#define VMM_PROBE_H

#include <stdbool.h>
#include <stdint.h>

#include "vmm/err.h"

#define PROBE_FAILED_MAX 16

struct probe_result {
	uint64_t instructions_per_s; /* in the guest's most privileged mode */
	bool software;		     /* interpreted: far slower than any CPU */
	unsigned failed_count;
	const char *failed[PROBE_FAILED_MAX]; /* what a stock kernel does and this cannot; static */
};

/*
 * Runs the guests on a virtual machine of its own, created and destroyed here, on the calling
 * thread. Takes a few ms on hardware, at most about a second elsewhere. KVM_FD is borrowed. SIGURG
 * must have no handler that matters. 0 or -errno, not logged.
 */
int probe_kvm(int kvm_fd, struct probe_result *out) MUST_CHECK;

/*
 * One line: why a stock kernel cannot run here, and where it can. False when it can, and BUF is
 * untouched.
 */
bool probe_explain(const struct probe_result *result, char *buf, size_t buf_len);

/*
 * Warns in one line when /dev/kvm cannot run a stock kernel, before one is tried. Costs next to
 * nothing where the CPU has virtualization, else what probe_kvm takes. Setup, main thread.
 */
void probe_warn_of_software_kvm(void);

#endif
