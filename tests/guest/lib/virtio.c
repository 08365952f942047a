/*
 * Finding virtio devices and their registers: by PCI capabilities (virtio 1.2, section 4.1.4) or,
 * when the command line has virtio_mmio.device words, by these (section 4.2).
 */
#include "tests/guest/lib/virtio.h"

#include <linux/pci_regs.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_pci.h>

#include "tests/guest/lib/cpu.h"
#include "tests/guest/lib/pci.h"

#define VIRTIO_VENDOR	 0x1af4
#define VIRTIO_MODERN	 0x1040
#define TRANSITIONAL	 0x1000
#define TRANSITIONAL_MAX 0x103f
#define MODERN_MAX	 0x107f
#define MMIO_MAGIC	 0x74726976u
#define MMIO_QUEUE_RESET 0xc0
#define CONFIG_ENTRY	 0 /* of the MSI-X table; queue N has entry N + 1 */
#define VECTOR_NONE	 0xffff

static const struct {
	uint8_t pci_offset, pci_width;
	uint8_t mmio_read, mmio_write;
} fields[V_FIELDS] = {
	[V_STATUS] = { VIRTIO_PCI_COMMON_STATUS, 1, VIRTIO_MMIO_STATUS, VIRTIO_MMIO_STATUS },
	[V_DEVICE_FEATURES_SELECT] = { VIRTIO_PCI_COMMON_DFSELECT, 4,
				       VIRTIO_MMIO_DEVICE_FEATURES_SEL,
				       VIRTIO_MMIO_DEVICE_FEATURES_SEL },
	[V_DEVICE_FEATURES] = { VIRTIO_PCI_COMMON_DF, 4, VIRTIO_MMIO_DEVICE_FEATURES,
				VIRTIO_MMIO_DEVICE_FEATURES },
	[V_DRIVER_FEATURES_SELECT] = { VIRTIO_PCI_COMMON_GFSELECT, 4,
				       VIRTIO_MMIO_DRIVER_FEATURES_SEL,
				       VIRTIO_MMIO_DRIVER_FEATURES_SEL },
	[V_DRIVER_FEATURES] = { VIRTIO_PCI_COMMON_GF, 4, VIRTIO_MMIO_DRIVER_FEATURES,
				VIRTIO_MMIO_DRIVER_FEATURES },
	[V_QUEUE_SELECT] = { VIRTIO_PCI_COMMON_Q_SELECT, 2, VIRTIO_MMIO_QUEUE_SEL,
			     VIRTIO_MMIO_QUEUE_SEL },
	[V_QUEUE_SIZE] = { VIRTIO_PCI_COMMON_Q_SIZE, 2, VIRTIO_MMIO_QUEUE_NUM_MAX,
			   VIRTIO_MMIO_QUEUE_NUM },
	[V_QUEUE_ENABLE] = { VIRTIO_PCI_COMMON_Q_ENABLE, 2, VIRTIO_MMIO_QUEUE_READY,
			     VIRTIO_MMIO_QUEUE_READY },
	[V_QUEUE_RESET] = { VIRTIO_PCI_COMMON_Q_NDATA + 2, 2, MMIO_QUEUE_RESET, MMIO_QUEUE_RESET },
	[V_QUEUE_DESC_LOW] = { VIRTIO_PCI_COMMON_Q_DESCLO, 4, VIRTIO_MMIO_QUEUE_DESC_LOW,
			       VIRTIO_MMIO_QUEUE_DESC_LOW },
	[V_QUEUE_DESC_HIGH] = { VIRTIO_PCI_COMMON_Q_DESCHI, 4, VIRTIO_MMIO_QUEUE_DESC_HIGH,
				VIRTIO_MMIO_QUEUE_DESC_HIGH },
	[V_QUEUE_AVAIL_LOW] = { VIRTIO_PCI_COMMON_Q_AVAILLO, 4, VIRTIO_MMIO_QUEUE_AVAIL_LOW,
				VIRTIO_MMIO_QUEUE_AVAIL_LOW },
	[V_QUEUE_AVAIL_HIGH] = { VIRTIO_PCI_COMMON_Q_AVAILHI, 4, VIRTIO_MMIO_QUEUE_AVAIL_HIGH,
				 VIRTIO_MMIO_QUEUE_AVAIL_HIGH },
	[V_QUEUE_USED_LOW] = { VIRTIO_PCI_COMMON_Q_USEDLO, 4, VIRTIO_MMIO_QUEUE_USED_LOW,
			       VIRTIO_MMIO_QUEUE_USED_LOW },
	[V_QUEUE_USED_HIGH] = { VIRTIO_PCI_COMMON_Q_USEDHI, 4, VIRTIO_MMIO_QUEUE_USED_HIGH,
				VIRTIO_MMIO_QUEUE_USED_HIGH },
	[V_GENERATION] = { VIRTIO_PCI_COMMON_CFGGENERATION, 1, VIRTIO_MMIO_CONFIG_GENERATION,
			   VIRTIO_MMIO_CONFIG_GENERATION },
};

