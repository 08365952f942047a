/*
 * virtio memory balloon (virtio 1.2, section 5.5), for its free page reporting: the driver offers
 * pages that are free in the guest, the device gives them back to the host and returns the buffers;
 * a page that the guest uses again comes back as zeroes. The balloon itself stays at the size 0
 * that the device asks for; a driver that puts pages into it all the same has them given back too.
 *
 * Everything here but create and destroy runs on the loop's thread, activate, reset and the
 * configuration space excepted (see virtio.h). Whatever a driver offers is memory of the guest that
 * it could as well overwrite: that others have an I/O in flight there, or a ring, is between the
 * guest and itself. guest_mem_release leaves addresses as good as they were.
 */
#include "devices/virtio/virtio_balloon.h"

#include <linux/virtio_balloon.h>
#include <string.h>

#define QUEUE_SIZE 128
#define PAGE_LEN   (1u << VIRTIO_BALLOON_PFN_SHIFT)

/*
 * Most that is given back in a round, so that the loop's other devices are not kept waiting while
 * the host's kernel clears tables, which takes it 2 ms for as much in small pages. Linux offers up
 * to 128 MiB in a request, which then goes on in the next round. Page numbers are dearer, one call
 * for each run of neighbours; Linux offers up to 256 in a request. What a list of them has beyond
 * is passed over: giving back is a favour, nowhere a duty (5.5.6).
 */
#define ROUND_LEN_MAX (16ull << 20)
#define ROUND_PFN_MAX 1024u

/*
 * Reporting is queue 4 by the specification's numbers (5.5.2). But drivers, Linux among them, count
 * only the queues whose features there are, and of those in between this device has none: whatever
 * comes after the first two is for reporting.
 */
enum { QUEUE_INFLATE, QUEUE_DEFLATE, QUEUE_REPORTING, QUEUE_COUNT = 5 };

/* The request that a reporting queue is at. */
struct report {
	struct virtqueue_chain chain;
	struct iovec iov[QUEUE_SIZE];
	unsigned at; /* the part that is next */
	bool held;
};

struct virtio_balloon {
	struct virtio_device dev;
	struct report reports[QUEUE_COUNT - QUEUE_REPORTING];
	struct virtio_balloon_config config;
	bool keep; /* freed pages hold a pattern of the guest's: zeroes would be seen */
};

static struct virtio_balloon *to_balloon(struct virtio_device *dev)
{
	return container_of(dev, struct virtio_balloon, dev);
}

static struct report *report_of(struct virtio_queue *q)
{
	return &to_balloon(q->dev)->reports[q->index - QUEUE_REPORTING];
}

static void report_end(struct virtio_queue *q, struct report *report)
{
	report->held = false;
	virtio_queue_push(q, report->chain.head, 0);
}

/* The parts that the device may write are the pages themselves. Gives back LEFT bytes of them at
 * most; what of LEFT was not needed is returned. */
static uint64_t report_go_on(struct report *report, const struct guest_mem *mem, uint64_t left)
{
	unsigned count = report->chain.readable_count + report->chain.writable_count;

	while (left && report->at < count) {
		struct iovec *part = &report->iov[report->at];
		size_t len = part->iov_len < left ? part->iov_len : left;

		guest_mem_release(mem, part->iov_base, len);
		part->iov_base = (uint8_t *)part->iov_base + len;
		part->iov_len -= len;
		left -= len;
		report->at += !part->iov_len;
	}
	report->held = report->at < count;
	return left;
}

static void take_reports(struct virtio_queue *q)
{
	struct report *report = report_of(q);
	uint64_t left = ROUND_LEN_MAX;

	/* Any error has put the device in NEEDS_RESET already: there is nothing to do about it. */
	while (report->held || virtio_queue_pop(q, report->iov, QUEUE_SIZE, &report->chain) > 0) {
		if (!report->held)
			report->at = report->chain.readable_count;
		if (!to_balloon(q->dev)->keep)
			left = report_go_on(report, q->dev->mem, left);
		if (!report->held)
			report_end(q, report);
		if (!left) {
			virtio_queue_kick_again(q);
			break;
		}
	}
}

static void balloon_queue_stop(struct virtio_queue *q)
{
	if (q->index >= QUEUE_REPORTING && report_of(q)->held)
		report_end(q, report_of(q));
}

/* Pages that lie side by side, to be given back in one call. */
struct run {
	uint8_t *start, *end;
};

static void run_end(struct run *run, const struct guest_mem *mem)
{
	if (run->start)
		guest_mem_release(mem, run->start, (uint64_t)(run->end - run->start));
}

static void run_add(struct run *run, const struct guest_mem *mem, uint32_t pfn)
{
	uint8_t *page = guest_mem_ptr(mem, (gpa_t)pfn << VIRTIO_BALLOON_PFN_SHIFT, PAGE_LEN);

	if (!page)
		return;
	if (page == run->end) {
		run->end += PAGE_LEN;
	} else if (page + PAGE_LEN == run->start) {
		run->start = page;
	} else {
		run_end(run, mem);
		*run = (struct run){ page, page + PAGE_LEN };
	}
}

