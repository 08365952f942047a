/*
 * The guest's end of the relay: finding the ports, and what is said on the control port. See
 * relay_guest.h; the command's life is in relay_run.c.
 */
#include "vmm/guest/relay_guest.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#include "vmm/guest/keep.h"
#include "vmm/guest/relay.h"
#include "vmm/guest/text.h"

#define PORTS_DIR "/sys/class/virtio-ports"
/* The driver learns of ports by and by. */
#define WAIT_STEP_NS   500000
#define WAIT_STEPS_MAX 10000
/* Linux 6.12: 5 KB. */
#define VMSTAT_LEN_MAX (64 << 10)

/* ---- ports ---- */

/* A line of a file in sysfs, without its end. */
static bool read_line(const char *dir, const char *file, char *line, size_t room)
{
	char path[128];
	ssize_t len;
	int fd;

	if (text_join(path, sizeof(path), PORTS_DIR, "/", dir, "/", file) >= sizeof(path))
		return false;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	len = read(fd, line, room - 1);
	close(fd);
	if (len <= 0)
		return false;
	line[len] = '\0';
	line[strcspn(line, "\n")] = '\0';
	return true;
}

/* Opens the device with the name ENTRY, making its node where nobody else has. */
static int open_node(const char *dev, const char *entry)
{
	uint64_t major_number, minor_number;
	char path[128], numbers[32];
	const char *at = numbers;
	int fd;

	if (text_join(path, sizeof(path), dev, "/", entry) >= sizeof(path))
		return -ENAMETOOLONG;
	fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (fd >= 0 || errno != ENOENT)
		return fd >= 0 ? fd : -errno;
	if (!read_line(entry, "dev", numbers, sizeof(numbers)) ||
	    !text_read_number(&at, &major_number) || *at++ != ':' ||
	    !text_read_number(&at, &minor_number))
		return -ENODEV;
	if (mknod(path, S_IFCHR | 0600, makedev((unsigned)major_number, (unsigned)minor_number)) <
		    0 &&
	    errno != EEXIST)
		return -errno;
	fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	return fd >= 0 ? fd : -errno;
}

/* -ENOENT when there is no such port yet. */
static int open_port(const char *dev, const char *name)
{
	DIR *dir = opendir(PORTS_DIR);
	struct dirent *entry;
	int ret = -ENOENT;

	while (dir && ret == -ENOENT && (entry = readdir(dir))) {
		char found[64];

		if (entry->d_name[0] != '.' &&
		    read_line(entry->d_name, "name", found, sizeof(found)) &&
		    strcmp(found, name) == 0)
			ret = open_node(dev, entry->d_name);
	}
	if (dir)
		closedir(dir);
	return ret;
}

/* The descriptor, or -errno. */
static int wait_for_port(const char *dev, const char *name, const char **what)
{
	static const struct timespec step = { .tv_nsec = WAIT_STEP_NS };
	int fd = open_port(dev, name);

	for (int i = 0; fd == -ENOENT && i < WAIT_STEPS_MAX; i++) {
		nanosleep(&step, NULL);
		fd = open_port(dev, name);
	}
	*what = name;
	return fd;
}

int relay_guest_open(struct relay_guest *relay, bool terminal, const char *dev, const char **what)
{
	*relay = (struct relay_guest){
		.control_fd = -1, .in_fd = -1, .out_fd = -1, .err_fd = -1, .keep_fd = -1
	};
	relay->control_fd = wait_for_port(dev, RELAY_PORT_CONTROL, what);
	if (relay->control_fd < 0)
		return relay->control_fd;
	relay->in_fd = wait_for_port(dev, terminal ? RELAY_PORT_TTY : RELAY_PORT_STDIN, what);
	if (relay->in_fd < 0)
		return relay->in_fd;
	/* Each pump has a descriptor of its own; a port can be opened once only. */
	relay->out_fd = terminal ? fcntl(relay->in_fd, F_DUPFD_CLOEXEC, 3)
				 : wait_for_port(dev, RELAY_PORT_STDOUT, what);
	if (relay->out_fd < 0 || terminal)
		return relay->out_fd < 0 ? relay->out_fd : 0;
	relay->err_fd = wait_for_port(dev, RELAY_PORT_STDERR, what);
	return relay->err_fd < 0 ? relay->err_fd : 0;
}

int relay_guest_open_keep(struct relay_guest *relay, const char *dev, const char **what)
{
	relay->keep_fd = wait_for_port(dev, KEEP_PORT, what);
	return relay->keep_fd < 0 ? relay->keep_fd : 0;
}

/* ---- words ---- */

static void say(struct relay_guest *relay, uint8_t type, const void *payload, size_t len)
{
	uint8_t message[RELAY_MESSAGE_MAX];
	size_t left = relay_encode(message, type, payload, len);
	const uint8_t *at = message;

	while (left > 0) {
		struct pollfd control = { .fd = relay->control_fd, .events = POLLOUT };
		ssize_t done = write(relay->control_fd, at, left);

		if (done > 0) {
			at += done;
			left -= (size_t)done;
			continue;
		}
		/* Nobody listens, or not within a second. */
		if (errno != EINTR && (errno != EAGAIN || poll(&control, 1, 1000) <= 0))
			return;
	}
}

/* The monitor ends the machine, and us with it. What it still says is of no interest. */
static void wait_for_end(struct relay_guest *relay)
{
	struct pollfd control = { .fd = relay->control_fd, .events = POLLIN };
	uint8_t bytes[RELAY_MESSAGE_MAX];
	ssize_t len;

	do {
		poll(&control, 1, -1);
		len = read(relay->control_fd, bytes, sizeof(bytes));
	} while (len > 0 || (len < 0 && (errno == EAGAIN || errno == EINTR)));
}

void relay_guest_ready(struct relay_guest *relay)
{
	say(relay, RELAY_READY, NULL, 0);
}

void relay_guest_exit(struct relay_guest *relay, int status)
{
	uint8_t payload[8];

	relay_put32(payload, (uint32_t)status & RELAY_EXIT_STATUS_MAX);
	relay_put32(payload + 4, relay->out_of_memory ? RELAY_EXIT_OUT_OF_MEMORY : 0);
	say(relay, RELAY_EXIT, payload, sizeof(payload));
	wait_for_end(relay);
}

void relay_guest_fail(struct relay_guest *relay, const char *text)
{
	say(relay, RELAY_FAILED, text, strlen(text));
	wait_for_end(relay);
}

/* ---- memory ---- */

/* How many processes the kernel has killed for want of memory; 0 where it does not say. */
static uint64_t count_oom_kills(void)
{
	static const char name[] = "\noom_kill ";
	char *text = calloc(1, VMSTAT_LEN_MAX + 1);
	int fd = open("/proc/vmstat", O_RDONLY | O_CLOEXEC);
	const char *at = NULL;
	uint64_t count = 0;
	size_t len = 0;
	ssize_t got = 1;

	while (text && fd >= 0 && got > 0 && len < VMSTAT_LEN_MAX) {
		got = read(fd, text + len, VMSTAT_LEN_MAX - len);
		len += got > 0 ? (size_t)got : 0;
	}
	if (text)
		at = strstr(text, name);
	if (at)
		at += sizeof(name) - 1;
	if (!at || !text_read_number(&at, &count))
		count = 0;
	if (fd >= 0)
		close(fd);
	free(text);
	return count;
}

void relay_guest_note_memory(struct relay_guest *relay, bool after)
{
	uint64_t count = count_oom_kills();

	if (after)
		relay->out_of_memory = count > relay->oom_kills;
	else
		relay->oom_kills = count;
}
