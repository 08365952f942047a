/*
 * Opens taps. Main thread.
 */
#include "devices/net/tap_open.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "devices/net/net.h"
#include "vmm/log.h"

#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif

#define BUSY_TRIES     50
#define BUSY_WAIT_USEC 10000

#define OFFLOADS_BASE  (TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN)
#define OFFLOADS_USO   (TUN_F_USO4 | TUN_F_USO6)

/* What FD is. 0 or -errno, logged. */
int tap_check_fd(int fd, struct ifreq *ifr)
{
	if (ioctl(fd, TUNGETIFF, ifr) < 0)
		return log_errno(errno == EBADF ? EBADF : EINVAL,
				 "descriptor %d is not an open tap interface", fd);
	if (!(ifr->ifr_flags & IFF_TAP))
		return log_errno(EINVAL, "descriptor %d is %.*s, a tun, not a tap, interface", fd,
				 IFNAMSIZ, ifr->ifr_name);
	return 0;
}

/* Header, byte order, O_NONBLOCK: all that a queue needs before frames go through it. */
int tap_setup_queue(const char *name, int fd, bool plain)
{
	int hdr_len = NET_HDR_LEN;
	int little_endian = 1;

	if (fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
		return log_errno(errno, "set up %s", name);
	if (plain)
		return 0;
	if (ioctl(fd, TUNSETVNETHDRSZ, &hdr_len) < 0)
		return log_errno(errno, "set the header length of %s", name);
	/* Kernels without this setting use the host's order, which is little-endian too. */
	if (ioctl(fd, TUNSETVNETLE, &little_endian) < 0 && errno != EINVAL && errno != ENOTTY)
		return log_errno(errno, "set the byte order of %s", name);
	return 0;
}

unsigned tap_probe_offloads(int fd)
{
	static const unsigned sets[] = { OFFLOADS_BASE | OFFLOADS_USO, OFFLOADS_BASE, TUN_F_CSUM };

	for (unsigned i = 0; i < ARRAY_SIZE(sets); i++) {
		if (ioctl(fd, TUNSETOFFLOAD, (unsigned long)sets[i]) < 0)
			continue;
		ioctl(fd, TUNSETOFFLOAD, 0ul);
		return sets[i];
	}
	return 0;
}

/* True when one of the descriptors that DIR (a /proc/PID/fdinfo, closed here) shows is the tap. */
static bool tap_is_open_in(DIR *dir, const char *needle)
{
	struct dirent *entry;
	bool found = false;

	while (!found && (entry = readdir(dir))) {
		char text[512];
		auto_close int fd = openat(dirfd(dir), entry->d_name, O_RDONLY | O_CLOEXEC);
		ssize_t len = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

		text[len > 0 ? len : 0] = '\0';
		found = strstr(text, needle) != NULL;
	}
	closedir(dir);
	return found;
}

/* The process that has the interface open, as far as /proc shows it; 0: none is seen. */
static int tap_find_user(const char *name)
{
	char needle[IFNAMSIZ + 8];
	DIR *proc = opendir("/proc");
	struct dirent *entry;
	int user = 0;

	snprintf(needle, sizeof(needle), "iff:\t%s\n", name);
	while (proc && !user && (entry = readdir(proc))) {
		int pid = atoi(entry->d_name);
		char path[32];
		DIR *dir;

		snprintf(path, sizeof(path), "/proc/%d/fdinfo", pid);
		dir = pid > 0 ? opendir(path) : NULL;
		if (dir && tap_is_open_in(dir, needle))
			user = pid;
	}
	if (proc)
		closedir(proc);
	return user;
}

static int tap_open_error(const char *name, int err, bool exists, unsigned pairs)
{
	int user;

	switch (err) {
	case EPERM:
		if (exists)
			return log_errno(err,
					 "tap %s belongs to another user: ip tuntap add %s "
					 "mode tap user $USER makes one for you",
					 name, name);
		return log_errno(err,
				 "make tap %s: needs CAP_NET_ADMIN; or let root make it once: "
				 "ip tuntap add %s mode tap user $USER",
				 name, name);
	case EBUSY:
		user = tap_find_user(name);
		if (user > 0)
			return log_errno(err, "tap %s is in use by process %d", name, user);
		return log_errno(err, "tap %s is in use by another process", name);
	case EINVAL:
		if (exists && pairs > 1)
			return log_errno(err,
					 "tap %s is no tap with several queues: ip tuntap add "
					 "%s mode tap multi_queue, or ask for queues=1",
					 name, name);
		return log_errno(err, "%s is not a tap interface", name);
	default:
		return log_errno(err, "open tap %s", name);
	}
}

static int tap_open_device(void)
{
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);

	if (fd >= 0)
		return fd;
	if (errno == ENOENT || errno == ENODEV || errno == ENXIO)
		return log_errno(errno, "open /dev/net/tun: modprobe tun loads the driver");
	if (errno == EACCES || errno == EPERM)
		return log_errno(errno,
				 "open /dev/net/tun: chmod 0666 /dev/net/tun, or run as root");
	return log_errno(errno, "open /dev/net/tun");
}

