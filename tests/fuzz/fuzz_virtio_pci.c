/*
 * A virtio device behind the PCI transport, configuration space included, under a guest that does
 * what the input says: see tests/support/fuzz_transport.h. First byte: settings; bit 7: the device
 * is brought up first. The machine is built once and reset before each input.
 */
#include <linux/pci_regs.h>

#include "devices/virtio/virtio_pci.h"
#include "tests/support/fake_irq.h"
#include "tests/support/fuzz_transport.h"

#define ECAM	   0xe0000000ull
#define CONFIG	   (ECAM + 0x8000)
#define WINDOW	   0xc0000000ull
#define WINDOW_LEN 0x10000ull
#define BAR_LEN	   0x4000u
#define PORTS	   0xc000ull
#define PORTS_LEN  0x100ull

static struct fuzz_guest guest;
static struct fake_irq irq;
static struct pci_host *host;
static struct virtio_pci *vp;

static void build(void)
{
	fuzz_guest_init(&guest);
	fake_irq_init(&irq);
	fuzz_require(pci_host_create(&host, &guest.bus, ECAM, WINDOW, WINDOW_LEN) == 0);
	/* On the same bus, where nothing else is. */
	pci_host_set_ports(host, &guest.bus, PORTS, PORTS_LEN);
	fuzz_require(virtio_pci_create(&vp, &guest.fake.dev, host, &guest.bus, &irq.router) == 0);
	guest.window[0] = WINDOW; /* where the BAR is at first */
	guest.window_len[0] = BAR_LEN + 8;
	guest.window[1] = CONFIG;
	guest.window_len[1] = 0x110;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct input in = { data, len };
	uint8_t settings = (uint8_t)take(&in, 1);
	uint32_t command = PCI_COMMAND_MEMORY | PCI_COMMAND_IO;

	if (!host)
		build();
	pci_host_reset(host);
	fuzz_guest_start(&guest, settings);
	bus_write(&guest.bus, CONFIG + PCI_COMMAND, 2, &command);
	if (settings & 128)
		fuzz_guest_bring_up(&guest);
	while (in.left)
		fuzz_step(&guest, &in);
	fuzz_check(&guest);
	fuzz_require(fake_irq_in_use(&irq) == FAKE_DEVICE_QUEUES + 1);
	return 0;
}
