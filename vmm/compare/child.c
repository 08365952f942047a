/*
 * See child.h. Output is read as it comes, so that a pipe never fills; a moment is taken right
 * after the poll that a byte ended.
 */
#include "vmm/compare/child.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#include "vmm/compare/compare.h"
#include "vmm/compare/proc.h"

#define KILL_AFTER_MS 5000

extern char **environ;

uint64_t child_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void child_clear(struct child *child)
{
	*child = (struct child){ .pid_fd = -1, .in_fd = -1, .out_fd = -1, .err_fd = -1 };
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static int spawn(struct child *child, char *const argv[], int in, int out, int err)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t all, none;
	int ret;

	sigfillset(&all);
	sigemptyset(&none);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, in, STDIN_FILENO);
	posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
	posix_spawn_file_actions_adddup2(&actions, err, STDERR_FILENO);
	posix_spawnattr_init(&attributes);
	/* Ctrl-C is ours to hand on. */
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF |
						      POSIX_SPAWN_SETSIGMASK);
	posix_spawnattr_setsigdefault(&attributes, &all);
	posix_spawnattr_setsigmask(&attributes, &none);
	child->start_ns = child_now_ns();
	ret = posix_spawnp(&child->pid, argv[0], &actions, &attributes, argv, environ);
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&actions);
	return -ret;
}

int child_start(struct child *child, char *const argv[])
{
	int in[2] = { -1, -1 }, out[2] = { -1, -1 }, err[2] = { -1, -1 };
	int ret = -ENOMEM;

	child_clear(child);
	child->out = malloc(CHILD_OUT_MAX + 1);
	if (child->out) {
		child->out[0] = '\0';
		ret = 0;
	}
	if (!ret &&
	    (pipe2(in, O_CLOEXEC) < 0 || pipe2(out, O_CLOEXEC) < 0 || pipe2(err, O_CLOEXEC) < 0))
		ret = -errno;
	if (!ret)
		ret = spawn(child, argv, in[0], out[1], err[1]);
	close_fd(&in[0]);
	close_fd(&out[1]);
	close_fd(&err[1]);
	child->in_fd = in[1];
	child->out_fd = out[0];
	child->err_fd = err[0];
	if (ret < 0) {
		child->pid = 0;
		snprintf(child->err, sizeof(child->err), "%s: %s", argv[0], strerror(-ret));
		child->err_len = strlen(child->err);
		return ret;
	}
	fcntl(child->out_fd, F_SETFL, O_NONBLOCK);
	fcntl(child->err_fd, F_SETFL, O_NONBLOCK);
	child->pid_fd = (int)syscall(SYS_pidfd_open, child->pid, 0);
	return child->pid_fd < 0 ? -errno : 0;
}

static void read_out(struct child *child, uint64_t now)
{
	char dropped[4096];
	size_t room = CHILD_OUT_MAX - child->out_len;
	ssize_t len = read(child->out_fd, room ? child->out + child->out_len : dropped,
			   room ? room : sizeof(dropped));

	if (len > 0) {
		if (!child->first_byte_ns)
			child->first_byte_ns = now;
		child->out_len += room ? (size_t)len : 0;
		child->out[child->out_len] = '\0';
	} else if (len == 0 || (errno != EAGAIN && errno != EINTR)) {
		close_fd(&child->out_fd);
	}
}

static void read_err(struct child *child)
{
	char data[1024];
	ssize_t len = read(child->err_fd, data, sizeof(data));
	size_t room = sizeof(child->err) - 1 - child->err_len;

	if (len <= 0) {
		if (len == 0 || (errno != EAGAIN && errno != EINTR))
			close_fd(&child->err_fd);
		return;
	}
	if (room < (size_t)len) {
		size_t drop = (size_t)len - room;

		memmove(child->err, child->err + drop, child->err_len - drop);
		child->err_len -= drop;
	}
	memcpy(child->err + child->err_len, data, (size_t)len);
	child->err_len += (size_t)len;
	child->err[child->err_len] = '\0';
}

static void reap(struct child *child, uint64_t now)
{
	siginfo_t info = { 0 };

	if (waitid(P_PID, (id_t)child->pid, &info, WEXITED | WNOHANG) < 0 || info.si_pid == 0)
		return;
	child->end_ns = now;
	child->ended = true;
	child->status = info.si_code == CLD_EXITED ? info.si_status : 128 + info.si_status;
}

bool child_beyond_limit(const struct child *child, uint64_t busy_ns, uint64_t outside_s)
{
	return child->work_max_ns && (busy_ns > child->work_began_ns + child->work_max_ns ||
				      outside_s > child->outside_began_s + child->outside_max_s);
}

