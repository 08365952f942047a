/*
 * DHCP packets. See dhcp.h. What arrives is not trusted.
 */
#include "vmm/guest/dhcp.h"

#include <string.h>

#define IP_LEN	    20
#define UDP_LEN	    8
#define BOOTP_LEN   236
#define OPTIONS_AT  (IP_LEN + UDP_LEN + BOOTP_LEN + 4)
#define PACKET_LEN  (IP_LEN + UDP_LEN + 300) /* shorter ones are refused by some servers */
#define PORT_SERVER 67
#define PORT_CLIENT 68

enum option {
	OPTION_MASK = 1,
	OPTION_ROUTER = 3,
	OPTION_DNS = 6,
	OPTION_MTU = 26,
	OPTION_ADDRESS = 50,
	OPTION_TYPE = 53,
	OPTION_SERVER = 54,
	OPTION_WANTED = 55,
	OPTION_END = 255,
};

static const uint8_t magic[4] = { 99, 130, 83, 99 };

static void put16(uint8_t *at, unsigned value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

static unsigned get16(const uint8_t *at)
{
	return (unsigned)(at[0] << 8 | at[1]);
}

static uint32_t get_address(const uint8_t *at)
{
	uint32_t address;

	memcpy(&address, at, 4);
	return address;
}

static uint16_t ip_checksum(const uint8_t *header)
{
	uint32_t sum = 0;

	for (unsigned i = 0; i < IP_LEN; i += 2)
		sum += get16(header + i);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

static void put_headers(uint8_t *packet)
{
	packet[0] = 0x45;
	put16(packet + 2, PACKET_LEN);
	packet[8] = 64;
	packet[9] = 17; /* UDP */
	memset(packet + 16, 0xff, 4);
	put16(packet + 10, ip_checksum(packet));
	put16(packet + IP_LEN, PORT_CLIENT);
	put16(packet + IP_LEN + 2, PORT_SERVER);
	put16(packet + IP_LEN + 4, PACKET_LEN - IP_LEN);
	/* No checksum of UDP's: 0 says so. */
}

static uint8_t *put_option(uint8_t *at, enum option option, const void *value, uint8_t len)
{
	*at++ = (uint8_t)option;
	*at++ = len;
	memcpy(at, value, len);
	return at + len;
}

size_t dhcp_write(uint8_t packet[DHCP_PACKET_MAX], uint32_t id, const uint8_t mac[6],
		  const struct dhcp_lease *offer)
{
	static const uint8_t wanted[] = { OPTION_MASK, OPTION_ROUTER, OPTION_DNS, OPTION_MTU };
	uint8_t *bootp = packet + IP_LEN + UDP_LEN;
	uint8_t type = offer ? DHCP_REQUEST : DHCP_DISCOVER;
	uint8_t *at = packet + OPTIONS_AT;

	memset(packet, 0, DHCP_PACKET_MAX);
	put_headers(packet);
	bootp[0] = 1; /* a request, by Ethernet */
	bootp[1] = 1;
	bootp[2] = 6;
	memcpy(bootp + 4, &id, 4);
	memcpy(bootp + 28, mac, 6);
	memcpy(at - 4, magic, 4);
	at = put_option(at, OPTION_TYPE, &type, 1);
	if (offer) {
		at = put_option(at, OPTION_ADDRESS, &offer->address, 4);
		at = put_option(at, OPTION_SERVER, &offer->server, 4);
	}
	at = put_option(at, OPTION_WANTED, wanted, sizeof(wanted));
	*at = OPTION_END;
	return PACKET_LEN;
}

static void read_dns(struct dhcp_lease *lease, const uint8_t *value, unsigned len)
{
	for (; len >= 4 && lease->dns_count < DHCP_DNS_MAX; value += 4, len -= 4)
		lease->dns[lease->dns_count++] = get_address(value);
}

static void read_option(struct dhcp_lease *lease, int *type, unsigned option, const uint8_t *value,
			unsigned len)
{
	if (option == OPTION_TYPE && len == 1)
		*type = value[0];
	else if (option == OPTION_MASK && len == 4)
		lease->mask = get_address(value);
	else if (option == OPTION_ROUTER && len >= 4)
		lease->gateway = get_address(value);
	else if (option == OPTION_SERVER && len == 4)
		lease->server = get_address(value);
	else if (option == OPTION_MTU && len == 2)
		lease->mtu = (uint16_t)get16(value);
	else if (option == OPTION_DNS)
		read_dns(lease, value, len);
}

static int read_options(const uint8_t *at, const uint8_t *end, struct dhcp_lease *lease)
{
	int type = 0;

	while (at < end && *at != OPTION_END) {
		if (*at == 0) {
			at++;
			continue;
		}
		if (end - at < 2 || end - at - 2 < at[1])
			return 0;
		read_option(lease, &type, at[0], at + 2, at[1]);
		at += 2 + at[1];
	}
	return type;
}

int dhcp_read(const uint8_t *packet, size_t len, uint32_t id, const uint8_t mac[6],
	      struct dhcp_lease *lease)
{
	size_t header_len = len ? (size_t)(packet[0] & 15) * 4 : 0;
	const uint8_t *udp = packet + header_len;
	const uint8_t *bootp = udp + UDP_LEN;
	int type;

	memset(lease, 0, sizeof(*lease));
	if (header_len < IP_LEN || len < header_len + UDP_LEN + BOOTP_LEN + 4 ||
	    packet[0] >> 4 != 4 || packet[9] != 17 || (get16(packet + 6) & 0x3fff) != 0)
		return 0;
	if (get16(udp) != PORT_SERVER || get16(udp + 2) != PORT_CLIENT || bootp[0] != 2 ||
	    memcmp(bootp + 4, &id, 4) != 0 || memcmp(bootp + 28, mac, 6) != 0 ||
	    memcmp(bootp + BOOTP_LEN, magic, 4) != 0)
		return 0;
	lease->address = get_address(bootp + 16);
	type = read_options(bootp + BOOTP_LEN + 4, packet + len, lease);
	return type == DHCP_OFFER || type == DHCP_ACK || type == DHCP_NAK ? type : 0;
}
