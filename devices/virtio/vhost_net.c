/*
 * Queues of a network card in the host's kernel (vhost-net): it watches the queue's kick eventfd,
 * reads the ring and moves frames between guest memory and the tap; nothing of that passes through
 * this process.
 *
 * Interrupts. While the transport has an eventfd that interrupts by itself (an unmasked MSI-X
 * vector's) the kernel rings that one. Otherwise it rings one of ours, and the loop does what the
 * transport asks for: remembering it while masked, or setting a status bit. Which of the two it is
 * changes with the driver's masks.
 */
#include "devices/virtio/vhost_net.h"

#include <linux/vhost.h>
#include <linux/virtio_net.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>

/* What the kernel does with a ring is up to these; all other features of a card are between the
 * driver, the tap and us. */
#define RING_FEATURES                                                                              \
	(1ull << VIRTIO_F_VERSION_1 | 1ull << VIRTIO_RING_F_EVENT_IDX |                            \
	 1ull << VIRTIO_RING_F_INDIRECT_DESC | 1ull << VIRTIO_NET_F_MRG_RXBUF)

uint64_t vhost_net_mask_features(int vhost_fd, uint64_t features)
{
	uint64_t able;

	if (ioctl(vhost_fd, VHOST_GET_FEATURES, &able) < 0)
		able = 1ull << VIRTIO_F_VERSION_1;
	return features & (~RING_FEATURES | able);
}

/* ---- interrupts ---- */

static void call_arrived(struct loop_event *event, uint32_t events)
{
	struct vhost_ring *ring = container_of(event, struct vhost_ring, call_event);

	(void)events;
	ring->q->interrupt_count++;
	virtio_queue_interrupt(ring->q);
}

static int set_call(struct vhost_net *vhost, unsigned index)
{
	struct vhost_ring *ring = &vhost->rings[index];
	int fd = virtio_queue_irq_fd(ring->q);
	struct vhost_vring_file file = { .index = index, .fd = fd >= 0 ? fd : ring->call_fd };

	if (file.fd == ring->given_fd)
		return 0;
	if (ioctl(vhost->vhost_fd, VHOST_SET_VRING_CALL, &file) < 0)
		return -errno;
	ring->given_fd = file.fd;
	return 0;
}

void vhost_net_irq_changed(struct vhost_net *vhost, unsigned index)
{
	if (set_call(vhost, index) < 0)
		virtio_device_needs_reset(vhost->rings[index].q->dev,
					  "the host's kernel refuses an interrupt");
}

/* ---- starting and stopping ---- */

int vhost_net_activate(struct vhost_net *vhost, const struct guest_mem *mem, uint64_t features)
{
	union {
		struct vhost_memory table;
		uint8_t room[sizeof(struct vhost_memory) +
			     GUEST_MEM_REGIONS_MAX * sizeof(struct vhost_memory_region)];
	} memory = { .table.nregions = mem->region_count };
	uint64_t rings = features & RING_FEATURES;

	for (unsigned i = 0; i < mem->region_count; i++)
		memory.table.regions[i] = (struct vhost_memory_region){
			.guest_phys_addr = mem->regions[i].gpa,
			.memory_size = mem->regions[i].len,
			.userspace_addr = (uintptr_t)mem->regions[i].host,
		};
	if (ioctl(vhost->vhost_fd, VHOST_SET_FEATURES, &rings) < 0)
		return log_errno(errno, "vhost-net: features %#llx", (unsigned long long)rings);
	if (ioctl(vhost->vhost_fd, VHOST_SET_MEM_TABLE, &memory.table) < 0)
		return log_errno(errno, "vhost-net: tell it the guest's memory");
	return 0;
}

static int set_ring(const struct vhost_net *vhost, unsigned index, const struct virtio_queue *q)
{
	struct vhost_vring_state size = { .index = index, .num = q->vq.size };
	struct vhost_vring_state base = { .index = index };
	struct vhost_vring_addr addr = {
		.index = index,
		.desc_user_addr = (uintptr_t)q->vq.desc,
		.avail_user_addr = (uintptr_t)q->vq.avail,
		.used_user_addr = (uintptr_t)q->vq.used,
	};
	struct vhost_vring_file kick = { .index = index, .fd = q->kick_fd };

	if (ioctl(vhost->vhost_fd, VHOST_SET_VRING_NUM, &size) < 0 ||
	    ioctl(vhost->vhost_fd, VHOST_SET_VRING_BASE, &base) < 0 ||
	    ioctl(vhost->vhost_fd, VHOST_SET_VRING_ADDR, &addr) < 0 ||
	    ioctl(vhost->vhost_fd, VHOST_SET_VRING_KICK, &kick) < 0)
		return -errno;
	return 0;
}

static int set_backend(const struct vhost_net *vhost, unsigned index, int fd)
{
	struct vhost_vring_file backend = { .index = index, .fd = fd };

	return ioctl(vhost->vhost_fd, VHOST_NET_SET_BACKEND, &backend) < 0 ? -errno : 0;
}

int vhost_net_start(struct vhost_net *vhost, unsigned index, struct virtio_queue *q)
{
	struct vhost_ring *ring = &vhost->rings[index];
	int ret = loop_event_add(q->loop, &ring->call_event);

	if (ret < 0)
		return ret;
	ring->q = q;
	ring->given_fd = -1;
	ret = set_ring(vhost, index, q);
	if (ret == 0)
		ret = set_call(vhost, index);
	if (ret == 0)
		ret = set_backend(vhost, index, vhost->tap_fd);
	if (ret == 0)
		return 0;
	vhost_net_stop(vhost, index);
	return log_errno(ret, "vhost-net: start a queue");
}

void vhost_net_stop(struct vhost_net *vhost, unsigned index)
{
	struct vhost_vring_file none = { .index = index, .fd = -1 };
	struct vhost_ring *ring = &vhost->rings[index];

	/* Waits for what is under way in the ring. */
	(void)set_backend(vhost, index, -1);
	(void)ioctl(vhost->vhost_fd, VHOST_SET_VRING_KICK, &none);
	(void)ioctl(vhost->vhost_fd, VHOST_SET_VRING_CALL, &none);
	loop_event_del(ring->q->loop, &ring->call_event);
	/* Ours may have been rung last thing. */
	if (ring->given_fd == ring->call_fd)
		virtio_queue_interrupt(ring->q);
	ring->q = NULL;
}

int vhost_net_init(struct vhost_net *vhost, int vhost_fd, int tap_fd)
{
	*vhost = (struct vhost_net){ .vhost_fd = vhost_fd, .tap_fd = tap_fd };
	for (unsigned i = 0; i < 2; i++) {
		struct vhost_ring *ring = &vhost->rings[i];

		ring->call_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		ring->call_event.fn = call_arrived;
		ring->call_event.fd = ring->call_fd;
		ring->call_event.events = EPOLLIN;
	}
	vhost->ready = true;
	if (vhost->rings[0].call_fd >= 0 && vhost->rings[1].call_fd >= 0)
		return 0;
	vhost_net_fini(vhost);
	return log_errno(EMFILE, "vhost-net: eventfd");
}

void vhost_net_fini(struct vhost_net *vhost)
{
	for (unsigned i = 0; i < 2 && vhost->ready; i++)
		if (vhost->rings[i].call_fd >= 0)
			close(vhost->rings[i].call_fd);
	vhost->ready = false;
}
