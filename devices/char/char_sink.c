/*
 * Descriptors of a console's host end. Called by the console hub under its lock, on the loop's and
 * on vCPU threads.
 */
#include "devices/char/char_sink.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <termios.h>
#include <time.h>

#include "vmm/log.h"

/* What a terminal that says it is writable takes without blocking. */
#define BLOCKING_WRITE_MAX 256
#define LAST_FLUSH_MS	   1000

int char_sink_init(struct char_sink *sink, const char *name)
{
	*sink = (struct char_sink){ .name = name, .in_fd = -1, .out_fd = -1, .last = '\n' };
	sink->room = malloc(CHAR_SINK_ROOM);
	return sink->room ? 0 : -ENOMEM;
}

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* The machine is ending: this is the only place that waits, and not for long. */
static void flush_last(struct char_sink *sink)
{
	int64_t end = now_ms() + LAST_FLUSH_MS;

	for (char_sink_flush(sink); sink->len > 0 && now_ms() < end; char_sink_flush(sink)) {
		struct pollfd out = { .fd = sink->out_fd, .events = POLLOUT };

		poll(&out, 1, 50);
	}
}

void char_sink_fini(struct char_sink *sink)
{
	if (!sink->room)
		return;
	flush_last(sink);
	if (sink->out_owned)
		close(sink->out_fd);
	if (sink->in_owned)
		close(sink->in_fd);
	free(sink->room);
	*sink = (struct char_sink){ .in_fd = -1, .out_fd = -1 };
}

/*
 * O_NONBLOCK belongs to the open file description, which the shell shares with us: it would see its
 * terminal change under it. A terminal or a pipe is therefore opened once more.
 */
static int open_again(int fd, int flags)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return open(path, flags | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
}

void char_sink_set_input(struct char_sink *sink, int fd)
{
	struct stat st;
	int own = -1;

	if (fstat(fd, &st) < 0 || (S_ISCHR(st.st_mode) && !isatty(fd)))
		return; /* closed, or /dev/null */
	if (S_ISCHR(st.st_mode) || S_ISFIFO(st.st_mode))
		own = open_again(fd, O_RDONLY);
	sink->in_fd = own >= 0 ? own : fd;
	sink->in_owned = own >= 0;
	sink->in_socket = S_ISSOCK(st.st_mode);
}

void char_sink_set_output(struct char_sink *sink, int fd)
{
	struct stat st;
	bool stream;
	int own = -1;

	if (fstat(fd, &st) < 0)
		return;
	stream = S_ISFIFO(st.st_mode) || (S_ISCHR(st.st_mode) && isatty(fd));
	if (stream)
		own = open_again(fd, O_WRONLY);
	sink->out_fd = own >= 0 ? own : fd;
	sink->out_owned = own >= 0;
	sink->out_socket = S_ISSOCK(st.st_mode);
	sink->out_pollable = stream || sink->out_socket;
	sink->out_may_block = stream && own < 0;
}

int char_sink_open_file(struct char_sink *sink, const char *path)
{
	struct stat st;

	/* O_NONBLOCK: a named pipe that nobody reads must not hang the start. */
	sink->out_fd =
		open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0666);
	if (sink->out_fd < 0 && errno == ENXIO)
		return log_errno(ENXIO, "open %s: nobody reads this pipe", path);
	if (sink->out_fd < 0)
		return log_errno(errno, "open %s for the console", path);
	sink->out_owned = true;
	sink->name = path;
	if (fstat(sink->out_fd, &st) == 0)
		sink->out_pollable = S_ISFIFO(st.st_mode) || isatty(sink->out_fd);
	return 0;
}

/* Raw from the start: echo would send the guest's own output back to it. 0 or -errno. */
static int pty_set_raw(const char *path)
{
	auto_close int slave = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);
	struct termios mode;

	if (slave < 0 || tcgetattr(slave, &mode) < 0)
		return -errno;
	cfmakeraw(&mode);
	return tcsetattr(slave, TCSANOW, &mode) < 0 ? -errno : 0;
}

int char_sink_open_pty(struct char_sink *sink)
{
	int master = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
	char path[64];
	int ret;

	if (master < 0)
		return log_errno(errno, "open a pseudo-terminal: is /dev/pts mounted?");
	sink->in_fd = master;
	sink->in_owned = true;
	if (grantpt(master) < 0 || unlockpt(master) < 0 ||
	    ptsname_r(master, path, sizeof(path)) != 0)
		return log_errno(errno, "open a pseudo-terminal: is /dev/pts mounted?");
	ret = pty_set_raw(path);
	if (ret < 0)
		return log_errno(ret, "set up %s", path);
	/* Each direction is watched on its own: epoll takes a descriptor once only. */
	sink->out_fd = fcntl(master, F_DUPFD_CLOEXEC, 0);
	if (sink->out_fd < 0)
		return log_errno(errno, "open %s", path);
	log_info("the console is on %s", path);
	sink->out_owned = true;
	sink->out_pollable = true;
	sink->drop_unread = true;
	return 0;
}

