/* See fake_irq.h. */
#include "tests/support/fake_irq.h"

#include <string.h>
#include <sys/eventfd.h>

static int fake_wire(struct irq_router *router, struct irq_line *line, uint32_t gsi)
{
	(void)router;
	*line = (struct irq_line){ .fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), .gsi = gsi };
	return line->fd < 0 ? -errno : 0;
}

static int fake_alloc(struct irq_router *router, struct irq_line *line)
{
	struct fake_irq *irq = container_of(router, struct fake_irq, router);

	if (irq->fail_after && fake_irq_in_use(irq) >= irq->fail_after)
		return -ENOSPC;
	for (uint32_t i = 0; i < FAKE_IRQ_LINES; i++) {
		int fd;

		if (irq->lines[i].used)
			continue;
		fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (fd < 0)
			return -errno;
		irq->lines[i].used = true;
		irq->lines[i].fd = fd;
		*line = (struct irq_line){ .fd = fd, .gsi = i, .masked = true };
		return 0;
	}
	return -ENOSPC;
}

static int fake_set(struct irq_router *router, const struct irq_line *line, uint64_t addr,
		    uint32_t data)
{
	struct fake_irq *irq = container_of(router, struct fake_irq, router);

	irq->lines[line->gsi].addr = addr;
	irq->lines[line->gsi].data = data;
	irq->lines[line->gsi].sets++;
	return irq->set_result;
}

static void fake_release(struct irq_router *router, struct irq_line *line)
{
	struct fake_irq *irq = container_of(router, struct fake_irq, router);

	irq->lines[line->gsi].used = false;
	close(line->fd);
}

static const struct irq_router_ops fake_ops = {
	.wire = fake_wire,
	.msi_alloc = fake_alloc,
	.msi_set = fake_set,
	.release = fake_release,
};

void fake_irq_init(struct fake_irq *irq)
{
	memset(irq, 0, sizeof(*irq));
	irq->router.ops = &fake_ops;
}

unsigned fake_irq_in_use(const struct fake_irq *irq)
{
	unsigned count = 0;

	for (unsigned i = 0; i < FAKE_IRQ_LINES; i++)
		count += irq->lines[i].used;
	return count;
}

bool fake_irq_raised(const struct fake_irq *irq, uint32_t gsi)
{
	uint64_t value;

	return read(irq->lines[gsi].fd, &value, sizeof(value)) == (ssize_t)sizeof(value);
}
