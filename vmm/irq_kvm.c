/*
 * irqfd and GSI routing (KVM API 4.52, 4.75).
 *
 * A wired line is an irqfd on one of the interrupt chip's pins, which KVM routes from the start. An
 * MSI line gets its irqfd when the guest first gives it a message: KVM_SET_GSI_ROUTING replaces the
 * whole table and waits for a grace period, so it is called only when a message really changed.
 */
#include "vmm/irq_kvm.h"

#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>

#include ARCH_LAYOUT_H
#include "vmm/log.h"

#define MSI_GSI_BASE LAYOUT_IRQ_COUNT

static struct irq_kvm *irq_of(struct irq_router *router)
{
	return container_of(router, struct irq_kvm, router);
}

static int irq_kvm_irqfd(const struct irq_kvm *irq, const struct irq_line *line, uint32_t flags)
{
	struct kvm_irqfd irqfd = { .fd = (uint32_t)line->fd, .gsi = line->gsi, .flags = flags };

	return ioctl(irq->vm_fd, KVM_IRQFD, &irqfd) < 0 ? -errno : 0;
}

static int irq_kvm_open(struct irq_line *line, uint32_t gsi)
{
	*line = (struct irq_line){ .fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), .gsi = gsi };
	return line->fd < 0 ? log_errno(errno, "create an interrupt line") : 0;
}

static int irq_kvm_wire(struct irq_router *router, struct irq_line *line, uint32_t gsi)
{
	int ret;

	if (gsi >= LAYOUT_IRQ_COUNT)
		return log_errno(EINVAL, "interrupt line %u", gsi);
	ret = irq_kvm_open(line, gsi);
	if (ret < 0)
		return ret;
	ret = irq_kvm_irqfd(irq_of(router), line, 0);
	if (ret < 0) {
		close(line->fd);
		line->fd = -1;
		return log_errno(ret, "connect interrupt line %u (KVM_IRQFD)", gsi);
	}
	return 0;
}

static int irq_kvm_msi_alloc(struct irq_router *router, struct irq_line *line)
{
	struct irq_kvm *irq = irq_of(router);
	int ret;

	for (uint32_t i = 0; i < IRQ_KVM_MSI_MAX; i++) {
		if (irq->used[i])
			continue;
		ret = irq_kvm_open(line, MSI_GSI_BASE + i);
		if (ret < 0)
			return ret;
		line->masked = true;
		irq->used[i] = true;
		return 0;
	}
	return log_errno(ENOSPC, "more than %d interrupt messages; fewer queues or devices may fit",
			 IRQ_KVM_MSI_MAX);
}

/* The table's entry for MSI number NUMBER, made when there is none yet. Lock held. */
static struct kvm_irq_routing_entry *irq_kvm_entry(struct irq_kvm *irq, uint32_t number)
{
	struct kvm_irq_routing_entry *entry;

	if (irq->slot_gsi[number])
		return &irq->table->entries[irq->slot_gsi[number] - 1];
	irq->slot_gsi[number] = ++irq->table->nr;
	entry = &irq->table->entries[irq->table->nr - 1];
	*entry = (struct kvm_irq_routing_entry){ .gsi = MSI_GSI_BASE + number,
						 .type = KVM_IRQ_ROUTING_MSI };
	return entry;
}

/* Tells KVM the message unless it knows it; a message that KVM refuses is not kept. Lock held. */
static int irq_kvm_route(struct irq_kvm *irq, uint32_t number, uint64_t addr, uint32_t data)
{
	bool known = irq->slot_gsi[number] != 0;
	struct kvm_irq_routing_entry *entry = irq_kvm_entry(irq, number);
	struct kvm_irq_routing_msi old = entry->u.msi;
	int ret;

	if (known && old.address_lo == (uint32_t)addr && old.address_hi == (uint32_t)(addr >> 32) &&
	    old.data == data)
		return 0;
	entry->u.msi.address_lo = (uint32_t)addr;
	entry->u.msi.address_hi = (uint32_t)(addr >> 32);
	entry->u.msi.data = data;
	if (ioctl(irq->vm_fd, KVM_SET_GSI_ROUTING, irq->table) == 0)
		return 0;
	ret = -errno;
	entry->u.msi = old;
	if (!known) {
		irq->table->nr--;
		irq->slot_gsi[number] = 0;
	}
	return ret;
}

