/*
 * User-mode network through passt. Setup on the main thread, frames on the loop of the only pair.
 *
 * passt gets one end of a socket pair and no other descriptor. It ends by itself when the other end
 * closes, so however the monitor dies passt follows; a session of its own keeps it out of the
 * terminal's signals. What it writes is kept in a pipe and shown only if it ends by itself.
 *
 * passt has no virtio header and no offloads: the header is taken off and put on here, empty. Its
 * frames may be large, and since it ends TCP connections itself, no path limits them: a large MTU
 * stands in for segmentation offload.
 */
#include "devices/net/net_passt.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "devices/net/net_event.h"
#include "devices/net/net_iov.h"
#include "devices/net/net_stream.h"
#include "vmm/log.h"

#define PASST_MTU    65520
#define PASST_FD     3
#define SPEC_LEN     96 /* [address/]port:port */
#define ARGS_MAX     (12 + 2 * NET_PASST_PUBLISH_MAX)
#define SOCKET_ROOM  (1 << 20)
#define SAID_LEN_MAX 1024

struct net_passt {
	struct net net;
	int fd;
	int said_fd; /* what passt writes on stderr */
	pid_t pid;
	bool down; /* said once that it ended */
	struct net_stream stream;
	struct net_event event;
};

static struct net_passt *to_passt(struct net *net)
{
	return container_of(net, struct net_passt, net);
}

/* ---- the end of passt ---- */

/* Lines that passt always writes when it is started by root, or without a syslog. */
static bool is_chatter(const char *line)
{
	return strncmp(line, "Don't run as root", 17) == 0 ||
	       strncmp(line, "Failed to send", 14) == 0;
}

/* The last line that passt wrote and that could say why it ended, or "". TEXT has room for
 * SAID_LEN_MAX + 1 bytes. */
static const char *last_said(struct net_passt *passt, char *text)
{
	ssize_t len = read(passt->said_fd, text, SAID_LEN_MAX);
	const char *last = "";
	char *rest = NULL;

	text[len > 0 ? len : 0] = '\0';
	for (char *line = strtok_r(text, "\r\n", &rest); line;
	     line = strtok_r(NULL, "\r\n", &rest)) {
		if (!is_chatter(line))
			last = line;
	}
	return last;
}

static void passt_ended(struct net_passt *passt)
{
	char text[SAID_LEN_MAX + 1];
	const char *said;

	if (passt->down)
		return;
	passt->down = true;
	passt->net.link_up = false;
	said = last_said(passt, text);
	if (waitpid(passt->pid, NULL, WNOHANG) == passt->pid)
		passt->pid = 0;
	log_warn("passt has ended, the machine has no network any more%s%s%s", *said ? ": " : "",
		 said,
		 strstr(said, "External interface") ? ": passt needs a host with a default route"
						    : "");
	if (passt->event.user && passt->event.user->link)
		passt->event.user->link(passt->event.user->opaque, false);
}

static void passt_destroy(struct net *net)
{
	struct net_passt *passt = to_passt(net);

	net_event_detach(&passt->event);
	net_stream_fini(&passt->stream);
	if (passt->fd >= 0)
		close(passt->fd);
	if (passt->pid > 0) {
		/* It goes when its socket closes, which may take it a moment that nobody needs. */
		kill(passt->pid, SIGTERM);
		while (waitpid(passt->pid, NULL, 0) < 0 && errno == EINTR)
			;
	}
	if (passt->said_fd >= 0)
		close(passt->said_fd);
	free(passt);
}

/* ---- frames ---- */

static int passt_attach(struct net *net, unsigned pair, struct loop *loop,
			const struct net_queue_user *user)
{
	struct net_passt *passt = to_passt(net);

	return net_event_attach(&passt->event, passt->fd, pair, loop, user);
}

static void passt_detach(struct net *net, unsigned pair)
{
	(void)pair;
	net_event_detach(&to_passt(net)->event);
}

static int passt_send(struct net *net, unsigned pair, const struct iovec *iov, unsigned iov_count)
{
	struct net_passt *passt = to_passt(net);
	struct iovec frame[NET_IOV_MAX];
	unsigned count;
	int ret;

	(void)pair;
	if (iov_count > NET_IOV_MAX)
		return -EMSGSIZE;
	count = net_iov_skip(frame, iov, iov_count, NET_HDR_LEN);
	ret = net_stream_send(&passt->stream, frame, count, net_iov_len(frame, count));
	if (ret == -EPIPE)
		passt_ended(passt);
	/* Also what was taken in part has to be finished when there is room. */
	if (ret == -EAGAIN || passt->stream.out_start < passt->stream.out_end)
		net_event_want_writable(&passt->event);
	return ret;
}

