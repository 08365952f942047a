/*
 * virtio entropy source (virtio 1.2, section 5.4): the driver offers writable buffers, the device
 * fills them with random bytes. There is one queue, no configuration space and no feature bit.
 *
 * This is the smallest virtio device, the one to copy. A device consists of
 *  - a struct that embeds struct virtio_device,
 *  - const ops, of which only name, ids and queue_kick are needed,
 *  - create and destroy, and a line in machine.c that gives it a transport.
 * Everything here but create and destroy runs on the loop's thread. Status, features, rings,
 * interrupts and resets are virtio.c's business.
 */
#include "devices/virtio/virtio_rng.h"

#include <sys/random.h>

/* Parts of a request that are looked at; a driver offers one. */
#define IOV_MAX_RNG 8

/*
 * Most bytes for one request. A driver asks for some dozens; one that offers a gigabyte gets a
 * short answer, which the specification allows (5.4.6.2: at least one byte), and the loop's other
 * devices are not kept waiting. The number of requests in a round is bounded by virtio_queue_pop.
 */
#define REQUEST_LEN_MAX 4096

struct virtio_rng {
	struct virtio_device dev;
};

/* Fills up to REQUEST_LEN_MAX bytes of a chain's writable parts; returns how many. */
static uint32_t fill(const struct iovec *iov, unsigned iov_count)
{
	uint32_t done = 0;

	for (unsigned i = 0; i < iov_count && done < REQUEST_LEN_MAX; i++) {
		size_t len = iov[i].iov_len;
		ssize_t ret;

		if (len > REQUEST_LEN_MAX - done)
			len = REQUEST_LEN_MAX - done;
		/* Up to 256 bytes it is never short; above, a short answer ends the request. */
		ret = getrandom(iov[i].iov_base, len, GRND_NONBLOCK);
		if (ret < 0)
			break;
		done += (uint32_t)ret;
		if ((size_t)ret < len)
			break;
	}
	return done;
}

static void rng_queue_kick(struct virtio_queue *q)
{
	struct iovec iov[IOV_MAX_RNG];
	struct virtqueue_chain chain;

	/* Any error has put the device in NEEDS_RESET already: there is nothing to do about it. */
	while (virtio_queue_pop(q, iov, IOV_MAX_RNG, &chain) > 0)
		virtio_queue_push(q, chain.head,
				  fill(iov + chain.readable_count, chain.writable_count));
}

static const struct virtio_device_ops rng_ops = {
	.name = "virtio-rng",
	.device_id = VIRTIO_ID_RNG,
	.pci_class = 0x108000, /* encryption controller, other: what entropy comes nearest to */
	.queue_kick = rng_queue_kick,
};

int virtio_rng_create(struct virtio_rng **out, const struct guest_mem *mem, struct loop *loop)
{
	struct virtio_rng *rng = calloc(1, sizeof(*rng));
	int ret;

	if (!rng)
		return log_errno(ENOMEM, "virtio-rng: allocate");
	ret = virtio_device_init(&rng->dev, &rng_ops, mem, loop, 0, 1, 8);
	if (ret < 0) {
		free(rng);
		return ret;
	}
	*out = rng;
	return 0;
}

void virtio_rng_destroy(struct virtio_rng *rng)
{
	if (!rng)
		return;
	virtio_device_fini(&rng->dev);
	free(rng);
}

struct virtio_device *virtio_rng_device(struct virtio_rng *rng)
{
	return &rng->dev;
}