/* Makes FD one more queue of the interface. 0 or -errno, not logged. */
static int tap_claim(char name[IFNAMSIZ], int fd, int flags)
{
	struct ifreq ifr = { .ifr_flags = (short)(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | flags) };

	snprintf(ifr.ifr_name, IFNAMSIZ, "%s", name);
	if (ioctl(fd, TUNSETIFF, &ifr) < 0)
		return -errno;
	/* A name with %d in it becomes a number. */
	memcpy(name, ifr.ifr_name, IFNAMSIZ);
	return 0;
}

/*
 * The same, with patience: io_uring lets go of the files of a process that has just ended a little
 * after its end, so that a machine started again at once would find its own tap busy.
 */
static int tap_claim_patiently(char name[IFNAMSIZ], int fd, int flags)
{
	int ret = tap_claim(name, fd, flags);

	for (unsigned i = 0; ret == -EBUSY && i < BUSY_TRIES && !tap_find_user(name); i++) {
		usleep(BUSY_WAIT_USEC);
		ret = tap_claim(name, fd, flags);
	}
	return ret;
}

int tap_open_queues(char name[IFNAMSIZ], unsigned count, int *fds, unsigned *opened)
{
	bool exists = if_nametoindex(name) != 0;
	int flags = count > 1 ? IFF_MULTI_QUEUE : 0;
	int ret = 0;

	*opened = 0;
	for (unsigned i = 0; i < count && ret == 0; i++) {
		fds[i] = tap_open_device();
		if (fds[i] < 0)
			return fds[i];
		++*opened;
		ret = tap_claim_patiently(name, fds[i], flags);
		if (ret == -EINVAL && i == 0 && !flags) {
			/* Made for several queues: one of them is enough. */
			flags = IFF_MULTI_QUEUE;
			ret = tap_claim(name, fds[i], flags);
		}
		if (ret < 0)
			return tap_open_error(name, -ret, exists, count);
		ret = tap_setup_queue(name, fds[i], false);
	}
	return ret;
}

/* Up, and how long its frames may be. */
int tap_bring_up(const char *name, uint16_t *mtu)
{
	auto_close int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq ifr = { 0 };

	if (fd < 0)
		return log_errno(errno, "socket to set up %s", name);
	snprintf(ifr.ifr_name, IFNAMSIZ, "%s", name);
	if (ioctl(fd, SIOCGIFMTU, &ifr) == 0 && ifr.ifr_mtu >= 68 && ifr.ifr_mtu <= 65535)
		*mtu = (uint16_t)ifr.ifr_mtu;
	if (ioctl(fd, SIOCGIFFLAGS, &ifr) < 0)
		return log_errno(errno, "look at %s", name);
	if (ifr.ifr_flags & IFF_UP)
		return 0;
	ifr.ifr_flags = (short)(ifr.ifr_flags | IFF_UP);
	if (ioctl(fd, SIOCSIFFLAGS, &ifr) < 0)
		log_warn("%s is down and may not be brought up: ip link set %s up", name, name);
	return 0;
}
