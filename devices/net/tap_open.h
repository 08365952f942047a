/*
 * Opening a tap: its queues' descriptors, what they need before frames go through them, and why it
 * cannot be. For net_tap.c, on the main thread.
 */
#ifndef DEVICES_NET_TAP_OPEN_H
#define DEVICES_NET_TAP_OPEN_H

#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>

#include "vmm/err.h"

/*
 * Opens COUNT queues of the tap NAME, which is made where that is allowed; a %d in NAME becomes a
 * number. *OPENED says how many of FDS are the caller's to close, also when it fails. 0 or -errno,
 * logged with the cure.
 */
int tap_open_queues(char name[IFNAMSIZ], unsigned count, int *fds, unsigned *opened) MUST_CHECK;

/* What FD, passed in, is: its name and flags. 0 or -errno, logged. */
int tap_check_fd(int fd, struct ifreq *ifr) MUST_CHECK;

/* Header (none when PLAIN), byte order, O_NONBLOCK of a queue. 0 or -errno, logged. */
int tap_setup_queue(const char *name, int fd, bool plain) MUST_CHECK;

/* The offloads that the kernel has, as TUN_F_ flags; none is switched on. */
unsigned tap_probe_offloads(int fd);

/* Brings the interface up. *MTU becomes how long its frames may be, where it says so. 0 or -errno,
 * logged. */
int tap_bring_up(const char *name, uint16_t *mtu) MUST_CHECK;

#endif
