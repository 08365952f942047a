/*
 * passt as a process: started, asked why it ended, ended. Called by net_passt.c, at setup on the
 * main thread and later on the loop of the only pair.
 *
 * passt gets one end of a socket pair and no other descriptor. It ends by itself when the other end
 * closes, so however the monitor dies passt follows; a session of its own keeps it out of the
 * terminal's signals. What it writes is kept in a pipe and shown only if it ends by itself.
 */
#include "devices/net/passt_process.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "vmm/log.h"

#define PASST_FD    3
#define SPEC_LEN    96 /* [address/]port:port */
#define ARGS_MAX    (12 + 2 * NET_PASST_PUBLISH_MAX)
#define SOCKET_ROOM (1 << 20)

/* ---- published ports ---- */

int passt_publish_try(const struct net_passt_publish *publish)
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

int passt_publish_check(const struct net_passt_publish *publish)
{
	const char *addr = publish->host_addr ? publish->host_addr : "*";
	const char *protocol = publish->udp ? "udp" : "tcp";
	int ret = passt_publish_try(publish);

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

/* ---- starting it ---- */

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

static void size_socket(int fd)
{
	int room = SOCKET_ROOM;

	/* As much as the host allows: a burst of large frames then needs no waiting. */
	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room));
}

int passt_process_start(struct passt_process *process, uint16_t mtu_len,
			const struct net_passt_publish *publish, unsigned publish_count)
{
	char mtu[8], socket_fd[8];
	char *argv[ARGS_MAX] = { "passt", "-f", "-q", "-m", mtu, "-F", socket_fd };
	char specs[NET_PASST_PUBLISH_MAX][SPEC_LEN];
	unsigned argc = 7;
	int sockets[2], said[2];
	int ret;

	snprintf(mtu, sizeof(mtu), "%u", mtu_len);
	snprintf(socket_fd, sizeof(socket_fd), "%d", PASST_FD);
	for (unsigned i = 0; i < publish_count; i++) {
		publish_spec(&publish[i], specs[i]);
		argv[argc++] = publish[i].udp ? "-u" : "-t";
		argv[argc++] = specs[i];
	}
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) < 0)
		return -errno;
	if (pipe2(said, O_CLOEXEC | O_NONBLOCK) < 0) {
		ret = -errno;
		close(sockets[0]);
		close(sockets[1]);
		return ret;
	}
	process->fd = sockets[0];
	process->said_fd = said[0];
	size_socket(process->fd);
	sockets[1] = above_standard(sockets[1]);
	said[1] = above_standard(said[1]);
	ret = sockets[1] < 0 || said[1] < 0 ? -EMFILE
					    : spawn_passt(&process->pid, argv, sockets[1], said[1]);
	if (sockets[1] >= 0)
		close(sockets[1]);
	if (said[1] >= 0)
		close(said[1]);
	if (ret < 0) {
		process->pid = 0;
		passt_process_end(process);
	}
	return ret;
}

int passt_process_explain(int err)
{
	if (err == -ENOENT)
		return log_errno(ENOENT, "start passt for the user-mode network: install the "
					 "package passt, or use --net none or tap=NAME");
	return log_errno(err, "start passt for the user-mode network");
}

void passt_process_end(struct passt_process *process)
{
	if (process->fd >= 0)
		close(process->fd);
	if (process->said_fd >= 0)
		close(process->said_fd);
	if (process->pid > 0) {
		/* It holds nothing that could be lost, and may be stopped. */
		kill(process->pid, SIGKILL);
		while (waitpid(process->pid, NULL, 0) < 0 && errno == EINTR)
			;
	}
	*process = PASST_PROCESS_NONE;
}

/* ---- what it said ---- */

/* Lines that passt always writes when it is started by root, or without a syslog. */
static bool is_chatter(const char *line)
{
	return strncmp(line, "Don't run as root", 17) == 0 ||
	       strncmp(line, "Failed to send", 14) == 0;
}

const char *passt_process_last_said(struct passt_process *process, char *text)
{
	ssize_t len = read(process->said_fd, text, PASST_SAID_LEN_MAX);
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
