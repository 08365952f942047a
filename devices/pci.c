/*
 * The PCI host bridge and what all functions share: configuration space, BARs, capabilities. Bus
 * dispatch calls on vCPU threads, with the host's lock held for configuration space and the
 * function's lock for BARs.
 *
 * The ECAM window. Every function 0 of bus 0 is readable without an exit, all ones where there is
 * none: the 32 pages that a guest which looks for devices reads. Functions 1 to 7 are not looked at
 * by a guest that follows the specification, since no device here says that it has them (PCI Local
 * Bus 3.0, section 6.2.1, Header Type), and read as zeros, which software takes for "nothing here"
 * as well: the rest of the window is memory that nobody touched. A patchwork of shared pages of
 * ones for those, too, took a start 0.12 ms. A guest reads while we write: a dword is stored at
 * once.
 *
 * BARs. A guest sizes a BAR by writing ones to it and moves it, if it must, by writing an address;
 * often while decoding is off. Neither is taken at its word at once, since moving a range and its
 * doorbells is dear: a BAR stays on the bus where it was, mute, until decoding is on and its
 * register holds another address inside the window. One that is mute gives way to one that is not.
 */
#include "devices/pci.h"

#include <assert.h>
#include <linux/pci_regs.h>
#include <string.h>
#include <sys/mman.h>

#include "vmm/log.h"

#define PAGE_LEN	 4096u
#define CAP_FIRST	 0x40u
#define PORT_BAR_LEN_MAX 256 /* bytes of port I/O a BAR may have (6.2.5.1) */

/* Addresses of one bus that BARs may have. */
struct pci_window {
	struct bus *bus;
	uint64_t base;
	uint64_t end;
	uint64_t next; /* free from here on */
	/* Bits of a BAR that are its address, and those that tell the kind; the command register's
	 * bit for it. */
	uint32_t mask;
	uint32_t kind;
	uint16_t command;
};

struct pci_host {
	struct bus *bus;
	pthread_mutex_t lock;
	struct bus_device ecam_device;
	uint64_t ecam_base;
	struct pci_window memory;
	struct pci_window ports; /* bus NULL: none */
	uint8_t *ecam;
	struct pci_function *slots[PCI_SLOTS_MAX];
	struct pci_function bridge;
	pthread_mutex_t bridge_lock;
	struct log_limit limit;
};

static const struct pci_function_ops bridge_ops = { .name = "pci-bridge" };

/* Registered for generic host bridges; drivers go by the class. */
static const struct pci_ids bridge_ids = {
	.vendor = 0x1b36,
	.device = 0x0008,
	.class_code = 0x060000,
};

/* ---- configuration space as memory ---- */

uint16_t pci_config_get16(const struct pci_function *fn, unsigned offset)
{
	uint16_t value;

	memcpy(&value, fn->config + offset, sizeof(value));
	return value;
}

uint32_t pci_config_get32(const struct pci_function *fn, unsigned offset)
{
	uint32_t *p = (uint32_t *)(void *)(fn->config + (offset & ~3u));

	return __atomic_load_n(p, __ATOMIC_RELAXED);
}

void pci_config_set32(struct pci_function *fn, unsigned offset, uint32_t value)
{
	uint32_t *p = (uint32_t *)(void *)(fn->config + (offset & ~3u));

	__atomic_store_n(p, value, __ATOMIC_RELAXED);
}

static void config_set16(struct pci_function *fn, unsigned offset, uint16_t value)
{
	memcpy(fn->config + offset, &value, sizeof(value));
}

/* Setup is over a step further: what is there now is what a reset restores. */
static void remember(struct pci_function *fn)
{
	memcpy(fn->initial, fn->config, PCI_HEADER_LEN);
}

/* ---- BARs ---- */

static uint64_t bar_read(struct bus_device *bus_device, uint64_t offset, unsigned width)
{
	struct pci_bar *bar = container_of(bus_device, struct pci_bar, bus_device);

	if (!__atomic_load_n(&bar->decoding, __ATOMIC_RELAXED))
		return UINT64_MAX;
	return bar->fn->ops->bar_read(bar->fn, bar->index, offset, width);
}

static void bar_write(struct bus_device *bus_device, uint64_t offset, unsigned width,
		      uint64_t value)
{
	struct pci_bar *bar = container_of(bus_device, struct pci_bar, bus_device);

	if (__atomic_load_n(&bar->decoding, __ATOMIC_RELAXED))
		bar->fn->ops->bar_write(bar->fn, bar->index, offset, width, value);
}

static const struct bus_device_ops bar_ops = {
	.name = "pci-bar",
	.widths = BUS_WIDTH_ANY,
	.read = bar_read,
	.write = bar_write,
};

