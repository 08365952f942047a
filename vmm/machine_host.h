/*
 * What the host lends a machine, opened once and kept over resets. Private to vmm/machine*.c.
 */
#ifndef VMM_MACHINE_HOST_H
#define VMM_MACHINE_HOST_H

#include "devices/block/block.h"
#include "devices/char/char_hub.h"
#include "devices/net/net.h"
#include "vmm/machine.h"
#include "vmm/machine_limits.h"

struct machine_host {
	const struct config *config; /* borrowed */
	struct io_threads *io;	     /* borrowed */
	struct machine_events events;
	struct machine_ports ports;
	struct char_hub *console;
	struct block *disks[CONFIG_DISKS_MAX];
	struct net *nets[CONFIG_NETS_MAX];
	struct machine_limits limits;
};

#endif