static uint32_t read_width(uint64_t at, unsigned width)
{
	if (width == 1)
		return mmio_read8(at);
	return width == 2 ? mmio_read16(at) : mmio_read32(at);
}

static void write_width(uint64_t at, unsigned width, uint32_t value)
{
	if (width == 1)
		mmio_write8(at, (uint8_t)value);
	else if (width == 2)
		mmio_write16(at, (uint16_t)value);
	else
		mmio_write32(at, value);
}

uint32_t virtio_get(const struct virtio_dev *dev, enum virtio_field field)
{
	return dev->mmio ? mmio_read32(dev->common + fields[field].mmio_read)
			 : read_width(dev->common + fields[field].pci_offset,
				      fields[field].pci_width);
}

void virtio_set(const struct virtio_dev *dev, enum virtio_field field, uint32_t value)
{
	if (dev->mmio)
		mmio_write32(dev->common + fields[field].mmio_write, value);
	else
		write_width(dev->common + fields[field].pci_offset, fields[field].pci_width, value);
}

/* ---- finding ---- */

static const char *word_next(const char *at, const char *word)
{
	size_t len = guest_strlen(word);

	for (; *at; at++)
		if (!memcmp(at, word, len))
			return at + len;
	return NULL;
}

static bool mmio_words(void)
{
	return word_next(guest_cmdline, "virtio_mmio.device=") != NULL;
}

/* Words look like virtio_mmio.device=4K@0xe8000000:10. */
static bool find_mmio(struct virtio_dev *dev, unsigned device_id, unsigned nth)
{
	const char *at = guest_cmdline;

	while ((at = word_next(at, "virtio_mmio.device="))) {
		uint64_t base;
		unsigned gsi;

		while (*at && *at != '@')
			at++;
		if (!*at)
			return false;
		base = guest_number(at + 1, &at);
		if (*at != ':')
			return false;
		gsi = (unsigned)guest_number(at + 1, &at);
		if (mmio_read32(base + VIRTIO_MMIO_MAGIC_VALUE) != MMIO_MAGIC ||
		    mmio_read32(base + VIRTIO_MMIO_VERSION) != 2 ||
		    mmio_read32(base + VIRTIO_MMIO_DEVICE_ID) != device_id || nth--)
			continue;
		*dev = (struct virtio_dev){
			.mmio = true,
			.device_id = (uint16_t)device_id,
			.common = base,
			.config = base + VIRTIO_MMIO_CONFIG,
			.notify = base + VIRTIO_MMIO_QUEUE_NOTIFY,
			.gsi = gsi,
		};
		return true;
	}
	return false;
}

static uint64_t capability_address(uint16_t bdf, unsigned cap)
{
	uint64_t bar = pci_bar(bdf, pci_read(bdf, cap + offsetof(struct virtio_pci_cap, bar), 1));

	return bar ? bar + pci_read(bdf, cap + offsetof(struct virtio_pci_cap, offset), 4) : 0;
}

