/*
 * The network within a machine: the loopback interface and the cards, before the command runs.
 * Called by guest-init. Only libc.
 */
#ifndef VMM_GUEST_GUEST_NET_H
#define VMM_GUEST_GUEST_NET_H

#include <stdbool.h>
#include <stddef.h>

#include "vmm/guest/workload.h"

/*
 * Brings up lo and the cards of WORKLOAD, and writes /etc/resolv.conf when DHCP names servers. 0,
 * or -errno with a sentence in ERROR.
 */
int guest_net_configure(const struct workload *workload, char *error, size_t error_len);

#endif
