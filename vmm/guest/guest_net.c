/*
 * Addresses and routes by ioctl(2), DHCP by a packet socket, since there is no address yet that
 * answers could be sent to. See guest_net.h.
 */
#include "vmm/guest/guest_net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <net/route.h>
#include <netpacket/packet.h>
#include <poll.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "vmm/guest/dhcp.h"
#include "vmm/guest/text.h"

/* How long to wait for an answer, and how often to ask. */
static const int wait_ms[] = { 100, 300, 600, 1000, 2000, 4000 };
#define WAITS (sizeof(wait_ms) / sizeof(wait_ms[0]))

struct card {
	int fd; /* a socket for ioctl(2) */
	char name[IFNAMSIZ];
};

static struct ifreq request_for(const struct card *card)
{
	struct ifreq request;

	memset(&request, 0, sizeof(request));
	memcpy(request.ifr_name, card->name, IFNAMSIZ);
	return request;
}

static int bring_up(const struct card *card)
{
	struct ifreq request = request_for(card);

	if (ioctl(card->fd, SIOCGIFFLAGS, &request) < 0)
		return -errno;
	request.ifr_flags |= IFF_UP;
	return ioctl(card->fd, SIOCSIFFLAGS, &request) < 0 ? -errno : 0;
}

static void put_address(struct sockaddr *out, uint32_t address)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = address };

	memcpy(out, &in, sizeof(in));
}

static int set_address(const struct card *card, unsigned long what, uint32_t address)
{
	struct ifreq request = request_for(card);

	put_address(&request.ifr_addr, address);
	return ioctl(card->fd, (int)what, &request) < 0 ? -errno : 0;
}

/* A route to HOST alone, or to everywhere by way of GATEWAY. */
static int add_route(const struct card *card, uint32_t host, uint32_t gateway)
{
	struct rtentry route = { .rt_flags = RTF_UP | (host ? RTF_HOST : RTF_GATEWAY),
				 .rt_dev = (char *)card->name };

	put_address(&route.rt_dst, host);
	put_address(&route.rt_genmask, host ? UINT32_MAX : 0);
	put_address(&route.rt_gateway, gateway);
	return ioctl(card->fd, SIOCADDRT, &route) < 0 && errno != EEXIST ? -errno : 0;
}

static int apply(const struct card *card, const struct dhcp_lease *lease)
{
	int ret = set_address(card, SIOCSIFADDR, lease->address);

	if (ret == 0 && lease->mask)
		ret = set_address(card, SIOCSIFNETMASK, lease->mask);
	if (ret == 0 && lease->mtu >= 576) {
		struct ifreq request = request_for(card);

		request.ifr_mtu = lease->mtu;
		ioctl(card->fd, SIOCSIFMTU, &request); /* what the card cannot do it does not */
	}
	if (ret < 0 || !lease->gateway)
		return ret;
	/* One that is not on this network is reached directly all the same. */
	if ((lease->gateway & lease->mask) != (lease->address & lease->mask))
		ret = add_route(card, lease->gateway, 0);
	return ret < 0 ? ret : add_route(card, 0, lease->gateway);
}

/* ---- DHCP ---- */

struct exchange {
	int fd;
	struct sockaddr_ll to;
	uint8_t mac[6];
	uint32_t id;
};

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static int open_exchange(struct exchange *exchange, const struct card *card)
{
	struct ifreq request = request_for(card);

	memset(exchange, 0, sizeof(*exchange));
	exchange->fd = -1;
	if (ioctl(card->fd, SIOCGIFHWADDR, &request) < 0)
		return -errno;
	memcpy(exchange->mac, request.ifr_hwaddr.sa_data, 6);
	memcpy(&exchange->id, exchange->mac + 2, 4);
	exchange->id ^= (uint32_t)now_ms();
	if (ioctl(card->fd, SIOCGIFINDEX, &request) < 0)
		return -errno;
	exchange->to = (struct sockaddr_ll){ .sll_family = AF_PACKET,
					     .sll_protocol = htons(ETH_P_IP),
					     .sll_ifindex = request.ifr_ifindex,
					     .sll_halen = 6 };
	exchange->fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, htons(ETH_P_IP));
	if (exchange->fd < 0)
		return -errno;
	if (bind(exchange->fd, (struct sockaddr *)&exchange->to, sizeof(exchange->to)) < 0)
		return -errno;
	memset(exchange->to.sll_addr, 0xff, 6);
	return 0;
}

/* Waits for an answer of type WANTED until DEADLINE. */
static bool receive(struct exchange *exchange, int wanted, uint64_t deadline,
		    struct dhcp_lease *lease)
{
	uint8_t packet[1500];

