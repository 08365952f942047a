/*
 * One thread a vCPU: enter the guest, hand an exit to the bus it is for, enter again. Queue work
 * never happens here.
 */
#include "vmm/vcpu.h"

#include <linux/kvm.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "vmm/log.h"

#define VCPU_KICK_SIGNAL SIGRTMIN
#define VCPU_STACK_LEN	 (128ul * 1024)

static void vcpu_on_kick(int signal)
{
	(void)signal; /* its arrival alone ends KVM_RUN */
}

int vcpu_setup_signal(void)
{
	struct sigaction action = { .sa_handler = vcpu_on_kick };

	sigemptyset(&action.sa_mask);
	return sigaction(VCPU_KICK_SIGNAL, &action, NULL) < 0 ? log_errno(errno, "sigaction") : 0;
}

int vcpu_create(struct vcpu *vcpu, struct vm *vm, struct end *end,
		const struct arch_cpu_model *model, unsigned index)
{
	int ret;

	memset(vcpu, 0, sizeof(*vcpu));
	vcpu->vm = vm;
	vcpu->end = end;
	vcpu->index = index;
	vcpu->fd = ioctl(vm->fd, KVM_CREATE_VCPU, (unsigned long)index);
	if (vcpu->fd < 0)
		return log_errno(errno, "create vCPU %u", index);
	vcpu->run = mmap(NULL, vm->kvm->run_len, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu->fd, 0);
	if (vcpu->run == MAP_FAILED) {
		ret = log_errno(errno, "map vCPU %u", index);
		vcpu->run = NULL;
		vcpu_destroy(vcpu);
		return ret;
	}
	ret = arch_vcpu_init(model, vcpu->fd, index);
	if (ret < 0)
		vcpu_destroy(vcpu);
	return ret;
}

int vcpu_set_entry(struct vcpu *vcpu, const struct arch_boot *boot)
{
	return arch_vcpu_set_entry(&vcpu->vm->mem, vcpu->fd, vcpu->index, boot);
}

void vcpu_destroy(struct vcpu *vcpu)
{
	if (vcpu->run)
		munmap(vcpu->run, vcpu->vm->kvm->run_len);
	if (vcpu->fd >= 0)
		close(vcpu->fd);
	vcpu->run = NULL;
	vcpu->fd = -1;
}

static void vcpu_pio(struct vcpu *vcpu)
{
	const struct kvm_run *run = vcpu->run;
	uint8_t *data = (uint8_t *)vcpu->run + run->io.data_offset;

	/* String instructions deliver several items at once. */
	for (uint32_t i = 0; i < run->io.count; i++, data += run->io.size) {
		if (run->io.direction == KVM_EXIT_IO_IN)
			bus_read(&vcpu->vm->pio, run->io.port, run->io.size, data);
		else
			bus_write(&vcpu->vm->pio, run->io.port, run->io.size, data);
	}
	vcpu->stats.pio++;
}

/* A page-crossing access can be up to 8 bytes of any length: devices are offered only 1, 2, 4
 * and 8. */
static void vcpu_mmio(struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;
	unsigned len = run->mmio.len;

	vcpu->stats.mmio++;
	if (len > sizeof(run->mmio.data) || (len & (len - 1))) {
		memset(run->mmio.data, 0xff, sizeof(run->mmio.data));
		return;
	}
	if (run->mmio.is_write)
		bus_write(&vcpu->vm->mmio, run->mmio.phys_addr, len, run->mmio.data);
	else
		bus_read(&vcpu->vm->mmio, run->mmio.phys_addr, len, run->mmio.data);
}

static void vcpu_failed(struct vcpu *vcpu)
{
	char detail[sizeof(vcpu->end->detail)];

	arch_vcpu_dump(vcpu->fd, &vcpu->vm->mem, vcpu->run, detail, sizeof(detail));
	end_say_detail(vcpu->end, END_KVM, vcpu->index, detail);
}

