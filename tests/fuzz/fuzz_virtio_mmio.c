/*
 * A virtio device behind the MMIO transport, under a guest that does what the input says: see
 * tests/support/fuzz_transport.h. First byte: settings; bit 7: the device is brought up first.
 */
#include <sys/eventfd.h>

#include "devices/virtio/virtio_mmio.h"
#include "tests/support/fuzz_transport.h"

#define BASE 0xd0000000ull

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct input in = { data, len };
	uint8_t settings = (uint8_t)take(&in, 1);
	struct irq_line line = { .fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC) };
	struct virtio_mmio *mmio;
	struct fuzz_guest g;

	fuzz_guest_init(&g);
	g.window[0] = g.window[1] = BASE;
	g.window_len[0] = 0x120; /* registers and config space */
	g.window_len[1] = VIRTIO_MMIO_LEN + 8;
	fuzz_guest_start(&g, settings);
	fuzz_require(virtio_mmio_create(&mmio, &g.fake.dev, &g.bus, BASE, &line) == 0);
	if (settings & 128)
		fuzz_guest_bring_up(&g);
	while (in.left)
		fuzz_step(&g, &in);
	fuzz_check(&g);
	virtio_mmio_destroy(mmio);
	fuzz_guest_fini(&g);
	close(line.fd);
	return 0;
}
