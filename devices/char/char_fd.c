/*
 * Descriptors given by others. A terminal or a pipe is opened once more by its name in /proc, which
 * gives a description of our own for O_NONBLOCK; a socket has flags a call; where neither can be
 * had each call is asked for by poll(2). Loop's thread.
 */
#include "devices/char/char_fd.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>

/* What one that says it is writable takes without blocking. */
#define CAUTIOUS_TERMINAL_MAX 256
#define CAUTIOUS_PIPE_MAX     PIPE_BUF

static int open_again(int fd, int flags)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return open(path, flags | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
}

/* Devices that have a position are like files; others are waited for like terminals. */
static enum char_fd_kind kind_of(int fd, const struct stat *st)
{
	if (S_ISREG(st->st_mode) || S_ISBLK(st->st_mode))
		return CHAR_FD_FILE;
	if (S_ISCHR(st->st_mode) && lseek(fd, 0, SEEK_CUR) >= 0)
		return CHAR_FD_FILE;
	return CHAR_FD_STREAM;
}

void char_fd_open(struct char_fd *file, int fd, bool output)
{
	struct stat st;

	*file = (struct char_fd){ .fd = -1 };
	if (fd < 0 || fstat(fd, &st) < 0)
		return;
	file->kind = kind_of(fd, &st);
	file->socket = S_ISSOCK(st.st_mode);
	if (file->kind == CHAR_FD_STREAM && !file->socket)
		file->fd = open_again(fd, output ? O_WRONLY : O_RDONLY);
	if (file->fd >= 0)
		return;
	/* Only a pipe without a reader says so; its end is found by the first write. */
	file->cautious = file->kind == CHAR_FD_STREAM && !file->socket;
	file->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (file->fd < 0)
		file->kind = CHAR_FD_NONE;
}

void char_fd_close(struct char_fd *file)
{
	if (file->kind != CHAR_FD_NONE)
		close(file->fd);
	*file = (struct char_fd){ .fd = -1 };
}

static bool is_ready(struct char_fd *file, short events)
{
	struct pollfd pollfd = { .fd = file->fd, .events = events };

	file->syscalls++;
	return poll(&pollfd, 1, 0) > 0;
}

int64_t char_fd_read(struct char_fd *file, void *data, size_t len)
{
	ssize_t done;

	if (file->kind == CHAR_FD_NONE)
		return 0;
	if (file->cautious && !is_ready(file, POLLIN))
		return -EAGAIN;
	do {
		file->syscalls++;
		done = file->socket ? recv(file->fd, data, len, MSG_DONTWAIT)
				    : read(file->fd, data, len);
	} while (done < 0 && errno == EINTR);
	return done < 0 ? -errno : done;
}

static ssize_t write_little(struct char_fd *file, const struct iovec *iov)
{
	size_t most = isatty(file->fd) ? CAUTIOUS_TERMINAL_MAX : CAUTIOUS_PIPE_MAX;

	if (!is_ready(file, POLLOUT)) {
		errno = EAGAIN;
		return -1;
	}
	file->syscalls++;
	return write(file->fd, iov->iov_base, iov->iov_len < most ? iov->iov_len : most);
}

static ssize_t write_parts(struct char_fd *file, const struct iovec *iov, unsigned iov_count)
{
	struct msghdr msg = { .msg_iov = (struct iovec *)iov, .msg_iovlen = iov_count };

	if (file->cautious)
		return write_little(file, iov);
	file->syscalls++;
	if (file->socket)
		return sendmsg(file->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
	return writev(file->fd, iov, (int)iov_count);
}

int64_t char_fd_writev(struct char_fd *file, const struct iovec *iov, unsigned iov_count)
{
	ssize_t done;

	do {
		done = write_parts(file, iov, iov_count);
	} while (done < 0 && errno == EINTR);
	return done < 0 ? -errno : done;
}