static void vcpu_system_event(struct vcpu *vcpu)
{
	switch (vcpu->run->system_event.type) {
	case KVM_SYSTEM_EVENT_SHUTDOWN:
		end_say(vcpu->end, END_POWEROFF, 0);
		break;
	case KVM_SYSTEM_EVENT_RESET:
		end_say(vcpu->end, END_RESET, 0);
		break;
	case KVM_SYSTEM_EVENT_CRASH:
		end_say(vcpu->end, END_PANIC, 0);
		break;
	default:
		vcpu_failed(vcpu);
	}
}

/* False when the vCPU cannot go on. */
static bool vcpu_handle_exit(struct vcpu *vcpu)
{
	switch (vcpu->run->exit_reason) {
	case KVM_EXIT_IO:
		vcpu_pio(vcpu);
		return true;
	case KVM_EXIT_MMIO:
		vcpu_mmio(vcpu);
		return true;
	case KVM_EXIT_INTR:
	case KVM_EXIT_IRQ_WINDOW_OPEN:
		return true;
	case KVM_EXIT_SHUTDOWN:
		end_say_detail(vcpu->end, END_TRIPLE_FAULT, vcpu->index, "");
		return false;
	case KVM_EXIT_SYSTEM_EVENT:
		vcpu_system_event(vcpu);
		return false;
	default: /* KVM_EXIT_INTERNAL_ERROR, KVM_EXIT_FAIL_ENTRY, and what we do not know */
		vcpu_failed(vcpu);
		return false;
	}
}

/* Also once the machine's end is said: a guest that switched itself off would spin until the main
 * thread takes notice. */
static bool vcpu_stopping(const struct vcpu *vcpu)
{
	return __atomic_load_n(&vcpu->stop, __ATOMIC_ACQUIRE) || end_said(vcpu->end);
}

static void vcpu_run_failed(struct vcpu *vcpu, int err)
{
	if (err == EFAULT) {
		log_err("vCPU %u: memory of the guest is gone: was the file of its kernel or "
			"initrd "
			"overwritten? write such files anew and rename them",
			vcpu->index);
		/* Nothing to dump: looking at that memory would end us. */
		end_say(vcpu->end, END_HOST, 0);
		return;
	}
	log_errno(err, "run vCPU %u (KVM_RUN)", vcpu->index);
	vcpu_failed(vcpu);
}

static void *vcpu_thread(void *opaque)
{
	struct vcpu *vcpu = opaque;

	if (vcpu->on_first_run)
		vcpu->on_first_run(vcpu->first_run_opaque);
	while (!vcpu_stopping(vcpu)) {
		if (ioctl(vcpu->fd, KVM_RUN, 0) < 0) {
			if (errno == EINTR || errno == EAGAIN) {
				vcpu->stats.interrupted++;
				continue;
			}
			vcpu_run_failed(vcpu, errno);
			break;
		}
		vcpu->stats.exits++;
		if (!vcpu_handle_exit(vcpu))
			break;
	}
	return NULL;
}

int vcpu_start(struct vcpu *vcpu)
{
	pthread_attr_t attr;
	char name[16];
	int err;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, VCPU_STACK_LEN);
	err = pthread_create(&vcpu->thread, &attr, vcpu_thread, vcpu);
	pthread_attr_destroy(&attr);
	if (err)
		return log_errno(err, "start the thread of vCPU %u", vcpu->index);
	vcpu->started = true;
	snprintf(name, sizeof(name), "vcpu%u", vcpu->index);
	pthread_setname_np(vcpu->thread, name);
	return 0;
}

void vcpu_request_stop(struct vcpu *vcpu)
{
	if (!vcpu->started)
		return;
	__atomic_store_n(&vcpu->stop, true, __ATOMIC_RELEASE);
	/* Whether the thread is in the guest, about to enter it or in a device: it will see one of
	 * the two. */
	__atomic_store_n(&vcpu->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
	pthread_kill(vcpu->thread, VCPU_KICK_SIGNAL);
}

void vcpu_join(struct vcpu *vcpu)
{
	if (vcpu->started)
		pthread_join(vcpu->thread, NULL);
	vcpu->started = false;
}
