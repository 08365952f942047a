/*
 * The limits of a machine's devices: one each, or one for all devices of a group. Part of what the
 * host lends a machine: a reset does not refill them. Private to vmm/machine*.c. Main thread.
 */
#ifndef VMM_MACHINE_LIMITS_H
#define VMM_MACHINE_LIMITS_H

#include "devices/limit.h"
#include "vmm/config.h"

/* By the device's place in the configuration; NULL: not bounded. Members of a group are the same.
 */
struct machine_limits {
	struct limit *disks[CONFIG_DISKS_MAX];
	struct limit *receive[CONFIG_NETS_MAX];
	struct limit *send[CONFIG_NETS_MAX];
};

/* LIMITS is zeroed. What was made is to be destroyed also when this fails. 0 or -errno, logged. */
int machine_limits_create(struct machine_limits *limits, const struct config *config) MUST_CHECK;
void machine_limits_destroy(struct machine_limits *limits);

#endif
