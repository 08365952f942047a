/*
 * Attacks on virtio devices, and what must hold after each.
 */
#ifndef TESTS_GUEST_LIB_HOSTILE_H
#define TESTS_GUEST_LIB_HOSTILE_H

#include "tests/guest/lib/virtio.h"

#define HOSTILE_QUEUES_MAX  4
#define HOSTILE_SCRATCH_LEN (1u << 20)
#define HOSTILE_RINGS	    (1ull << VIRTIO_RING_F_INDIRECT_DESC | 1ull << VIRTIO_RING_F_EVENT_IDX)

/* One queue of one device. */
struct target {
	const char *name;
	uint16_t device_id;
	uint16_t queue;
	bool eager;   /* the device looks at the queue as soon as it is notified */
	bool streams; /* of a console with the relay's ports: command-line word "streams" */
	uint64_t features;
	/* From reset: an honest driver's work. False: it does not work. */
	bool (*honest)(void);
	/* Makes the device look at a queue that is not eager; NULL: it is left at that. */
	void (*poke)(struct target *target);
	/* Set while it is attacked. */
	struct virtio_dev dev;
	struct vq vq[HOSTILE_QUEUES_MAX];
	unsigned queue_count;
};

struct attack {
	const char *name;
	bool breaks;	 /* an eager device must ask for a reset */
	bool before_ok;	 /* runs before DRIVER_OK */
	bool plain_only; /* without indirect descriptors and event index */
	void (*run)(struct vq *vq);
};

extern struct target hostile_targets[];
extern const unsigned hostile_target_count;
extern const struct attack hostile_ring_attacks[], hostile_setup_attacks[];
extern const unsigned hostile_ring_attack_count, hostile_setup_attack_count;

/* Memory that devices may do with as they like. */
extern uint8_t *hostile_scratch;

/* Whether TARGET is one of this machine's. */
bool hostile_is_here(const struct target *target);
/* An honest driver of a console with the relay's ports: opens the command's input and output, reads
 * from one and writes to the other. */
bool hostile_honest_streams(void);

/* Starts the second disk; tells the host to take its measure of the monitor, and again at the end.
 */
void hostile_begin(void);
void hostile_end(void);

/* From reset to DRIVER_OK (unless BEFORE_OK) with all queues of the target's device. */
bool hostile_open(struct target *target, uint64_t features, bool before_ok);
/* Resets, lets the honest drivers work, says how it went. ALREADY_BAD fails it anyway. */
void hostile_verdict(struct target *target, const char *attack, bool already_bad);
/* Waits a moment for the device to react. True when it asks for a reset. */
bool hostile_settle(struct target *target);
/* The first target with this device. */
struct target *hostile_target_of(uint16_t device_id);
uint64_t hostile_random_number(void);

/*
 * What the balloon finds in scratch memory is page numbers, and what earlier attacks have left
 * there may be those of this program's own pages. Random ones are of the first MiB, where nothing
 * is kept.
 */
void hostile_clear(const struct target *target);
void hostile_attack(struct target *target, const struct attack *attack);
/* Rings filled with whatever comes. */
void hostile_random(struct target *target);
void hostile_notifications(struct target *target);
void hostile_requests(uint16_t device_id);
void hostile_registers(uint16_t device_id);
void hostile_races(uint16_t device_id);
/* What the second CPU does from now on, again and again; NULL: nothing. STEP ends by itself. */
void hostile_beside(void (*step)(void));
/* Memory goes to the host while devices use it. */
void hostile_pull(void);
/* Where the transport is PCI. */
void hostile_pci(uint16_t device_id);
void hostile_ports(void);

#endif