/* A request of the inflate queue: page numbers, four bytes each, however they are cut into parts.
 * LEFT_MAX is how many are looked at; gives how many there were. */
static unsigned inflate(const struct guest_mem *mem, const struct iovec *iov, unsigned iov_count,
			unsigned left_max)
{
	uint8_t bytes[sizeof(uint32_t)];
	struct run run = { NULL, NULL };
	unsigned have = 0, count = 0;

	for (unsigned i = 0; i < iov_count; i++) {
		for (size_t at = 0; at < iov[i].iov_len && count < left_max; at++) {
			uint32_t pfn;

			bytes[have++] = ((const volatile uint8_t *)iov[i].iov_base)[at];
			if (have < sizeof(bytes))
				continue;
			memcpy(&pfn, bytes, sizeof(pfn));
			run_add(&run, mem, pfn);
			have = 0;
			count++;
		}
	}
	run_end(&run, mem);
	return count;
}

/* Deflated pages come back by being touched: the driver need not even wait (MUST_TELL_HOST, 5.5.3).
 */
static void take_pages(struct virtio_queue *q)
{
	struct iovec iov[QUEUE_SIZE];
	struct virtqueue_chain chain;
	unsigned left = ROUND_PFN_MAX;

	while (left && virtio_queue_pop(q, iov, QUEUE_SIZE, &chain) > 0) {
		if (q->index == QUEUE_INFLATE)
			left -= inflate(q->dev->mem, iov, chain.readable_count, left);
		virtio_queue_push(q, chain.head, 0);
	}
	if (!left)
		virtio_queue_kick_again(q);
}

static void balloon_queue_kick(struct virtio_queue *q)
{
	if (q->index >= QUEUE_REPORTING)
		take_reports(q);
	else
		take_pages(q);
}

static void balloon_config_read(struct virtio_device *dev, uint32_t offset, void *data,
				uint32_t len)
{
	memcpy(data, (const uint8_t *)&to_balloon(dev)->config + offset, len);
}

/* The driver says how many pages it gave, and what it fills free ones with. */
static void balloon_config_write(struct virtio_device *dev, uint32_t offset, const void *data,
				 uint32_t len)
{
	struct virtio_balloon_config *config = &to_balloon(dev)->config;
	struct virtio_balloon_config written = *config;

	memcpy((uint8_t *)&written + offset, data, len);
	config->actual = written.actual;
	config->poison_val = written.poison_val;
}

/* The pattern is set before DRIVER_OK and then stays (5.5.6.6). */
static int balloon_activate(struct virtio_device *dev)
{
	struct virtio_balloon *balloon = to_balloon(dev);

	balloon->keep =
		virtio_has_feature(dev, VIRTIO_BALLOON_F_PAGE_POISON) && balloon->config.poison_val;
	return 0;
}

static void balloon_reset(struct virtio_device *dev)
{
	virtio_config_lock(dev);
	to_balloon(dev)->config = (struct virtio_balloon_config){ 0 };
	virtio_config_unlock(dev);
}

static const struct virtio_device_ops balloon_ops = {
	.name = "virtio-balloon",
	.device_id = VIRTIO_ID_BALLOON,
	.pci_class = 0xff0000, /* what fits no class */
	.config_len = sizeof(struct virtio_balloon_config),
	.config_read = balloon_config_read,
	.config_write = balloon_config_write,
	.activate = balloon_activate,
	.reset = balloon_reset,
	.queue_kick = balloon_queue_kick,
	.queue_stop = balloon_queue_stop,
};

int virtio_balloon_create(struct virtio_balloon **out, const struct guest_mem *mem,
			  struct loop *loop)
{
	struct virtio_balloon *balloon = calloc(1, sizeof(*balloon));
	int ret;

	if (!balloon)
		return log_errno(ENOMEM, "virtio-balloon: allocate");
	ret = virtio_device_init(&balloon->dev, &balloon_ops, mem, loop,
				 1ull << VIRTIO_BALLOON_F_REPORTING |
					 1ull << VIRTIO_BALLOON_F_PAGE_POISON |
					 1ull << VIRTIO_BALLOON_F_DEFLATE_ON_OOM,
				 QUEUE_COUNT, QUEUE_SIZE);
	if (ret < 0) {
		free(balloon);
		return ret;
	}
	*out = balloon;
	return 0;
}

void virtio_balloon_destroy(struct virtio_balloon *balloon)
{
	if (!balloon)
		return;
	virtio_device_fini(&balloon->dev);
	free(balloon);
}

struct virtio_device *virtio_balloon_device(struct virtio_balloon *balloon)
{
	return &balloon->dev;
}
