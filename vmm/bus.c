/*
 * Address dispatch. Reads and writes come from vCPU threads; the table changes at setup and when a
 * guest moves a BAR. Devices are called outside the bus lock: a write may move the device's own
 * range. None is destroyed before every vCPU thread has ended.
 */
#include "vmm/bus.h"

#include <string.h>

int bus_init(struct bus *bus, const struct bus_kernel_ops *kernel, void *opaque)
{
	pthread_rwlockattr_t attr;

	memset(bus, 0, sizeof(*bus));
	bus->doorbells = calloc(BUS_DOORBELLS_MAX, sizeof(*bus->doorbells));
	if (!bus->doorbells)
		return -ENOMEM;
	/* A BAR move must not wait for ever behind vCPUs that poll a register. */
	pthread_rwlockattr_init(&attr);
	pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	pthread_rwlock_init(&bus->lock, &attr);
	pthread_rwlockattr_destroy(&attr);
	bus->kernel = kernel;
	bus->kernel_opaque = opaque;
	return 0;
}

void bus_fini(struct bus *bus)
{
	if (!bus->doorbells)
		return;
	for (unsigned i = 0; i < bus->doorbell_count; i++)
		if (bus->doorbells[i].in_kernel)
			(void)bus->kernel->doorbell(bus->kernel_opaque, &bus->doorbells[i], false);
	pthread_rwlock_destroy(&bus->lock);
	free(bus->doorbells);
	memset(bus, 0, sizeof(*bus));
}