static int64_t passt_receive(struct net *net, unsigned pair, const struct iovec *iov,
			     unsigned iov_count)
{
	static const uint8_t no_header[NET_HDR_LEN];
	struct net_passt *passt = to_passt(net);
	const uint8_t *frame;
	int64_t len;

	(void)pair;
	len = net_stream_receive(&passt->stream, &frame);
	if (len == -EPIPE)
		passt_ended(passt);
	if (len < 0)
		return len;
	net_iov_write(iov, iov_count, 0, no_header, NET_HDR_LEN);
	if (net_iov_write(iov, iov_count, NET_HDR_LEN, frame, (size_t)len) < (size_t)len)
		return 0;
	return len + NET_HDR_LEN;
}

static void passt_ready(struct net_event *event, uint32_t events)
{
	struct net_passt *passt = container_of(event, struct net_passt, event);

	(void)events;
	if (net_stream_flush(&passt->stream) == -EAGAIN)
		net_event_want_writable(event);
}

static int passt_set_offload(struct net *net, unsigned tun_flags)
{
	(void)net;
	return tun_flags ? -EOPNOTSUPP : 0;
}

static int passt_set_pairs(struct net *net, unsigned pairs)
{
	(void)net;
	return pairs == 1 ? 0 : -EOPNOTSUPP;
}

static const struct net_ops passt_ops = {
	.name = "user",
	.attach = passt_attach,
	.detach = passt_detach,
	.send = passt_send,
	.receive = passt_receive,
	.set_offload = passt_set_offload,
	.set_pairs = passt_set_pairs,
	.destroy = passt_destroy,
};

/* ---- starting it ---- */

/* -errno when the port cannot be bound: passt itself would go on without it, and say nothing. */
static int publish_try(const struct net_passt_publish *publish)
{
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6,
				    .sin6_port = htons(publish->host_port) };
	struct sockaddr_in in4 = { .sin_family = AF_INET, .sin_port = htons(publish->host_port) };
	int type = (publish->udp ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC;
	const char *addr = publish->host_addr;
	bool is_in6 = addr && inet_pton(AF_INET6, addr, &in6.sin6_addr) == 1;
	auto_close int fd = -1;
	int one = 1;
	int ret;

	if (addr && !is_in6 && inet_pton(AF_INET, addr, &in4.sin_addr) != 1)
		return -EINVAL;
	fd = socket(is_in6 ? AF_INET6 : AF_INET, type, 0);
	if (fd < 0)
		return -errno;
	/* TCP: what is left of closed connections is no obstacle; UDP: this would hide a user. */
	if (!publish->udp)
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (is_in6)
		ret = bind(fd, (const struct sockaddr *)&in6, sizeof(in6));
	else
		ret = bind(fd, (const struct sockaddr *)&in4, sizeof(in4));
	return ret < 0 ? -errno : 0;
}

static int publish_check(const struct net_passt_publish *publish)
{
	const char *addr = publish->host_addr ? publish->host_addr : "*";
	const char *protocol = publish->udp ? "udp" : "tcp";
	int ret = publish_try(publish);

	switch (-ret) {
	case 0:
		return 0;
	case EINVAL:
		return log_errno(EINVAL, "publish %s: not an IP address", addr);
	case EADDRINUSE:
		return log_errno(EADDRINUSE,
				 "publish %s:%u/%s: another program has this port: ss -lp shows it",
				 addr, publish->host_port, protocol);
	case EACCES:
		return log_errno(EACCES,
				 "publish %s:%u/%s: use a port from 1024 on, or "
				 "sysctl net.ipv4.ip_unprivileged_port_start=%u",
				 addr, publish->host_port, protocol, publish->host_port);
	case EADDRNOTAVAIL:
		return log_errno(EADDRNOTAVAIL, "publish %s:%u/%s: the host has no such address",
				 addr, publish->host_port, protocol);
	default:
		return log_errno(ret, "publish %s:%u/%s", addr, publish->host_port, protocol);
	}
}

static void publish_spec(const struct net_passt_publish *publish, char *spec)
{
	snprintf(spec, SPEC_LEN, "%s%s%u:%u", publish->host_addr ? publish->host_addr : "",
		 publish->host_addr ? "/" : "", publish->host_port, publish->guest_port);
}

/* What passt finds open when it starts: nothing but these. */
static int spawn_files(posix_spawn_file_actions_t *files, int socket_fd, int said_fd)
{
	int err = posix_spawn_file_actions_addopen(files, 0, "/dev/null", O_RDONLY, 0);

	if (!err)
		err = posix_spawn_file_actions_addopen(files, 1, "/dev/null", O_WRONLY, 0);
	/* In this order: neither of the two is below 3, so nothing is overwritten before use. */
	if (!err)
		err = posix_spawn_file_actions_adddup2(files, said_fd, 2);
	if (!err)
		err = posix_spawn_file_actions_adddup2(files, socket_fd, PASST_FD);
	if (!err)
		err = posix_spawn_file_actions_addclosefrom_np(files, PASST_FD + 1);
	return err;
}

