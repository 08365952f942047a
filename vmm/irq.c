/*
 * Interrupt lines, the part that does not know KVM. Raising is done on any thread.
 */
#include "vmm/irq.h"

static void irq_ring(const struct irq_line *line)
{
	static const uint64_t one = 1;

	if (write(line->fd, &one, sizeof(one)) < 0) {
		/* EAGAIN: the counter is at its maximum, so the line is raised already. */
	}
}

/* Delivers what was remembered, once, whichever thread sees it first. */
static void irq_deliver_pending(struct irq_line *line)
{
	if (__atomic_exchange_n(&line->pending, false, __ATOMIC_SEQ_CST))
		irq_ring(line);
}

void irq_raise(struct irq_line *line)
{
	if (line->fd < 0)
		return;
	if (!__atomic_load_n(&line->masked, __ATOMIC_ACQUIRE)) {
		irq_ring(line);
		return;
	}
	__atomic_store_n(&line->pending, true, __ATOMIC_SEQ_CST);
	if (!__atomic_load_n(&line->masked, __ATOMIC_SEQ_CST))
		irq_deliver_pending(line); /* unmasked meanwhile */
}

int irq_wire(struct irq_router *router, struct irq_line *line, uint32_t gsi)
{
	return router->ops->wire(router, line, gsi);
}

int irq_msi_alloc(struct irq_router *router, struct irq_line *line)
{
	return router->ops->msi_alloc(router, line);
}

int irq_msi_set(struct irq_router *router, struct irq_line *line, uint64_t addr, uint32_t data,
		bool masked)
{
	int ret = 0;

	if (!masked)
		ret = router->ops->msi_set(router, line, addr, data);
	__atomic_store_n(&line->masked, masked || ret < 0, __ATOMIC_SEQ_CST);
	if (!masked && ret == 0)
		irq_deliver_pending(line);
	return ret;
}

void irq_release(struct irq_router *router, struct irq_line *line)
{
	if (line->fd >= 0)
		router->ops->release(router, line);
	*line = IRQ_LINE_NONE;
}
