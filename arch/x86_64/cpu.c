/*
 * vCPUs before their first instruction: CPUID and MSRs. The model, asked from KVM once, is shared
 * read-only by all vCPUs, which may set themselves up on their own threads.
 *
 * The local APIC is left as KVM resets it: LINT0 of the first vCPU takes external interrupts
 * already, and the operating system programs LINT1 by the MADT.
 */
#include <assert.h>
#include <stddef.h>
#include <sys/ioctl.h>

#include <linux/kvm.h>

#include "arch/arch.h"
#include "arch/x86_64/cpuid.h"
#include "arch/x86_64/msr.h"
#include "vmm/log.h"

struct arch_cpu_model {
	struct cpuid_facts facts;
	struct cpuid_table supported; /* by KVM */
	struct cpuid_table cpuid;     /* what the vCPUs get */
};

static_assert(offsetof(struct cpuid_table, count) == offsetof(struct kvm_cpuid2, nent) &&
		      offsetof(struct cpuid_table, entries) == offsetof(struct kvm_cpuid2, entries),
	      "a cpuid_table is a struct kvm_cpuid2");

int arch_cpu_model_create(struct arch_cpu_model **out, int kvm_fd, unsigned cpu_count)
{
	auto_free struct arch_cpu_model *model = NULL;

	if (!cpu_count || cpu_count > ARCH_CPUS_MAX) {
		log_err("%u CPUs: from 1 to %d are possible", cpu_count, ARCH_CPUS_MAX);
		return -EINVAL;
	}
	model = calloc(1, sizeof(*model));
	if (!model)
		return log_errno(ENOMEM, "CPU model");
	model->facts.cpu_count = cpu_count;
	model->supported.count = CPUID_ENTRIES_MAX;
	if (ioctl(kvm_fd, KVM_GET_SUPPORTED_CPUID, &model->supported))
		return log_errno(errno, "KVM_GET_SUPPORTED_CPUID");
	model->facts.tsc_deadline =
		ioctl(kvm_fd, KVM_CHECK_EXTENSION, KVM_CAP_TSC_DEADLINE_TIMER) > 0;
	*out = model;
	model = NULL;
	return 0;
}

int arch_cpu_model_complete(struct arch_cpu_model *model, int vm_fd)
{
	/* A machine-wide question since Linux 5.18; without an answer the leaves are left out. */
	int ret = ioctl(vm_fd, KVM_GET_TSC_KHZ, 0);

	if (ret > 0)
		model->facts.tsc_khz = (uint32_t)ret;
	model->cpuid = model->supported;
	ret = cpuid_apply(&model->cpuid, &model->facts);
	return ret ? log_errno(ret, "CPUID: more leaves than there is room for") : 0;
}

void arch_cpu_model_destroy(struct arch_cpu_model *model)
{
	free(model);
}

int arch_vcpu_init(const struct arch_cpu_model *model, int vcpu_fd, unsigned index)
{
	struct cpuid_table cpuid = model->cpuid;

	cpuid_set_apic_id(&cpuid, index);
	if (ioctl(vcpu_fd, KVM_SET_CPUID2, &cpuid))
		return log_errno(errno, "KVM_SET_CPUID2 on vCPU %u", index);
	return msr_init(vcpu_fd);
}
