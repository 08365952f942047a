/*
 * The balloon: what is reported free comes back as zeroes and its neighbours stay, page by page and
 * by the MiB; inflated pages likewise.
 */
#include <linux/virtio_balloon.h>

#include "tests/guest/lib/virtio.h"

#define PAGE	 4096u
#define PAGES	 1024u
#define INFLATE	 0
#define DEFLATE	 1
#define REPORTS	 4
#define FEATURES (1ull << VIRTIO_BALLOON_F_REPORTING)

static struct virtio_dev dev;
static struct vq inflate, deflate, reports;
static uint8_t (*pages)[PAGE];

static bool done(struct vq *vq, const struct vq_buf *bufs, unsigned count)
{
	vq_add(vq, bufs, count);
	vq_kick(vq);
	return vq_wait(vq, NULL) >= 0;
}

static void fill(void)
{
	for (unsigned i = 0; i < PAGES; i++)
		memset(pages[i], (int)(i % 255) + 1, PAGE);
}

/* COUNT pages from FIRST on are zero, the others as they were. */
static bool gone(unsigned first, unsigned count)
{
	for (unsigned i = 0; i < PAGES; i++) {
		uint8_t wanted = i - first < count ? 0 : (uint8_t)(i % 255 + 1);

		if (pages[i][0] != wanted || pages[i][PAGE - 1] != wanted)
			return false;
	}
	return true;
}

static bool open(uint64_t features, unsigned flags, unsigned reporting)
{
	bool good = virtio_negotiate(&dev, FEATURES | features) &&
		    vq_init(&inflate, &dev, INFLATE, 0, flags) &&
		    vq_init(&deflate, &dev, DEFLATE, 0, flags) &&
		    vq_init(&reports, &dev, reporting, 0, flags);

	virtio_driver_ok(&dev);
	fill();
	return good;
}

static bool report(unsigned first, unsigned count)
{
	const struct vq_buf bufs[] = { { pages[first], PAGE * (count / 2), true },
				       { pages[first + count / 2], PAGE * (count - count / 2),
					 true } };

	return done(&reports, bufs, 2) && gone(first, count);
}

static bool inflate_some(void)
{
	static uint32_t pfns[64];
	const struct vq_buf buf = { pfns, sizeof(pfns), false };

	for (unsigned i = 0; i < 64; i++)
		pfns[i] = (uint32_t)((uint64_t)pages[163 - i] >> VIRTIO_BALLOON_PFN_SHIFT);
	if (!done(&inflate, &buf, 1) || !gone(100, 64) || !done(&deflate, &buf, 1))
		return false;
	fill();
	return gone(0, 0);
}

static void run(const char *name, uint64_t features, unsigned flags, unsigned reporting)
{
	size_t mark = guest_alloc_mark();
	bool good = open(features, flags, reporting) && report(1, 2);

	fill();
	good = good && report(100, 900);
	fill();
	good = good && inflate_some() && virtio_config(&dev, 0, 4) == 0;
	check_that(good && !virtio_needs_reset(&dev) && virtio_reset(&dev), name);
	guest_alloc_back_to(mark);
}

int guest_main(void)
{
	if (!virtio_find(&dev, VIRTIO_ID_BALLOON, 0))
		guest_die("there is no balloon");
	pages = guest_alloc(PAGES * PAGE, PAGE);
	run("balloon polled", 0, VQ_POLLED, REPORTS);
	run("balloon by interrupt with event index", 1ull << VIRTIO_RING_F_EVENT_IDX, VQ_INTERRUPT,
	    REPORTS);
	run("balloon with queues counted as Linux does", 0, VQ_POLLED, 2);
	return check_failures;
}
