/*
 * The network: a server for the host, and a client for the boundary that sends in bulk, goes to and
 * fro with one byte, and counts small datagrams. One connection a measurement; its first byte says
 * which.
 */
#include "vmm/compare/workload/load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CHUNK	 65536u
#define DATAGRAM 64u

static char buffer[CHUNK];

static struct sockaddr_in address_of(uint32_t host, const char *port)
{
	return (struct sockaddr_in){ .sin_family = AF_INET,
				     .sin_addr.s_addr = host,
				     .sin_port = htons((uint16_t)strtoul(port, NULL, 10)) };
}

static int write_full(int fd, const void *data, size_t len)
{
	const char *at = data;

	while (len > 0) {
		ssize_t n = write(fd, at, len);

		if (n <= 0)
			return -1;
		at += n;
		len -= (size_t)n;
	}
	return 0;
}

static void echo(int fd)
{
	char byte;

	while (read(fd, &byte, 1) == 1)
		if (write(fd, &byte, 1) != 1)
			break;
}

/* Takes what comes, and says how much it was when the sender has shut down its side. */
static void sink(int fd)
{
	uint64_t sum = 0;
	ssize_t len;

	while ((len = read(fd, buffer, sizeof(buffer))) > 0)
		sum += (uint64_t)len;
	if (write_full(fd, &sum, sizeof(sum)) < 0)
		return;
}

static void source(int fd)
{
	uint64_t len;

	if (read(fd, &len, sizeof(len)) != (ssize_t)sizeof(len))
		return;
	while (len > 0) {
		size_t n = len < CHUNK ? (size_t)len : CHUNK;

		if (write_full(fd, buffer, n) < 0)
			return;
		len -= n;
	}
}

/* Datagrams that arrive between the connection's first byte and its next one. */
static void count_datagrams(int fd, int udp)
{
	uint64_t count = 0;
	char byte;

	while (recv(udp, buffer, sizeof(buffer), MSG_DONTWAIT) >= 0)
		;
	if (write(fd, "", 1) != 1)
		return;
	for (;;) {
		if (recv(udp, buffer, sizeof(buffer), 0) >= 0) {
			count++;
			continue;
		}
		/* The receive times out each 10 ms; the asker's next byte ends it. */
		if (recv(fd, &byte, 1, MSG_DONTWAIT) >= 0 || errno != EAGAIN)
			break;
	}
	if (write_full(fd, &count, sizeof(count)) < 0)
		return;
}

static void serve_one(int fd, int udp)
{
	int on = 1;
	char mode;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (read(fd, &mode, 1) != 1)
		return;
	if (mode == 'r')
		echo(fd);
	else if (mode == 's')
		sink(fd);
	else if (mode == 'g')
		source(fd);
	else if (mode == 'u')
		count_datagrams(fd, udp);
}

