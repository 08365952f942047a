/*
 * MSRs that firmware would have set and that KVM leaves at their reset value. All of them are
 * optional: one that this KVM refuses is skipped, even where KVM lists it.
 */
#include "arch/x86_64/msr.h"

#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>

#include <linux/kvm.h>

#include "vmm/log.h"

#define MSR_IA32_MISC_ENABLE	 0x1a0
#define MISC_ENABLE_FAST_STRING	 (1u << 0) /* without it Linux does not use "rep movsb" */
#define MISC_ENABLE_BTS_UNAVAIL	 (1u << 11)
#define MISC_ENABLE_PEBS_UNAVAIL (1u << 12)
#define MSR_MTRR_DEF_TYPE	 0x2ff
#define MTRR_DEF_TYPE_ENABLED	 (1u << 11) /* Linux up to 6.2 has no PAT without MTRRs */
#define MTRR_DEF_TYPE_WRITE_BACK 6u

static const struct kvm_msr_entry msr_values[] = {
	{ .index = MSR_IA32_MISC_ENABLE,
	  .data = MISC_ENABLE_FAST_STRING | MISC_ENABLE_BTS_UNAVAIL | MISC_ENABLE_PEBS_UNAVAIL },
	{ .index = MSR_MTRR_DEF_TYPE, .data = MTRR_DEF_TYPE_ENABLED | MTRR_DEF_TYPE_WRITE_BACK },
};

#define MSR_COUNT ARRAY_SIZE(msr_values)

int msr_init(int vcpu_fd)
{
	struct { /* a struct kvm_msrs with its entries */
		uint32_t count;
		uint32_t padding;
		struct kvm_msr_entry entries[MSR_COUNT];
	} msrs;

	for (size_t done = 0; done < MSR_COUNT; done++) {
		int ret;

		msrs.padding = 0;
		msrs.count = (uint32_t)(MSR_COUNT - done);
		memcpy(msrs.entries, &msr_values[done], (MSR_COUNT - done) * sizeof(msr_values[0]));
		/* Returns how many it set before one that it refused. */
		ret = ioctl(vcpu_fd, KVM_SET_MSRS, &msrs);
		if (ret < 0)
			return log_errno(errno, "KVM_SET_MSRS");
		done += (size_t)ret;
		if (done < MSR_COUNT)
			log_debug("KVM refuses MSR 0x%x", msr_values[done].index);
	}
	return 0;
}
