/*
 * The life of a KVM virtual machine.
 */
#include "vmm/vm.h"

#include <linux/kvm.h>
#include <string.h>
#include <sys/ioctl.h>

#include "arch/arch.h"
#include "vmm/log.h"

static int vm_set_slot(struct vm *vm, gpa_t gpa, uint64_t len, void *host, uint32_t flags)
{
	struct kvm_userspace_memory_region slot = {
		.slot = vm->slot_count,
		.flags = flags,
		.guest_phys_addr = gpa,
		.memory_size = len,
		.userspace_addr = (uintptr_t)host,
	};

	if (ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, &slot) < 0)
		return -errno;
	vm->slot_count++;
	return 0;
}

static int vm_add_memory(struct vm *vm, uint64_t memory_len)
{
	struct arch_ram_layout layout;
	int ret = arch_ram_layout(memory_len, &layout);

	for (unsigned i = 0; ret == 0 && i < layout.range_count; i++) {
		gpa_t gpa = layout.ranges[i].gpa;
		uint64_t len = layout.ranges[i].len;

		ret = guest_mem_add(&vm->mem, gpa, len);
		if (ret < 0)
			return ret;
		ret = vm_set_slot(vm, gpa, len, guest_mem_ptr(&vm->mem, gpa, len), 0);
		if (ret < 0)
			return log_errno(ret, "give the guest memory at %#llx",
					 (unsigned long long)gpa);
	}
	return ret;
}

int vm_add_readonly_slot(struct vm *vm, gpa_t gpa, uint64_t len, void *host)
{
	return vm_set_slot(vm, gpa, len, host, KVM_MEM_READONLY);
}

/* KVM_IOEVENTFD for one bus (KVM API 4.59). */
static int vm_doorbell(const struct vm *vm, const struct bus_doorbell *bell, bool attach,
		       uint32_t flags)
{
	struct kvm_ioeventfd io = { .addr = bell->addr, .fd = bell->fd, .flags = flags };

	if (bell->match) {
		io.flags |= KVM_IOEVENTFD_FLAG_DATAMATCH;
		io.datamatch = bell->value;
	}
	io.len = bell->width;
	if (!attach)
		io.flags |= KVM_IOEVENTFD_FLAG_DEASSIGN;
	return ioctl(vm->fd, KVM_IOEVENTFD, &io) < 0 ? -errno : 0;
}

static int vm_mmio_doorbell(void *opaque, const struct bus_doorbell *bell, bool attach)
{
	return vm_doorbell(opaque, bell, attach, 0);
}

static int vm_pio_doorbell(void *opaque, const struct bus_doorbell *bell, bool attach)
{
	return vm_doorbell(opaque, bell, attach, KVM_IOEVENTFD_FLAG_PIO);
}

static const struct bus_kernel_ops vm_mmio_kernel = { .doorbell = vm_mmio_doorbell };
static const struct bus_kernel_ops vm_pio_kernel = { .doorbell = vm_pio_doorbell };

int vm_create(struct vm *vm, const struct kvm_host *kvm, uint64_t memory_len)
{
	memset(vm, 0, sizeof(*vm));
	vm->kvm = kvm;
	vm->fd = -1;
	if (bus_init(&vm->mmio, &vm_mmio_kernel, vm) < 0 ||
	    bus_init(&vm->pio, &vm_pio_kernel, vm) < 0)
		return log_errno(ENOMEM, "build the machine");
	do {
		vm->fd = ioctl(vm->kvm->fd, KVM_CREATE_VM, 0ul);
	} while (vm->fd < 0 && errno == EINTR);
	if (vm->fd < 0)
		return log_errno(errno, "create a virtual machine (KVM_CREATE_VM)");
	return vm_add_memory(vm, memory_len);
}

int vm_create_irqchip(struct vm *vm)
{
	int ret = arch_vm_init(vm->kvm->fd, vm->fd);

	return ret < 0 ? ret : irq_kvm_init(&vm->irq, vm->fd);
}

void vm_destroy(struct vm *vm)
{
	bus_fini(&vm->pio);
	bus_fini(&vm->mmio);
	irq_kvm_fini(&vm->irq);
	if (vm->fd >= 0)
		close(vm->fd);
	guest_mem_fini(&vm->mem);
	vm->fd = -1;
}
