/*
 * The host's end of a tap, for benchmarks: netload INTERFACE SIZE sends frames of SIZE bytes to the
 * interface until it is killed, as fast as they are taken; netload INTERFACE echo sends each frame
 * that comes back to where it came from. Frames of more than 1514 bytes are TCP to be segmented.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>

#define FRAME_MAX   65550
#define BATCH	    64
#define ETHERTYPE   0x88b5 /* for experiments */
#define GSO_SEGMENT 1448

static int fail(const char *what)
{
	perror(what);
	return 1;
}

static void put16(uint8_t *at, unsigned value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

static void frame_make(uint8_t *buffer, size_t size)
{
	struct virtio_net_hdr *header = (struct virtio_net_hdr *)(void *)buffer;
	uint8_t *frame = buffer + sizeof(*header), *ip = frame + 14;

	memcpy(frame, "\x02\x00\x00\x00\x00\x02\x02\x00\x00\x00\x00\x01\x88\xb5", 14);
	if (size <= 1514)
		return;
	header->flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
	header->gso_type = VIRTIO_NET_HDR_GSO_TCPV4;
	header->hdr_len = 54;
	header->gso_size = GSO_SEGMENT;
	header->csum_start = 34;
	header->csum_offset = 16;
	put16(frame + 12, ETH_P_IP);
	ip[0] = 0x45;
	put16(ip + 2, (unsigned)size - 14);
	ip[8] = 64;
	ip[9] = 6;
	ip[20 + 12] = 0x50;
}

static int send_all(int fd, size_t size)
{
	static uint8_t buffer[sizeof(struct virtio_net_hdr) + FRAME_MAX];
	struct iovec iov = { buffer, sizeof(struct virtio_net_hdr) + size };
	struct mmsghdr messages[BATCH] = { 0 };

	frame_make(buffer, size);
	for (int i = 0; i < BATCH; i++) {
		messages[i].msg_hdr.msg_iov = &iov;
		messages[i].msg_hdr.msg_iovlen = 1;
	}
	/* ENOBUFS: the tap's queue is full; the guest takes what is there meanwhile. */
	for (;;) {
		if (sendmmsg(fd, messages, BATCH, 0) > 0)
			continue;
		if (errno != ENOBUFS)
			return fail("sendmmsg");
		nanosleep(&(struct timespec){ .tv_nsec = 50000 }, NULL);
	}
}

static int echo_all(int fd)
{
	static uint8_t buffer[sizeof(struct virtio_net_hdr) + FRAME_MAX];
	uint8_t *frame = buffer + sizeof(struct virtio_net_hdr), mac[6];

	for (;;) {
		ssize_t len = recv(fd, buffer, sizeof(buffer), 0);

		if (len < 0)
			return fail("recv");
		memcpy(mac, frame, 6);
		memcpy(frame, frame + 6, 6);
		memcpy(frame + 6, mac, 6);
		(void)!send(fd, buffer, (size_t)len, 0);
	}
}

int main(int argc, char **argv)
{
	struct sockaddr_ll address = { .sll_family = AF_PACKET };
	size_t size = argc == 3 ? strtoul(argv[2], NULL, 10) : 0;
	int echo = argc == 3 && strcmp(argv[2], "echo") == 0, one = 1;
	int fd;

	if (!echo && (size < 14 || size > FRAME_MAX)) {
		fprintf(stderr, "usage: netload INTERFACE SIZE|echo\n");
		return 2;
	}
	/* Only the echo takes frames; a sender would be given copies of its own. */
	fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	address.sll_ifindex = (int)if_nametoindex(argv[1]);
	address.sll_protocol = echo ? htons(ETHERTYPE) : 0;
	if (fd < 0 || !address.sll_ifindex)
		return fail(argv[1]);
	if (setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &one, sizeof(one)) < 0 ||
	    (!echo && setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &one, sizeof(one)) < 0) ||
	    bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return fail("packet socket");
	return echo ? echo_all(fd) : send_all(fd, size);
}
