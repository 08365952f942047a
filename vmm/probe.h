/*
 * What kind of /dev/kvm this is: one that runs guest code on the CPU's own virtualization, or one
 * that interprets the guest's kernel and cannot run a stock one. Found out by running tiny bare
 * guests. Used by `vmm doctor`, and by `vmm run` to explain why a kernel did not start.
 */
#ifndef VMM_PROBE_H
#define VMM_PROBE_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
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

/* One after the other: what KVM_FD lacks. Start with *NEXT 0; false at the end. Texts are static.
 */
struct probe_lack {
	const char *cap;	/* "SIGNAL_MSI" */
	const char *needed_for; /* "message-signalled interrupts" */
	bool optional;
};
bool probe_next_lack(int kvm_fd, size_t *next, struct probe_lack *out);

/*
 * One line: why a stock kernel cannot run here, and where it can. False when it can, and BUF is
 * untouched.
 */
bool probe_explain(const struct probe_result *result, char *buf, size_t buf_len);

/*
 * Warns in one line when /dev/kvm cannot run a stock kernel. On a thread of its own, so that a
 * start waits for nothing; where the CPU has virtualization there is nothing to find out and no
 * thread. Main thread.
 */
struct probe_warning {
	pthread_t thread;
	bool started;
};

/* KERNEL_PATH is borrowed until the join; one that is no Linux starts nothing. */
void probe_warning_start(struct probe_warning *warning, const char *kernel_path);
void probe_warning_join(struct probe_warning *warning);

#endif
