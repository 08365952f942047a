/*
 * The interrupt chips: local APICs, the I/O APIC and the pair of 8259s, all inside KVM, so that no
 * interrupt and no acknowledgement reaches user space. No 8254 timer: kvmclock and the TSC-deadline
 * timer take its place, and a hardware-reduced ACPI machine has none.
 *
 * Called once on the main thread, after the memory slots (a slot added later waits for an RCU grace
 * period of some milliseconds) and before the first vCPU.
 */
#include <sys/ioctl.h>

#include <linux/kvm.h>

#include "arch/arch.h"
#include "arch/x86_64/layout.h"
#include "vmm/log.h"

int arch_vm_init(int kvm_fd, int vm_fd)
{
	uint64_t identity = LAYOUT_IDENTITY_MAP_GPA;

	/* Pages that processors without unrestricted-guest mode need for real mode; KVM knows
	 * whether it does. Must precede the first vCPU. */
	if (ioctl(kvm_fd, KVM_CHECK_EXTENSION, KVM_CAP_SET_IDENTITY_MAP_ADDR) > 0 &&
	    ioctl(vm_fd, KVM_SET_IDENTITY_MAP_ADDR, &identity))
		return log_errno(errno, "KVM_SET_IDENTITY_MAP_ADDR");
	if (ioctl(kvm_fd, KVM_CHECK_EXTENSION, KVM_CAP_SET_TSS_ADDR) > 0 &&
	    ioctl(vm_fd, KVM_SET_TSS_ADDR, (unsigned long)LAYOUT_TSS_GPA))
		return log_errno(errno, "KVM_SET_TSS_ADDR");
	if (ioctl(vm_fd, KVM_CREATE_IRQCHIP, 0))
		return log_errno(errno, "KVM_CREATE_IRQCHIP: no interrupt chip in the kernel");
	return 0;
}