/* Index of the first range that ends above ADDR. */
static unsigned bus_lower_bound(const struct bus *bus, uint64_t addr)
{
	unsigned low = 0, high = bus->range_count;

	while (low < high) {
		unsigned mid = (low + high) / 2;
		const struct bus_range *r = &bus->ranges[mid];

		if (r->base + (r->len - 1) < addr)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static int bus_add_locked(struct bus *bus, uint64_t base, uint64_t len, struct bus_device *dev)
{
	unsigned at;

	if (!len || base + (len - 1) < base)
		return -EINVAL;
	at = bus_lower_bound(bus, base);
	if (at < bus->range_count && bus->ranges[at].base <= base + (len - 1))
		return -EEXIST;
	if (bus->range_count == BUS_RANGES_MAX)
		return -ENOSPC;
	memmove(&bus->ranges[at + 1], &bus->ranges[at],
		(bus->range_count - at) * sizeof(bus->ranges[0]));
	bus->ranges[at] = (struct bus_range){ .base = base, .len = len, .dev = dev };
	bus->range_count++;
	return 0;
}

int bus_add(struct bus *bus, uint64_t base, uint64_t len, struct bus_device *dev)
{
	int ret;

	pthread_rwlock_wrlock(&bus->lock);
	ret = bus_add_locked(bus, base, len, dev);
	pthread_rwlock_unlock(&bus->lock);
	return ret;
}

void bus_remove(struct bus *bus, uint64_t base, struct bus_device *dev)
{
	pthread_rwlock_wrlock(&bus->lock);
	for (unsigned i = 0; i < bus->range_count; i++) {
		if (bus->ranges[i].base != base || bus->ranges[i].dev != dev)
			continue;
		bus->range_count--;
		memmove(&bus->ranges[i], &bus->ranges[i + 1],
			(bus->range_count - i) * sizeof(bus->ranges[0]));
		break;
	}
	pthread_rwlock_unlock(&bus->lock);
}

int bus_add_doorbell(struct bus *bus, uint64_t addr, unsigned width, bool match, uint64_t value,
		     int fd)
{
	struct bus_doorbell bell = {
		.addr = addr, .width = width, .match = match, .value = value, .fd = fd
	};
	int ret = 0;

	if (match && !width)
		return -EINVAL;
	pthread_rwlock_wrlock(&bus->lock);
	if (bus->doorbell_count == BUS_DOORBELLS_MAX) {
		ret = -ENOSPC;
	} else {
		/* Refused by KVM (a full device table, no such extension): dispatch rings it. */
		bell.in_kernel = bus->kernel && bus->kernel->doorbell &&
				 bus->kernel->doorbell(bus->kernel_opaque, &bell, true) == 0;
		bus->doorbells[bus->doorbell_count++] = bell;
	}
	pthread_rwlock_unlock(&bus->lock);
	return ret;
}

void bus_remove_doorbell(struct bus *bus, uint64_t addr, int fd)
{
	pthread_rwlock_wrlock(&bus->lock);
	for (unsigned i = 0; i < bus->doorbell_count; i++) {
		struct bus_doorbell *bell = &bus->doorbells[i];

		if (bell->addr != addr || bell->fd != fd)
			continue;
		if (bell->in_kernel)
			(void)bus->kernel->doorbell(bus->kernel_opaque, bell, false);
		*bell = bus->doorbells[--bus->doorbell_count];
		break;
	}
	pthread_rwlock_unlock(&bus->lock);
}

static uint64_t width_mask(unsigned width)
{
	return width >= 8 ? UINT64_MAX : (1ull << (8 * width)) - 1;
}

/*
 * The device that takes an access, or NULL. Lock held. An access outside every range, across a
 * range's end, or of a width that the device did not declare finds nobody.
 */
static struct bus_device *bus_find(const struct bus *bus, uint64_t addr, unsigned width,
				   uint64_t *offset)
{
	unsigned at = bus_lower_bound(bus, addr);
	const struct bus_range *r;

	if (at == bus->range_count)
		return NULL;
	r = &bus->ranges[at];
	if (addr < r->base || width > r->len - (addr - r->base) || !(r->dev->ops->widths & width))
		return NULL;
	*offset = addr - r->base;
	return r->dev;
}

bool bus_read(struct bus *bus, uint64_t addr, unsigned width, void *data)
{
	uint64_t value = UINT64_MAX, offset;
	struct bus_device *dev;

	pthread_rwlock_rdlock(&bus->lock);
	dev = bus_find(bus, addr, width, &offset);
	pthread_rwlock_unlock(&bus->lock);
	if (dev && dev->ops->read) {
		if (dev->lock)
			pthread_mutex_lock(dev->lock);
		value = dev->ops->read(dev, offset, width);
		if (dev->lock)
			pthread_mutex_unlock(dev->lock);
	}
	memcpy(data, &value, width);
	return dev != NULL;
}

/* Rings a doorbell that KVM did not take. Lock held. */
static bool bus_ring(const struct bus *bus, uint64_t addr, unsigned width, uint64_t value)
{
	static const uint64_t one = 1;

	for (unsigned i = 0; i < bus->doorbell_count; i++) {
		const struct bus_doorbell *bell = &bus->doorbells[i];

		if (bell->addr != addr || (bell->width && bell->width != width) ||
		    (bell->match && (bell->value & width_mask(width)) != value))
			continue;
		if (write(bell->fd, &one, sizeof(one)) < 0) {
			/* EAGAIN: the counter is full, so it is ringing already. */
		}
		return true;
	}
	return false;
}

bool bus_write(struct bus *bus, uint64_t addr, unsigned width, const void *data)
{
	uint64_t value = 0, offset;
	struct bus_device *dev;
	bool taken;

	memcpy(&value, data, width);
	pthread_rwlock_rdlock(&bus->lock);
	taken = bus->doorbell_count && bus_ring(bus, addr, width, value);
	dev = taken ? NULL : bus_find(bus, addr, width, &offset);
	pthread_rwlock_unlock(&bus->lock);
	if (!dev || !dev->ops->write)
		return taken || dev;
	if (dev->lock)
		pthread_mutex_lock(dev->lock);
	dev->ops->write(dev, offset, width, value);
	if (dev->lock)
		pthread_mutex_unlock(dev->lock);
	return true;
}