/* The BAR is at ADDR now, or nowhere when that is 0. */
static void bar_set_mapped(struct pci_bar *bar, uint64_t addr)
{
	struct pci_function *fn = bar->fn;
	uint64_t old = bar->mapped;

	if (old)
		bus_remove(bar->window->bus, old, &bar->bus_device);
	bar->mapped = addr;
	if (!fn->ops->bar_moved)
		return;
	pthread_mutex_lock(fn->lock);
	fn->ops->bar_moved(fn, bar->index, old, addr);
	pthread_mutex_unlock(fn->lock);
}

/* Takes BARs that do not decode off WINDOW's range [ADDR, ADDR+LEN). */
static void evict_mute(struct pci_host *host, const struct pci_window *window, uint64_t addr,
		       uint64_t len)
{
	for (unsigned slot = 0; slot < PCI_SLOTS_MAX; slot++) {
		struct pci_function *fn = host->slots[slot];

		for (unsigned i = 0; fn && i < PCI_BARS_MAX; i++) {
			struct pci_bar *bar = &fn->bars[i];

			if (bar->mapped && bar->window == window && !bar->decoding &&
			    bar->mapped < addr + len && addr < bar->mapped + bar->len)
				bar_set_mapped(bar, 0);
		}
	}
}

static int bar_map(struct pci_bar *bar, uint64_t addr)
{
	int ret = bus_add(bar->window->bus, addr, bar->len, &bar->bus_device);

	if (ret == -EEXIST) {
		evict_mute(bar->fn->host, bar->window, addr, bar->len);
		ret = bus_add(bar->window->bus, addr, bar->len, &bar->bus_device);
	}
	if (ret == 0)
		bar_set_mapped(bar, addr);
	return ret;
}

/* Acts on what the command register and the BAR say now. Host's lock held. */
static void bar_update(struct pci_bar *bar)
{
	struct pci_function *fn = bar->fn;
	const struct pci_window *window = bar->window;
	uint64_t addr = pci_config_get32(fn, PCI_BASE_ADDRESS_0 + 4 * bar->index) & window->mask;
	bool decoding = pci_config_get16(fn, PCI_COMMAND) & window->command &&
			addr >= window->base && addr + bar->len <= window->end;

	if (!decoding || addr != bar->mapped)
		__atomic_store_n(&bar->decoding, false, __ATOMIC_RELAXED);
	if (decoding && addr != bar->mapped && bar_map(bar, addr) < 0) {
		log_guest(&fn->host->limit, "%s: BAR %u cannot be moved to %#llx", fn->ops->name,
			  bar->index, (unsigned long long)addr);
		decoding = false;
	}
	__atomic_store_n(&bar->decoding, decoding, __ATOMIC_RELAXED);
}

/* ---- ECAM ---- */

/* Masks a write into a dword. LEN bytes at OFFSET, not across the dword's end. */
static void config_merge(struct pci_function *fn, unsigned offset, unsigned len, uint32_t value)
{
	unsigned shift = 8 * (offset & 3);
	uint32_t written = (len == 4 ? UINT32_MAX : (1u << (8 * len)) - 1) << shift;
	uint32_t writable;

	memcpy(&writable, fn->writable + (offset & ~3u), sizeof(writable));
	written &= writable;
	pci_config_set32(fn, offset,
			 (pci_config_get32(fn, offset) & ~written) | ((value << shift) & written));
}

static uint64_t ecam_read(struct bus_device *bus_device, uint64_t offset, unsigned width)
{
	struct pci_host *host = container_of(bus_device, struct pci_host, ecam_device);
	uint64_t value = 0;

	memcpy(&value, host->ecam + offset, width);
	return value;
}

static void ecam_write(struct bus_device *bus_device, uint64_t offset, unsigned width,
		       uint64_t value)
{
	struct pci_host *host = container_of(bus_device, struct pci_host, ecam_device);
	struct pci_function *fn = host->slots[offset / PCI_CONFIG_STRIDE];
	unsigned reg = offset % PCI_CONFIG_STRIDE;

	if (!fn || reg >= PCI_HEADER_LEN || width > 4 || reg & (width - 1))
		return;
	config_merge(fn, reg, width, (uint32_t)value);
	if ((reg & ~3u) == PCI_COMMAND || (reg >= PCI_BASE_ADDRESS_0 && reg < PCI_CARDBUS_CIS))
		for (unsigned i = 0; i < PCI_BARS_MAX; i++)
			if (fn->bars[i].len)
				bar_update(&fn->bars[i]);
	if (!fn->ops->config_written)
		return;
	pthread_mutex_lock(fn->lock);
	fn->ops->config_written(fn, reg, width);
	pthread_mutex_unlock(fn->lock);
}