static void sink_forget(struct char_sink *sink)
{
	sink->start = 0;
	sink->len = 0;
}

/* True when the write must not be tried: it would block, or nobody would read it. */
static bool sink_not_now(struct char_sink *sink)
{
	struct pollfd out = { .fd = sink->out_fd, .events = POLLOUT };

	if (!sink->out_may_block && !sink->drop_unread)
		return false;
	if (poll(&out, 1, 0) < 0)
		return true;
	if (sink->drop_unread && (out.revents & POLLHUP)) {
		sink_forget(sink);
		return true;
	}
	return !(out.revents & (POLLOUT | POLLERR | POLLHUP));
}

static ssize_t sink_write_once(struct char_sink *sink)
{
	size_t first = CHAR_SINK_ROOM - sink->start;
	struct iovec iov[2] = {
		{ .iov_base = sink->room + sink->start, .iov_len = sink->len },
		{ .iov_base = sink->room },
	};
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 2 };

	if (first < sink->len) {
		iov[0].iov_len = first;
		iov[1].iov_len = sink->len - first;
	}
	if (sink->out_may_block) {
		if (iov[0].iov_len > BLOCKING_WRITE_MAX)
			iov[0].iov_len = BLOCKING_WRITE_MAX;
		return write(sink->out_fd, iov[0].iov_base, iov[0].iov_len);
	}
	if (sink->out_socket)
		return sendmsg(sink->out_fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
	return writev(sink->out_fd, iov, iov[1].iov_len > 0 ? 2 : 1);
}

static void sink_fail(struct char_sink *sink, int err)
{
	sink_forget(sink);
	if (sink->drop_unread)
		return; /* a pseudo-terminal's reader may come back */
	if (sink->out_pollable && err != ENOSPC) {
		sink->gone = err;
		if (err == EPIPE || err == EIO || err == ENXIO)
			return; /* the hub says what follows */
	} else if (sink->failing) {
		return;
	}
	/* A file has no other side: full, too long, or on a broken disk, it may recover. */
	sink->failing = true;
	log_warn("write the console's output to %s: %s: output is lost", sink->name, strerror(err));
}

void char_sink_flush(struct char_sink *sink)
{
	if (sink->out_fd < 0 || sink->gone)
		sink_forget(sink);
	while (sink->len > 0 && !sink_not_now(sink)) {
		ssize_t done = sink_write_once(sink);

		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0 && errno != EAGAIN)
			sink_fail(sink, errno);
		if (done < 0)
			return;
		sink->failing = false;
		sink->len -= (size_t)done;
		sink->start = sink->len > 0 ? (sink->start + (size_t)done) % CHAR_SINK_ROOM : 0;
	}
}

static size_t sink_copy_in(struct char_sink *sink, const uint8_t *data, size_t len)
{
	size_t room = CHAR_SINK_ROOM - sink->len;
	size_t end = (sink->start + sink->len) % CHAR_SINK_ROOM;
	size_t first = CHAR_SINK_ROOM - end;

	if (len > room)
		len = room;
	if (first > len)
		first = len;
	memcpy(sink->room + end, data, first);
	memcpy(sink->room, data + first, len - first);
	sink->len += len;
	return len;
}

size_t char_sink_put(struct char_sink *sink, const void *data, size_t len)
{
	const uint8_t *bytes = data;
	size_t taken = 0;

	if (len == 0)
		return 0;
	if (sink->out_fd < 0 || sink->gone)
		return len;
	taken = sink_copy_in(sink, bytes, len);
	if (taken < len) {
		char_sink_flush(sink);
		taken += sink->gone ? len - taken : sink_copy_in(sink, bytes + taken, len - taken);
	}
	if (taken > 0)
		sink->last = bytes[taken - 1];
	return taken;
}

int64_t char_sink_read(struct char_sink *sink, void *data, size_t len)
{
	ssize_t done;

	do {
		done = sink->in_socket ? recv(sink->in_fd, data, len, MSG_DONTWAIT)
				       : read(sink->in_fd, data, len);
	} while (done < 0 && errno == EINTR);
	return done < 0 ? -errno : done;
}
