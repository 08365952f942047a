/*
 * The entropy device: fills what it is given, never with the same.
 */
#include "tests/guest/lib/virtio.h"

#define BYTES	 4096u
#define PER_BYTE (BYTES / 256)

static struct virtio_dev dev;
static struct vq vq;
static uint8_t first[BYTES], second[BYTES];

static uint32_t ask(uint8_t *at, uint32_t len)
{
	const struct vq_buf buf = { at, len, true };
	uint32_t done = 0;

	vq_add(&vq, &buf, 1);
	vq_kick(&vq);
	return vq_wait(&vq, &done) < 0 ? 0 : done;
}

static bool fill(uint8_t *at)
{
	uint32_t done = 0, part;

	for (; done < BYTES; done += part) {
		part = ask(at + done, BYTES - done);
		if (!part || part > BYTES - done)
			return false;
	}
	return true;
}

/* No value comes more than four times as often as it should. */
static bool even(const uint8_t *at)
{
	uint16_t counts[256] = { 0 };

	for (unsigned i = 0; i < BYTES; i++)
		if (++counts[at[i]] > 4 * PER_BYTE)
			return false;
	return true;
}

static void run(const char *name, uint64_t features, unsigned flags)
{
	bool good = virtio_negotiate(&dev, features) && vq_init(&vq, &dev, 0, 0, flags);

	virtio_driver_ok(&dev);
	good = good && fill(first) && fill(second);
	check_that(good && even(first) && even(second) && memcmp(first, second, BYTES), name);
}

int guest_main(void)
{
	if (!virtio_find(&dev, VIRTIO_ID_RNG, 0))
		guest_die("there is no entropy device");
	run("rng polled", 0, VQ_POLLED);
	run("rng by interrupt with event index", 1ull << VIRTIO_RING_F_EVENT_IDX, VQ_INTERRUPT);
	return check_failures;
}