static bool find_pci(struct virtio_dev *dev, unsigned device_id, unsigned nth)
{
	/* A transitional device (QEMU's default) has an old number; its subsystem tells the kind.
	 */
	for (unsigned i = 0;; i++) {
		struct pci_dev pci;

		if (!pci_find(&pci, VIRTIO_VENDOR, TRANSITIONAL, MODERN_MAX, i))
			return false;
		if (pci.device > TRANSITIONAL_MAX
			    ? pci.device != VIRTIO_MODERN + device_id
			    : pci_read(pci.bdf, PCI_SUBSYSTEM_ID, 2) != device_id)
			continue;
		if (nth--)
			continue;
		*dev = (struct virtio_dev){ .device_id = (uint16_t)device_id, .bdf = pci.bdf };
		break;
	}
	pci_enable(dev->bdf);
	for (unsigned cap = 0; (cap = pci_capability(dev->bdf, PCI_CAP_ID_VNDR, cap));) {
		uint64_t at;
		uint8_t type = (uint8_t)pci_read(
			dev->bdf, cap + offsetof(struct virtio_pci_cap, cfg_type), 1);

		if (type < VIRTIO_PCI_CAP_COMMON_CFG || type > VIRTIO_PCI_CAP_DEVICE_CFG)
			continue;
		at = capability_address(dev->bdf, cap);
		if (type == VIRTIO_PCI_CAP_COMMON_CFG)
			dev->common = at;
		else if (type == VIRTIO_PCI_CAP_ISR_CFG)
			dev->isr = at;
		else if (type == VIRTIO_PCI_CAP_DEVICE_CFG)
			dev->config = at;
		else {
			dev->notify = at;
			dev->notify_multiplier =
				pci_read(dev->bdf, cap + sizeof(struct virtio_pci_cap), 4);
		}
	}
	return dev->common && dev->notify && dev->isr;
}

bool virtio_find(struct virtio_dev *dev, unsigned device_id, unsigned nth)
{
	return mmio_words() ? find_mmio(dev, device_id, nth) : find_pci(dev, device_id, nth);
}

/* ---- from reset to running ---- */

uint64_t virtio_offered(const struct virtio_dev *dev)
{
	uint64_t low;

	virtio_set(dev, V_DEVICE_FEATURES_SELECT, 0);
	low = virtio_get(dev, V_DEVICE_FEATURES);
	virtio_set(dev, V_DEVICE_FEATURES_SELECT, 1);
	return low | (uint64_t)virtio_get(dev, V_DEVICE_FEATURES) << 32;
}

uint64_t virtio_config(const struct virtio_dev *dev, unsigned offset, unsigned len)
{
	uint64_t at = dev->config + offset;

	if (len == 8)
		return mmio_read32(at) | (uint64_t)mmio_read32(at + 4) << 32;
	return read_width(at, len);
}

void virtio_config_set(const struct virtio_dev *dev, unsigned offset, unsigned len, uint64_t value)
{
	write_width(dev->config + offset, len, (uint32_t)value);
	if (len == 8)
		mmio_write32(dev->config + offset + 4, (uint32_t)(value >> 32));
}

bool virtio_reset(const struct virtio_dev *dev)
{
	uint64_t start = rdtsc();

	virtio_set(dev, V_STATUS, 0);
	while (virtio_get(dev, V_STATUS))
		if (rdtsc() - start > VQ_PATIENCE)
			return false;
	return true;
}

static void status_add(const struct virtio_dev *dev, uint32_t bits)
{
	virtio_set(dev, V_STATUS, virtio_get(dev, V_STATUS) | bits);
}

bool virtio_negotiate(struct virtio_dev *dev, uint64_t wanted)
{
	if (!virtio_reset(dev))
		return false;
	status_add(dev, VIRTIO_CONFIG_S_ACKNOWLEDGE);
	status_add(dev, VIRTIO_CONFIG_S_DRIVER);
	dev->features = virtio_offered(dev) & (wanted | 1ull << VIRTIO_F_VERSION_1);
	virtio_set(dev, V_DRIVER_FEATURES_SELECT, 0);
	virtio_set(dev, V_DRIVER_FEATURES, (uint32_t)dev->features);
	virtio_set(dev, V_DRIVER_FEATURES_SELECT, 1);
	virtio_set(dev, V_DRIVER_FEATURES, (uint32_t)(dev->features >> 32));
	status_add(dev, VIRTIO_CONFIG_S_FEATURES_OK);
	return virtio_get(dev, V_STATUS) & VIRTIO_CONFIG_S_FEATURES_OK;
}

void virtio_driver_ok(const struct virtio_dev *dev)
{
	status_add(dev, VIRTIO_CONFIG_S_DRIVER_OK);
}

bool virtio_needs_reset(const struct virtio_dev *dev)
{
	return virtio_get(dev, V_STATUS) & VIRTIO_CONFIG_S_NEEDS_RESET;
}

/* ---- interrupts ---- */

static volatile uint64_t *line_interrupt(struct virtio_dev *dev)
{
	if (!dev->line_vector) {
		dev->line_vector = cpu_vector_alloc();
		cpu_route_line(dev->gsi, dev->line_vector);
	}
	return &cpu_interrupts[dev->line_vector];
}