	for (;;) {
		struct pollfd ready = { .fd = exchange->fd, .events = POLLIN };
		uint64_t now = now_ms();
		ssize_t len;

		if (now >= deadline || poll(&ready, 1, (int)(deadline - now)) <= 0)
			return false;
		len = recv(exchange->fd, packet, sizeof(packet), MSG_DONTWAIT);
		if (len > 0 &&
		    dhcp_read(packet, (size_t)len, exchange->id, exchange->mac, lease) == wanted)
			return true;
	}
}

static bool ask(struct exchange *exchange, const struct dhcp_lease *offer, int wanted, int ms,
		struct dhcp_lease *lease)
{
	uint8_t packet[DHCP_PACKET_MAX];
	size_t len = dhcp_write(packet, exchange->id, exchange->mac, offer);

	if (sendto(exchange->fd, packet, len, 0, (struct sockaddr *)&exchange->to,
		   sizeof(exchange->to)) < 0)
		return false;
	return receive(exchange, wanted, now_ms() + (uint64_t)ms, lease);
}

static int lease_address(const struct card *card, struct dhcp_lease *lease)
{
	struct exchange exchange;
	struct dhcp_lease offer;
	int ret = open_exchange(&exchange, card);
	bool done = false;

	for (size_t i = 0; ret == 0 && !done && i < WAITS; i++)
		done = ask(&exchange, NULL, DHCP_OFFER, wait_ms[i], &offer) &&
		       ask(&exchange, &offer, DHCP_ACK, wait_ms[i], lease);
	if (exchange.fd >= 0)
		close(exchange.fd);
	return ret < 0 ? ret : done ? 0 : -ETIMEDOUT;
}

static void write_resolv(const struct dhcp_lease *lease)
{
	int fd;

	if (!lease->dns_count)
		return;
	/* The root's own may be a link to what some service writes that does not run here. */
	unlink("/etc/resolv.conf");
	fd = open("/etc/resolv.conf", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	for (unsigned i = 0; fd >= 0 && i < lease->dns_count; i++) {
		uint8_t bytes[4];
		char n[4][TEXT_NUMBER_MAX], line[64];
		size_t len;

		memcpy(bytes, &lease->dns[i], sizeof(bytes));
		len = text_join(line, sizeof(line), "nameserver ", text_number(n[0], bytes[0]), ".",
				text_number(n[1], bytes[1]), ".", text_number(n[2], bytes[2]), ".",
				text_number(n[3], bytes[3]), "\n");
		if (write(fd, line, len) < 0)
			break;
	}
	if (fd >= 0)
		close(fd);
}

/* ---- cards ---- */

/* ADDRESS/LENGTH */
static int read_static(const struct workload_net *net, struct dhcp_lease *lease)
{
	char address[32];
	const char *slash = strchr(net->ip, '/');
	int bits = slash ? atoi(slash + 1) : 0;

	memset(lease, 0, sizeof(*lease));
	if (!slash || (size_t)(slash - net->ip) >= sizeof(address) || bits < 1 || bits > 32)
		return -EINVAL;
	memcpy(address, net->ip, (size_t)(slash - net->ip));
	address[slash - net->ip] = '\0';
	lease->mask = htonl(UINT32_MAX << (32 - bits));
	if (inet_pton(AF_INET, address, &lease->address) != 1 ||
	    (net->gateway && inet_pton(AF_INET, net->gateway, &lease->gateway) != 1))
		return -EINVAL;
	return 0;
}

static int configure_card(const struct card *card, const struct workload_net *net, char *error,
			  size_t error_len)
{
	struct dhcp_lease lease;
	int ret = bring_up(card);

	if (ret < 0) {
		text_join(error, error_len, "bring up ", card->name, ": ", strerror(-ret));
		return ret;
	}
	if (!net->ip)
		return 0;
	if (strcmp(net->ip, "dhcp") == 0) {
		ret = lease_address(card, &lease);
		if (ret < 0) {
			text_join(error, error_len, "no address by DHCP on ", card->name, ": ",
				  strerror(-ret));
			return ret;
		}
		write_resolv(&lease);
	} else {
		ret = read_static(net, &lease);
	}
	if (ret == 0)
		ret = apply(card, &lease);
	if (ret < 0)
		text_join(error, error_len, "set the address of ", card->name, ": ",
			  strerror(-ret));
	return ret;
}

int guest_net_configure(const struct workload *workload, char *error, size_t error_len)
{
	struct card card = { .fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), .name = "lo" };
	int ret = 0;

	if (card.fd < 0) {
		text_join(error, error_len, "this kernel has no IPv4: ", strerror(errno));
		return workload->net_count ? -EAFNOSUPPORT : 0;
	}
	bring_up(&card);
	for (unsigned i = 0; ret == 0 && i < workload->net_count; i++) {
		char number[TEXT_NUMBER_MAX];

		text_join(card.name, sizeof(card.name), "eth", text_number(number, i));
		ret = configure_card(&card, &workload->nets[i], error, error_len);
	}
	close(card.fd);
	return ret;
}