static int spawn_passt(pid_t *pid, char *const *argv, int socket_fd, int said_fd)
{
	static const short flags =
		POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF;
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attr;
	sigset_t none, all;
	int err;

	sigemptyset(&none);
	sigfillset(&all);
	err = posix_spawn_file_actions_init(&files);
	if (err)
		return -err;
	err = posix_spawnattr_init(&attr);
	if (!err) {
		posix_spawnattr_setflags(&attr, flags);
		posix_spawnattr_setsigmask(&attr, &none);
		posix_spawnattr_setsigdefault(&attr, &all);
		err = spawn_files(&files, socket_fd, said_fd);
		if (!err)
			err = posix_spawnp(pid, argv[0], &files, &attr, argv, environ);
		posix_spawnattr_destroy(&attr);
	}
	posix_spawn_file_actions_destroy(&files);
	return -err;
}

/* A descriptor that spawn_files' dup2 calls cannot overwrite. */
static int above_standard(int fd)
{
	int high = fcntl(fd, F_DUPFD_CLOEXEC, PASST_FD + 1);

	close(fd);
	return high;
}

static int passt_start(struct net_passt *passt, const struct net_passt_publish *publish,
		       unsigned publish_count)
{
	char mtu[8], socket_fd[8];
	char *argv[ARGS_MAX] = { "passt", "-f", "-q", "-m", mtu, "-F", socket_fd };
	char specs[NET_PASST_PUBLISH_MAX][SPEC_LEN];
	unsigned argc = 7;
	int sockets[2], said[2];
	int ret;

	snprintf(mtu, sizeof(mtu), "%u", passt->net.mtu);
	snprintf(socket_fd, sizeof(socket_fd), "%d", PASST_FD);
	for (unsigned i = 0; i < publish_count; i++) {
		publish_spec(&publish[i], specs[i]);
		argv[argc++] = publish[i].udp ? "-u" : "-t";
		argv[argc++] = specs[i];
	}
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) < 0)
		return log_errno(errno, "socket pair for passt");
	passt->fd = sockets[0];
	sockets[1] = above_standard(sockets[1]);
	if (pipe2(said, O_CLOEXEC | O_NONBLOCK) < 0) {
		ret = log_errno(errno, "pipe for passt");
		close(sockets[1]);
		return ret;
	}
	passt->said_fd = said[0];
	said[1] = above_standard(said[1]);
	ret = spawn_passt(&passt->pid, argv, sockets[1], said[1]);
	close(sockets[1]);
	close(said[1]);
	if (ret == -ENOENT)
		return log_errno(ENOENT, "start passt for the user-mode network: install the "
					 "package passt, or use --net none or tap=NAME");
	if (ret < 0)
		return log_errno(ret, "start passt for the user-mode network");
	return 0;
}

static void passt_size_socket(const struct net_passt *passt)
{
	int room = SOCKET_ROOM;

	/* As much as the host allows: a burst of large frames then needs no waiting. */
	setsockopt(passt->fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
	setsockopt(passt->fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room));
}

int net_passt_create(struct net **out, uint16_t mtu, const struct net_passt_publish *publish,
		     unsigned publish_count)
{
	struct net_passt *passt;
	int ret = 0;

	if (publish_count > NET_PASST_PUBLISH_MAX)
		return log_errno(E2BIG, "publish: at most %d ports", NET_PASST_PUBLISH_MAX);
	for (unsigned i = 0; i < publish_count && ret == 0; i++)
		ret = publish_check(&publish[i]);
	if (ret < 0)
		return ret;
	passt = calloc(1, sizeof(*passt));
	if (!passt)
		return log_errno(ENOMEM, "set up the user-mode network");
	passt->fd = -1;
	passt->said_fd = -1;
	passt->event.ready = passt_ready;
	passt->net = (struct net){
		.ops = &passt_ops, .pairs_max = 1, .mtu = mtu ? mtu : PASST_MTU, .link_up = true
	};
	ret = passt_start(passt, publish, publish_count);
	if (ret == 0) {
		passt_size_socket(passt);
		ret = net_stream_init(&passt->stream, passt->fd);
		if (ret < 0)
			log_errno(ret, "set up the user-mode network");
	}
	if (ret < 0) {
		passt_destroy(&passt->net);
		return ret;
	}
	*out = &passt->net;
	return 0;
}