volatile uint64_t *virtio_config_interrupt(struct virtio_dev *dev)
{
	unsigned vector;

	if (dev->mmio)
		return line_interrupt(dev);
	vector = cpu_vector_alloc();
	if (!pci_msix_set(dev->bdf, CONFIG_ENTRY, vector))
		return NULL;
	mmio_write16(dev->common + VIRTIO_PCI_COMMON_MSIX, CONFIG_ENTRY);
	return &cpu_interrupts[vector];
}

uint32_t virtio_isr(const struct virtio_dev *dev)
{
	uint32_t bits;

	if (!dev->mmio)
		return mmio_read8(dev->isr);
	bits = mmio_read32(dev->common + VIRTIO_MMIO_INTERRUPT_STATUS);
	if (bits)
		mmio_write32(dev->common + VIRTIO_MMIO_INTERRUPT_ACK, bits);
	return bits;
}

/* ---- queues ---- */

/* The queue is selected. */
static void queue_interrupt(struct vq *vq, bool wanted)
{
	struct virtio_dev *dev = vq->dev;
	unsigned entry = vq->index + 1u, vector;

	vq->interrupts = NULL;
	if (dev->mmio) {
		vq->interrupts = wanted ? line_interrupt(dev) : NULL;
		return;
	}
	if (wanted) {
		vector = cpu_vector_alloc();
		if (pci_msix_set(dev->bdf, entry, vector))
			vq->interrupts = &cpu_interrupts[vector];
	}
	mmio_write16(dev->common + VIRTIO_PCI_COMMON_Q_MSIX,
		     vq->interrupts ? (uint16_t)entry : VECTOR_NONE);
}

static void queue_rings(struct vq *vq)
{
	vq->desc = guest_alloc(sizeof(*vq->desc) * vq->size, 16);
	vq->avail = guest_alloc(6 + 2u * vq->size, 2);
	vq->used = guest_alloc(6 + sizeof(struct vring_used_elem) * vq->size, 4096);
	if (vq->dev->features & 1ull << VIRTIO_RING_F_INDIRECT_DESC)
		vq->indirect = guest_alloc(sizeof(*vq->indirect) * vq->size, 16);
	vq->event_idx = vq->dev->features & 1ull << VIRTIO_RING_F_EVENT_IDX;
	vq->free_count = vq->size;
	for (unsigned i = 0; i < vq->size; i++)
		vq->desc[i].next = (uint16_t)(i + 1);
	if (!vq->interrupts)
		vq->avail->flags = VRING_AVAIL_F_NO_INTERRUPT;
}

bool vq_init(struct vq *vq, struct virtio_dev *dev, unsigned index, unsigned size, unsigned flags)
{
	uint32_t max;

	*vq = (struct vq){ .dev = dev, .index = (uint16_t)index };
	virtio_set(dev, V_QUEUE_SELECT, index);
	max = virtio_get(dev, V_QUEUE_SIZE);
	if (!max)
		return false;
	if (max > VQ_SIZE_MAX)
		max = VQ_SIZE_MAX;
	vq->size = (uint16_t)(size && size < max ? size : max);
	queue_interrupt(vq, flags & VQ_INTERRUPT);
	queue_rings(vq);
	virtio_set(dev, V_QUEUE_SIZE, vq->size);
	virtio_set(dev, V_QUEUE_DESC_LOW, (uint32_t)(uintptr_t)vq->desc);
	virtio_set(dev, V_QUEUE_DESC_HIGH, 0);
	virtio_set(dev, V_QUEUE_AVAIL_LOW, (uint32_t)(uintptr_t)vq->avail);
	virtio_set(dev, V_QUEUE_AVAIL_HIGH, 0);
	virtio_set(dev, V_QUEUE_USED_LOW, (uint32_t)(uintptr_t)vq->used);
	virtio_set(dev, V_QUEUE_USED_HIGH, 0);
	vq->notify = dev->notify;
	vq->notify_width = 4;
	if (!dev->mmio) {
		vq->notify += dev->notify_multiplier *
			      mmio_read16(dev->common + VIRTIO_PCI_COMMON_Q_NOFF);
		vq->notify_width = 2;
	}
	if (!(flags & VQ_NOT_ENABLED))
		virtio_set(dev, V_QUEUE_ENABLE, 1);
	return true;
}