static int irq_kvm_msi_set(struct irq_router *router, const struct irq_line *line, uint64_t addr,
			   uint32_t data)
{
	struct irq_kvm *irq = irq_of(router);
	uint32_t number = line->gsi - MSI_GSI_BASE;
	int ret;

	pthread_mutex_lock(&irq->lock);
	ret = irq_kvm_route(irq, number, addr, data);
	if (ret == 0 && !irq->attached[number]) {
		ret = irq_kvm_irqfd(irq, line, 0);
		irq->attached[number] = ret == 0;
	}
	pthread_mutex_unlock(&irq->lock);
	return ret;
}

static void irq_kvm_release(struct irq_router *router, struct irq_line *line)
{
	struct irq_kvm *irq = irq_of(router);
	uint32_t number = line->gsi - MSI_GSI_BASE;

	if (line->gsi < MSI_GSI_BASE) {
		(void)irq_kvm_irqfd(irq, line, KVM_IRQFD_FLAG_DEASSIGN);
	} else {
		pthread_mutex_lock(&irq->lock);
		if (irq->attached[number])
			(void)irq_kvm_irqfd(irq, line, KVM_IRQFD_FLAG_DEASSIGN);
		irq->attached[number] = false;
		irq->used[number] = false; /* its place in the table is reused with the number */
		pthread_mutex_unlock(&irq->lock);
	}
	close(line->fd);
	line->fd = -1;
}

static const struct irq_router_ops irq_kvm_ops = {
	.wire = irq_kvm_wire,
	.msi_alloc = irq_kvm_msi_alloc,
	.msi_set = irq_kvm_msi_set,
	.release = irq_kvm_release,
};

int irq_kvm_init(struct irq_kvm *irq, int vm_fd)
{
	size_t entries = LAYOUT_IRQ_COUNT + IRQ_KVM_MSI_MAX;

	*irq = (struct irq_kvm){ .router.ops = &irq_kvm_ops, .vm_fd = vm_fd };
	irq->table = calloc(1, sizeof(*irq->table) + entries * sizeof(irq->table->entries[0]));
	irq->slot_gsi = calloc(IRQ_KVM_MSI_MAX, sizeof(*irq->slot_gsi));
	irq->used = calloc(IRQ_KVM_MSI_MAX, sizeof(*irq->used));
	irq->attached = calloc(IRQ_KVM_MSI_MAX, sizeof(*irq->attached));
	pthread_mutex_init(&irq->lock, NULL);
	if (!irq->table || !irq->slot_gsi || !irq->used || !irq->attached) {
		irq_kvm_fini(irq);
		return log_errno(ENOMEM, "interrupt routing table");
	}
	for (uint32_t pin = 0; pin < LAYOUT_IRQ_COUNT; pin++)
		irq->table->entries[irq->table->nr++] = (struct kvm_irq_routing_entry){
			.gsi = pin,
			.type = KVM_IRQ_ROUTING_IRQCHIP,
			.u.irqchip = { .irqchip = LAYOUT_IRQCHIP, .pin = pin },
		};
	return 0;
}

void irq_kvm_fini(struct irq_kvm *irq)
{
	if (!irq->router.ops)
		return;
	pthread_mutex_destroy(&irq->lock);
	free(irq->table);
	free(irq->slot_gsi);
	free(irq->used);
	free(irq->attached);
	memset(irq, 0, sizeof(*irq));
}