/* One round of waiting, until UNTIL_NS at most. -EINTR and -ETIMEDOUT, or 0 when something came. */
static int wait_once(struct child *child, uint64_t until_ns)
{
	struct pollfd fds[] = { { .fd = child->out_fd, .events = POLLIN },
				{ .fd = child->err_fd, .events = POLLIN },
				{ .fd = child->ended ? -1 : child->pid_fd, .events = POLLIN } };
	uint64_t now = child_now_ns();
	struct timespec left;
	int ready;

	if (compare_stop) {
		child->interrupted = true;
		return -EINTR;
	}
	if (now >= until_ns)
		return -ETIMEDOUT;
	left.tv_sec = (time_t)((until_ns - now) / 1000000000u);
	left.tv_nsec = (long)((until_ns - now) % 1000000000u);
	if (child->work_max_ns && left.tv_sec > 0)
		left = (struct timespec){ .tv_sec = 1 };
	ready = ppoll(fds, ARRAY_SIZE(fds), &left, NULL);
	if (ready < 0)
		return errno == EINTR ? 0 : -errno;
	if (ready == 0 && child->work_max_ns &&
	    child_beyond_limit(child, proc_host_busy_ns(), proc_outside_s()))
		return -ETIMEDOUT;
	now = child_now_ns();
	if (fds[2].revents)
		reap(child, now);
	if (fds[0].revents)
		read_out(child, now);
	if (fds[1].revents)
		read_err(child);
	return 0;
}

int child_wait_text(struct child *child, const char *text, uint64_t timeout_ms)
{
	uint64_t until = child_now_ns() + timeout_ms * 1000000u;

	for (;;) {
		int ret;

		if (text[0] ? strstr(child->out, text) != NULL : child->out_len > 0)
			return 0;
		if (child->out_fd < 0)
			return -EPIPE;
		ret = wait_once(child, until);
		if (ret < 0)
			return ret;
	}
}

int child_wait_end(struct child *child, uint64_t timeout_ms)
{
	uint64_t until = child_now_ns() + timeout_ms * 1000000u;

	while (!child->ended) {
		int ret = wait_once(child, until);

		if (ret < 0)
			return ret;
	}
	/* What lies in the pipes still; a process that holds them open must not hold us. */
	until = child_now_ns() + 200000000u;
	while (child->out_fd >= 0 || child->err_fd >= 0)
		if (wait_once(child, until) < 0)
			break;
	return 0;
}

void child_limit_work(struct child *child, uint64_t max_ns, uint64_t max_s)
{
	child->work_max_ns = max_ns;
	child->work_began_ns = proc_host_busy_ns();
	child->outside_max_s = max_s;
	child->outside_began_s = proc_outside_s();
}

int child_poke(struct child *child)
{
	if (child->in_fd < 0)
		return -EPIPE;
	return write(child->in_fd, "\n", 1) == 1 ? 0 : -errno;
}

void child_close_input(struct child *child)
{
	close_fd(&child->in_fd);
}

/* Also when compare_stop is set. */
static void finish(struct child *child)
{
	static const int signals[] = { SIGTERM, SIGKILL };

	for (unsigned i = 0; i < ARRAY_SIZE(signals) && !child->ended; i++) {
		uint64_t until = child_now_ns() + KILL_AFTER_MS * 1000000ull;

		kill(child->pid, signals[i]);
		while (!child->ended && child_now_ns() < until) {
			struct pollfd fd = { .fd = child->pid_fd, .events = POLLIN };

			/* Output nobody reads must not keep it from ending. */
			if (child->out_fd >= 0)
				read_out(child, child_now_ns());
			if (child->err_fd >= 0)
				read_err(child);
			poll(&fd, 1, 50);
			reap(child, child_now_ns());
		}
	}
}

void child_fini(struct child *child)
{
	close_fd(&child->in_fd);
	if (child->pid > 0 && !child->ended)
		finish(child);
	close_fd(&child->out_fd);
	close_fd(&child->err_fd);
	close_fd(&child->pid_fd);
	free(child->out);
	child->out = NULL;
	child->pid = 0;
}

/* The last of vmm's own lines of error output, else the last line; its length in *LEN. */
static const char *telling_line(const struct child *child, size_t *len)
{
	const char *best = "", *line = child->err;
	bool best_is_own = false;

	*len = 0;
	while (*line) {
		size_t n = strcspn(line, "\r\n");
		bool own = strncmp(line, "vmm: ", 5) == 0 && strncmp(line, "vmm: warning", 12) != 0;

		if (n > 0 && (own || !best_is_own)) {
			best = own ? line + 5 : line;
			*len = own ? n - 5 : n;
			best_is_own = own;
		}
		line += n + strspn(line + n, "\r\n");
	}
	return best;
}

char *child_complaint(const struct child *child)
{
	static const char software[] = "this /dev/kvm interprets the guest's kernel";
	size_t len;
	const char *line = telling_line(child, &len), *panic;

	/* Then all else that was said only follows from it. */
	if (strstr(child->err, software))
		return compare_text("%s: --lab measures on an emulated host", software);
	/* Of a console's last lines, the one that says why. */
	panic = len > 0 && line[len - 1] == ':' ? strstr(line + len, "Kernel panic") : NULL;
	if (panic) {
		size_t panic_len = strcspn(panic, "\r\n");

		return compare_text("%.*s %.*s", (int)(len > 120 ? 120 : len), line,
				    (int)(panic_len > 120 ? 120 : panic_len), panic);
	}
	if (len > 0)
		return compare_text("%.*s", (int)(len > 240 ? 240 : len), line);
	if (!child->ended)
		return compare_text("did not end in time");
	return compare_text("ended with status %d and no word", child->status);
}