/* Serves one connection after another until standard input ends with whoever started it. */
int load_serve(const char *port)
{
	struct sockaddr_in address = address_of(htonl(INADDR_ANY), port);
	struct timeval wait = { .tv_usec = 10000 };
	int tcp = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int on = 1, room = 4 << 20;
	pid_t parent = getpid();
	char byte;

	if (tcp < 0 || udp < 0)
		load_fail("socket");
	setsockopt(tcp, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	setsockopt(udp, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room));
	setsockopt(udp, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
	if (bind(tcp, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    bind(udp, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(tcp, 8) < 0)
		load_fail("bind");
	signal(SIGPIPE, SIG_IGN);
	if (fork() == 0) {
		while (read(STDIN_FILENO, &byte, 1) > 0)
			;
		kill(parent, SIGKILL);
		_exit(0);
	}
	if (write(STDOUT_FILENO, "first\n", 6) != 6)
		load_fail("write");
	for (;;) {
		int fd = accept4(tcp, NULL, NULL, SOCK_CLOEXEC);

		if (fd < 0)
			continue;
		serve_one(fd, udp);
		close(fd);
	}
}

/*
 * The address of the default route's router, in network order; 0 when there is none. Lines are
 * "eth0 00000000 0102A8C0 ..."; both numbers are hexadecimal.
 */
static uint32_t gateway(void)
{
	int fd = open("/proc/net/route", O_RDONLY | O_CLOEXEC);
	ssize_t len = fd < 0 ? 0 : read(fd, buffer, sizeof(buffer) - 1);
	char *line = buffer;

	if (fd >= 0)
		close(fd);
	buffer[len > 0 ? len : 0] = '\0';
	while ((line = strchr(line, '\n'))) {
		char *at = line + 1 + strcspn(line + 1, "\t");
		uint32_t destination = (uint32_t)strtoul(at, &at, 16);
		uint32_t router = (uint32_t)strtoul(at, NULL, 16);

		if (destination == 0 && router != 0)
			return router;
		line++;
	}
	return 0;
}

static int connect_to(const struct sockaddr_in *address, char mode)
{
	int on = 1;

	for (unsigned i = 0; i < 100; i++) {
		const struct timespec pause = { .tv_nsec = 50000000 };
		int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

		if (fd < 0)
			load_fail("socket");
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		if (connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0) {
			if (write(fd, &mode, 1) != 1)
				load_fail("write");
			return fd;
		}
		close(fd);
		/* The network may still be on its way up. */
		nanosleep(&pause, NULL);
	}
	load_fail("connect");
}

static void net_round_trips(const struct sockaddr_in *address, enum load_scale scale)
{
	static const unsigned counts[] = { 300, 3000, 20000 };
	int fd = connect_to(address, 'r');
	uint64_t start = 0;
	char byte = 0;

	/* The first ones find the way. */
	for (unsigned i = 0; i < counts[scale] + 20; i++) {
		if (i == 20)
			start = load_now_ns();
		if (write(fd, &byte, 1) != 1 || read(fd, &byte, 1) != 1)
			load_fail("round trip");
	}
	load_print("net_round_trip", (double)(load_now_ns() - start) / counts[scale]);
	close(fd);
}

static void net_send(const struct sockaddr_in *address, uint64_t len)
{
	int fd = connect_to(address, 's');
	uint64_t start = load_now_ns(), sum = 0;

	for (uint64_t done = 0; done < len; done += CHUNK)
		if (write_full(fd, buffer, CHUNK) < 0)
			load_fail("send");
	shutdown(fd, SHUT_WR);
	if (read(fd, &sum, sizeof(sum)) != (ssize_t)sizeof(sum) || sum < len) {
		errno = EIO;
		load_fail("send: not all arrived");
	}
	load_print("net_send", (double)sum * 1e9 / (double)(load_now_ns() - start));
	close(fd);
}

static void net_receive(const struct sockaddr_in *address, uint64_t len)
{
	int fd = connect_to(address, 'g');
	uint64_t start = load_now_ns(), sum = 0;
	ssize_t n;

	if (write_full(fd, &len, sizeof(len)) < 0)
		load_fail("receive");
	while ((n = read(fd, buffer, sizeof(buffer))) > 0)
		sum += (uint64_t)n;
	if (sum != len) {
		errno = EIO;
		load_fail("receive: not all arrived");
	}
	load_print("net_receive", (double)sum * 1e9 / (double)(load_now_ns() - start));
	close(fd);
}

static void net_datagrams(const struct sockaddr_in *address, enum load_scale scale)
{
	static const unsigned counts[] = { 3000, 30000, 200000 };
	int fd = connect_to(address, 'u');
	int udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	uint64_t start, took, count = 0;

	if (udp < 0 || connect(udp, (const struct sockaddr *)address, sizeof(*address)) < 0 ||
	    read(fd, buffer, 1) != 1)
		load_fail("datagrams");
	start = load_now_ns();
	for (unsigned i = 0; i < counts[scale]; i++)
		/* One that finds no room is lost, as it would be further on. */
		if (send(udp, buffer, DATAGRAM, 0) < 0 && errno != ENOBUFS && errno != ECONNREFUSED)
			load_fail("datagram");
	took = load_now_ns() - start;
	if (write(fd, "", 1) != 1 || read(fd, &count, sizeof(count)) != (ssize_t)sizeof(count))
		load_fail("datagrams");
	load_print("net_datagrams", (double)count * 1e9 / (double)took);
	close(udp);
	close(fd);
}

int load_net(const char *host, const char *port, enum load_scale scale)
{
	static const uint64_t lens[] = { 8u << 20, 64u << 20, 512u << 20 };
	struct sockaddr_in address = address_of(0, port);

	if (strcmp(host, "gateway") == 0)
		address.sin_addr.s_addr = gateway();
	else if (inet_pton(AF_INET, host, &address.sin_addr) != 1)
		address.sin_addr.s_addr = 0;
	if (address.sin_addr.s_addr == 0) {
		errno = EHOSTUNREACH;
		load_fail(host);
	}
	net_round_trips(&address, scale);
	net_send(&address, lens[scale]);
	net_receive(&address, lens[scale]);
	net_datagrams(&address, scale);
	return 0;
}