static const struct bus_device_ops ecam_ops = {
	.name = "pci-ecam",
	.widths = BUS_WIDTH_ANY,
	.read = ecam_read,
	.write = ecam_write,
};

void *pci_host_ecam(const struct pci_host *host)
{
	return host->ecam;
}

/* The page of a device's function 0. */
static uint8_t *ecam_page(const struct pci_host *host, unsigned slot)
{
	return host->ecam + (size_t)slot * PCI_CONFIG_STRIDE;
}

static int ecam_create(struct pci_host *host)
{
	host->ecam = mmap(NULL, PCI_ECAM_LEN, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (host->ecam == MAP_FAILED) {
		host->ecam = NULL;
		return log_errno(errno, "map PCI configuration space");
	}
	for (unsigned slot = 0; slot < PCI_SLOTS_MAX; slot++)
		memset(ecam_page(host, slot), 0xff, PAGE_LEN);
	return 0;
}

/* ---- setup ---- */

int pci_host_create(struct pci_host **out, struct bus *bus, uint64_t ecam_base,
		    uint64_t window_base, uint64_t window_len)
{
	struct pci_host *host = calloc(1, sizeof(*host));
	int ret;

	if (!host)
		return log_errno(ENOMEM, "allocate the PCI host");
	assert(window_base && window_base + window_len <= 1ull << 32);
	host->bus = bus;
	host->ecam_base = ecam_base;
	host->memory = (struct pci_window){
		.bus = bus,
		.base = window_base,
		.end = window_base + window_len,
		.next = window_base,
		.mask = (uint32_t)PCI_BASE_ADDRESS_MEM_MASK,
		.command = PCI_COMMAND_MEMORY,
	};
	pthread_mutex_init(&host->lock, NULL);
	pthread_mutex_init(&host->bridge_lock, NULL);
	host->ecam_device = (struct bus_device){ .ops = &ecam_ops, .lock = &host->lock };
	host->bridge.ops = &bridge_ops;
	host->bridge.lock = &host->bridge_lock;
	ret = ecam_create(host);
	if (ret == 0)
		ret = pci_add(host, &host->bridge, &bridge_ids);
	if (ret == 0) {
		ret = bus_add(bus, ecam_base, PCI_ECAM_LEN, &host->ecam_device);
		if (ret < 0)
			(void)log_errno(ret, "place PCI configuration space at %#llx",
					(unsigned long long)ecam_base);
	}
	if (ret < 0) {
		pci_host_destroy(host);
		return ret;
	}
	*out = host;
	return 0;
}

void pci_host_set_ports(struct pci_host *host, struct bus *bus, uint64_t base, uint64_t len)
{
	assert(base && base + len <= 1u << 16);
	host->ports = (struct pci_window){
		.bus = bus,
		.base = base,
		.end = base + len,
		.next = base,
		.mask = (uint32_t)PCI_BASE_ADDRESS_IO_MASK,
		.kind = PCI_BASE_ADDRESS_SPACE_IO,
		.command = PCI_COMMAND_IO,
	};
}

void pci_host_destroy(struct pci_host *host)
{
	if (!host)
		return;
	bus_remove(host->bus, host->ecam_base, &host->ecam_device);
	if (host->ecam)
		munmap(host->ecam, PCI_ECAM_LEN);
	pthread_mutex_destroy(&host->bridge_lock);
	pthread_mutex_destroy(&host->lock);
	free(host);
}

static void fill_header(struct pci_function *fn, const struct pci_ids *ids)
{
	static const uint8_t command[] = { PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER,
					   PCI_COMMAND_INTX_DISABLE >> 8 };

	memset(fn->config, 0, PAGE_LEN);
	config_set16(fn, PCI_VENDOR_ID, ids->vendor);
	config_set16(fn, PCI_DEVICE_ID, ids->device);
	config_set16(fn, PCI_SUBSYSTEM_VENDOR_ID, ids->subsystem_vendor);
	config_set16(fn, PCI_SUBSYSTEM_ID, ids->subsystem);
	pci_config_set32(fn, PCI_CLASS_REVISION, ids->class_code << 8 | ids->revision);
	memcpy(fn->writable + PCI_COMMAND, command, sizeof(command));
	fn->writable[PCI_CACHE_LINE_SIZE] = 0xff;
	fn->writable[PCI_INTERRUPT_LINE] = 0xff;
	fn->cap_end = CAP_FIRST;
	fn->cap_last = PCI_CAPABILITY_LIST;
	remember(fn);
}

int pci_add(struct pci_host *host, struct pci_function *fn, const struct pci_ids *ids)
{
	unsigned slot = 0;

	while (slot < PCI_SLOTS_MAX && host->slots[slot])
		slot++;
	if (slot == PCI_SLOTS_MAX)
		return log_errno(ENOSPC, "%s: the PCI bus is full (%d devices)", fn->ops->name,
				 PCI_SLOTS_MAX - 1);
	fn->host = host;
	fn->slot = slot;
	assert(host->ecam);
	fn->config = ecam_page(host, slot);
	fill_header(fn, ids);
	host->slots[slot] = fn;
	return 0;
}

void pci_remove(struct pci_function *fn)
{
	if (!fn->config)
		return;
	for (unsigned i = 0; i < PCI_BARS_MAX; i++)
		if (fn->bars[i].mapped)
			bar_set_mapped(&fn->bars[i], 0);
	memset(fn->config, 0xff, PAGE_LEN);
	fn->host->slots[fn->slot] = NULL;
	fn->config = NULL;
}

static int add_bar(struct pci_function *fn, unsigned index, uint32_t len, struct pci_window *window)
{
	struct pci_bar *bar = &fn->bars[index];
	uint64_t addr = (window->next + len - 1) & ~(uint64_t)(len - 1);
	unsigned reg = PCI_BASE_ADDRESS_0 + 4 * index;
	uint32_t mask = ~(len - 1);
	int ret;

	assert(index < PCI_BARS_MAX && !bar->len && !(len & (len - 1)));
	if (addr + len > window->end)
		return log_errno(ENOSPC, "%s: no room for %u bytes of PCI %s", fn->ops->name, len,
				 window->kind ? "ports" : "memory");
	*bar = (struct pci_bar){
		.bus_device = { .ops = &bar_ops, .lock = fn->lock },
		.fn = fn,
		.window = window,
		.index = index,
		.len = len,
		.assigned = addr,
	};
	ret = bar_map(bar, addr);
	if (ret < 0)
		return log_errno(ret, "%s: place a PCI BAR at %#llx", fn->ops->name,
				 (unsigned long long)addr);
	window->next = addr + len;
	pci_config_set32(fn, reg, (uint32_t)addr | window->kind);
	memcpy(fn->writable + reg, &mask, sizeof(mask));
	fn->writable[PCI_COMMAND] |= (uint8_t)window->command;
	remember(fn);
	return 0;
}

int pci_add_bar(struct pci_function *fn, unsigned index, uint32_t len)
{
	assert(len >= PAGE_LEN);
	return add_bar(fn, index, len, &fn->host->memory);
}

struct bus *pci_ports(const struct pci_function *fn)
{
	return fn->host->ports.bus;
}

int pci_add_port_bar(struct pci_function *fn, unsigned index, uint32_t len)
{
	assert(pci_ports(fn) && len >= 4 && len <= PORT_BAR_LEN_MAX);
	return add_bar(fn, index, len, &fn->host->ports);
}

unsigned pci_add_capability(struct pci_function *fn, const void *data, const void *writable,
			    unsigned len)
{
	unsigned offset = fn->cap_end;

	assert(offset + len <= PCI_HEADER_LEN);
	memcpy(fn->config + offset, data, len);
	fn->config[offset + 1] = 0;
	if (writable)
		memcpy(fn->writable + offset, writable, len);
	fn->config[fn->cap_last] = (uint8_t)offset;
	fn->cap_last = offset + 1;
	fn->cap_end = (offset + len + 3) & ~3u;
	config_set16(fn, PCI_STATUS, PCI_STATUS_CAP_LIST);
	remember(fn);
	return offset;
}

void pci_host_reset(struct pci_host *host)
{
	pthread_mutex_lock(&host->lock);
	/* Two passes: BARs may have changed places. */
	for (unsigned pass = 0; pass < 2; pass++) {
		for (unsigned slot = 0; slot < PCI_SLOTS_MAX; slot++) {
			struct pci_function *fn = host->slots[slot];

			for (unsigned i = 0; fn && i < PCI_BARS_MAX; i++) {
				struct pci_bar *bar = &fn->bars[i];

				__atomic_store_n(&bar->decoding, false, __ATOMIC_RELAXED);
				if (bar->mapped == bar->assigned)
					continue;
				if (pass == 0 && bar->mapped)
					bar_set_mapped(bar, 0);
				else if (pass == 1 && bar_map(bar, bar->assigned) < 0)
					log_warn("%s: BAR %u is lost", fn->ops->name, i);
			}
		}
	}
	for (unsigned slot = 0; slot < PCI_SLOTS_MAX; slot++)
		if (host->slots[slot])
			memcpy(host->slots[slot]->config, host->slots[slot]->initial,
			       PCI_HEADER_LEN);
	pthread_mutex_unlock(&host->lock);
	for (unsigned slot = 0; slot < PCI_SLOTS_MAX; slot++)
		if (host->slots[slot] && host->slots[slot]->ops->reset)
			host->slots[slot]->ops->reset(host->slots[slot]);
}
