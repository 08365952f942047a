/*
 * /dev/kvm, and what it says of itself. Of all calls of a start KVM_GET_SUPPORTED_CPUID takes the
 * longest where CPUID itself is emulated: 0.7 ms.
 */
#include "vmm/kvm_host.h"

#include <fcntl.h>
#include <linux/kvm.h>
#include <string.h>
#include <sys/ioctl.h>

#include "arch/arch.h"
#include "vmm/log.h"

/* What this monitor cannot do without, on every architecture. */
static const struct {
	int cap;
	const char *name;
} required_caps[] = {
	{ KVM_CAP_USER_MEMORY, "KVM_CAP_USER_MEMORY" },
	{ KVM_CAP_IRQCHIP, "KVM_CAP_IRQCHIP" },
	{ KVM_CAP_IRQFD, "KVM_CAP_IRQFD" },
	{ KVM_CAP_IRQ_ROUTING, "KVM_CAP_IRQ_ROUTING" },
	{ KVM_CAP_IMMEDIATE_EXIT, "KVM_CAP_IMMEDIATE_EXIT" },
};

static int kvm_host_open_device(struct kvm_host *kvm)
{
	int err;

	kvm->fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (kvm->fd >= 0)
		return 0;
	err = errno;
	if (err == EACCES || err == EPERM)
		return log_errno(err, "open /dev/kvm (add the user to group kvm)");
	if (err == ENOENT)
		return log_errno(err, "open /dev/kvm (load the module kvm-intel or kvm-amd, "
				      "or enable nested virtualization)");
	return log_errno(err, "open /dev/kvm");
}

static int kvm_host_check(struct kvm_host *kvm)
{
	int version = ioctl(kvm->fd, KVM_GET_API_VERSION, 0);
	int run_len;

	if (version != KVM_API_VERSION) {
		log_err("/dev/kvm speaks version %d of its interface, not %d", version,
			KVM_API_VERSION);
		return -ENOTSUP;
	}
	for (size_t i = 0; i < ARRAY_SIZE(required_caps); i++) {
		if (ioctl(kvm->fd, KVM_CHECK_EXTENSION, required_caps[i].cap) > 0)
			continue;
		log_err("/dev/kvm lacks %s; a newer host kernel has it", required_caps[i].name);
		return -ENOTSUP;
	}
	run_len = ioctl(kvm->fd, KVM_GET_VCPU_MMAP_SIZE, 0);
	if (run_len < 0)
		return log_errno(errno, "KVM_GET_VCPU_MMAP_SIZE");
	kvm->run_len = (size_t)run_len;
	return 0;
}

int kvm_host_open(struct kvm_host *kvm)
{
	int ret;

	memset(kvm, 0, sizeof(*kvm));
	ret = kvm_host_open_device(kvm);
	return ret < 0 ? ret : kvm_host_check(kvm);
}

void kvm_host_close(struct kvm_host *kvm)
{
	arch_cpu_model_destroy(kvm->model);
	kvm->model = NULL;
	if (kvm->fd >= 0)
		close(kvm->fd);
	kvm->fd = -1;
}

int kvm_host_cpu_model(struct kvm_host *kvm, unsigned cpu_count, struct arch_cpu_model **model)
{
	int ret = kvm->model ? 0 : arch_cpu_model_create(&kvm->model, kvm->fd, cpu_count);

	*model = kvm->model;
	return ret;
}
