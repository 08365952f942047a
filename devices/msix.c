/*
 * MSI-X for PCI functions (PCI Local Bus 3.0, section 6.8.2). Registers on vCPU threads under the
 * function's lock, raises on any thread.
 *
 * While a vector is masked, by itself, by the function or because MSI-X is off, its line keeps a
 * raise until it is unmasked (vmm/irq.h). Drivers write address and data of masked vectors word by
 * word; the router hears of it when a vector is unmasked, and of changes while it is.
 */
#include "devices/msix.h"

#include <assert.h>
#include <linux/pci_regs.h>
#include <string.h>

enum { ADDR_LOW, ADDR_HIGH, DATA, CONTROL, ENTRY_WORDS };

_Static_assert(ENTRY_WORDS * 4 == PCI_MSIX_ENTRY_SIZE, "layout of an entry");

int msix_init(struct msix *msix, struct irq_router *router, unsigned count, const char *name,
	      struct log_limit *limit)
{
	assert(count <= MSIX_VECTORS_MAX);
	*msix = (struct msix){ .name = name, .router = router, .limit = limit };
	while (msix->count < count) {
		struct msix_vector *vector = &msix->vectors[msix->count];
		int ret;

		vector->entry[CONTROL] = PCI_MSIX_ENTRY_CTRL_MASKBIT;
		ret = irq_msi_alloc(router, &vector->line);
		if (ret < 0)
			return ret;
		msix->count++;
	}
	return 0;
}

void msix_fini(struct msix *msix)
{
	while (msix->count)
		irq_release(msix->router, &msix->vectors[--msix->count].line);
}

bool msix_is_enabled(const struct msix *msix)
{
	return __atomic_load_n(&msix->enabled, __ATOMIC_RELAXED);
}

void msix_raise(struct msix *msix, unsigned vector)
{
	if (vector < msix->count)
		irq_raise(&msix->vectors[vector].line);
}

/* Brings a vector's line into the state that table and masks ask for. A message that the router
 * refuses leaves it masked. */
static void vector_sync(struct msix *msix, struct msix_vector *vector)
{
	const uint32_t *entry = vector->entry;
	uint64_t addr = (uint64_t)entry[ADDR_HIGH] << 32 | entry[ADDR_LOW];
	bool masked =
		!msix->enabled || msix->masked || entry[CONTROL] & PCI_MSIX_ENTRY_CTRL_MASKBIT;

	if (masked && !vector->connected)
		return;
	if (irq_msi_set(msix->router, &vector->line, addr, entry[DATA], masked) < 0) {
		log_guest(msix->limit, "%s: an interrupt vector cannot be set to %#llx", msix->name,
			  (unsigned long long)addr);
		masked = true;
	}
	vector->connected = !masked;
}

void msix_control_written(struct msix *msix, uint16_t control)
{
	__atomic_store_n(&msix->enabled, !!(control & PCI_MSIX_FLAGS_ENABLE), __ATOMIC_RELAXED);
	msix->masked = control & PCI_MSIX_FLAGS_MASKALL;
	for (unsigned v = 0; v < msix->count; v++)
		vector_sync(msix, &msix->vectors[v]);
}

void msix_reset(struct msix *msix)
{
	msix_control_written(msix, 0);
	for (unsigned v = 0; v < msix->count; v++) {
		struct msix_vector *vector = &msix->vectors[v];

		memset(vector->entry, 0, sizeof(vector->entry));
		vector->entry[CONTROL] = PCI_MSIX_ENTRY_CTRL_MASKBIT;
		__atomic_store_n(&vector->line.pending, false, __ATOMIC_RELAXED);
	}
}

uint32_t msix_table_read(const struct msix *msix, uint64_t index)
{
	uint64_t v = index / ENTRY_WORDS;

	return v < msix->count ? msix->vectors[v].entry[index % ENTRY_WORDS] : 0;
}

void msix_table_write(struct msix *msix, uint64_t index, uint32_t value)
{
	uint64_t v = index / ENTRY_WORDS;

	if (v >= msix->count)
		return;
	if (index % ENTRY_WORDS == CONTROL)
		value &= PCI_MSIX_ENTRY_CTRL_MASKBIT;
	msix->vectors[v].entry[index % ENTRY_WORDS] = value;
	vector_sync(msix, &msix->vectors[v]);
}

int msix_vector_fd(const struct msix *msix, unsigned vector)
{
	if (vector >= msix->count || !msix->vectors[vector].connected)
		return -1;
	return msix->vectors[vector].line.fd;
}

uint32_t msix_pending_read(const struct msix *msix, uint64_t index)
{
	uint32_t bits = 0;

	for (unsigned i = 0; i < 32 && index * 32 + i < msix->count; i++)
		if (__atomic_load_n(&msix->vectors[index * 32 + i].line.pending, __ATOMIC_RELAXED))
			bits |= 1u << i;
	return bits;
}
