/*
 * A virtio device for tests of the core and the transports: answers each request at once by filling
 * its writable parts, or holds requests until told to complete them. All on the loop's thread, or
 * with the loop at rest.
 */
#ifndef TESTS_SUPPORT_FAKE_DEVICE_H
#define TESTS_SUPPORT_FAKE_DEVICE_H

#include "devices/virtio/virtio.h"

#define FAKE_DEVICE_QUEUES     3
#define FAKE_DEVICE_QUEUE_SIZE 16
#define FAKE_DEVICE_CONFIG_LEN 12
#define FAKE_DEVICE_FEATURE    (1ull << 3)

struct fake_device {
	struct virtio_device dev;
	uint8_t config[FAKE_DEVICE_CONFIG_LEN];
	bool hold;	/* requests stay in flight until fake_device_complete */
	bool give_back; /* a stopping queue's held requests are pushed at once */
	bool unpop;	/* requests are given back unhandled */
	int activate_result;
	unsigned activated;
	unsigned resets;
	unsigned kicks;
	unsigned requests;
	unsigned stops;
	uint64_t features; /* as seen by activate */
	/* By head: a chain in flight. */
	bool held[FAKE_DEVICE_QUEUES][FAKE_DEVICE_QUEUE_SIZE];
	/* Called for each request before it is answered; may be NULL. */
	void (*on_request)(struct fake_device *fake, struct virtio_queue *q);
	void *priv;
	/* What the transport was asked for, when the fake transport is attached. */
	unsigned queue_interrupts[FAKE_DEVICE_QUEUES];
	unsigned config_interrupts;
};

int fake_device_init(struct fake_device *fake, const struct guest_mem *mem,
		     struct loop *loop) MUST_CHECK;
/* Stands in for a transport: counts. */
void fake_device_attach(struct fake_device *fake);
/* Completes what queue INDEX holds; returns how many. */
unsigned fake_device_complete(struct fake_device *fake, unsigned index);

#endif
