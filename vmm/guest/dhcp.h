/*
 * DHCP as little as a machine needs (RFC 2131, 2132): packets made and read, no sockets. Pure; only
 * libc. Called by guest_net.c.
 */
#ifndef VMM_GUEST_DHCP_H
#define VMM_GUEST_DHCP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DHCP_PACKET_MAX 576
#define DHCP_DNS_MAX	3

enum dhcp_type { DHCP_DISCOVER = 1, DHCP_OFFER = 2, DHCP_REQUEST = 3, DHCP_ACK = 5, DHCP_NAK = 6 };

/* Addresses in network order; 0: not told. */
struct dhcp_lease {
	uint32_t address;
	uint32_t mask;
	uint32_t gateway;
	uint32_t server;
	uint32_t dns[DHCP_DNS_MAX];
	unsigned dns_count;
	uint16_t mtu; /* 0: not told */
};

/* Writes an IPv4 packet, broadcast: a DISCOVER, or a REQUEST for OFFER. Its length. */
size_t dhcp_write(uint8_t packet[DHCP_PACKET_MAX], uint32_t id, const uint8_t mac[6],
		  const struct dhcp_lease *offer);

/*
 * Reads an IPv4 packet that arrived: its type when it is a server's answer to ID for MAC, with what
 * it offers; else 0.
 */
int dhcp_read(const uint8_t *packet, size_t len, uint32_t id, const uint8_t mac[6],
	      struct dhcp_lease *lease);

#endif
