/*
 * From a workload to a process. Called by guest-init's relay, and on the host by tests.
 */
#include "vmm/guest/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "vmm/guest/text.h"

#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

static _Noreturn void fail(int status, const char *what, const char *name)
{
	char line[512];
	size_t len = text_join(line, sizeof(line), "vmm: ", what, " ", name, ": ", strerror(errno),
			       "\n");

	if (write(STDERR_FILENO, line, len < sizeof(line) ? len : sizeof(line) - 1) < 0) {
		/* Nobody to tell. */
	}
	_exit(status);
}

static const char *path_of(char **envp)
{
	for (; envp && *envp; envp++)
		if (strncmp(*envp, "PATH=", 5) == 0)
			return *envp + 5;
	return DEFAULT_PATH;
}

/* Tries NAME in each directory of the path, as a shell does. Returns when none could be run. */
static void exec_by_path(const struct workload *workload, const char *name)
{
	const char *at = path_of(workload->envp);
	int error = ENOENT;

	for (;;) {
		size_t len = strcspn(at, ":");
		char file[PATH_MAX];
		size_t room = len < sizeof(file) ? sizeof(file) - len : 0;

		if (room) {
			memcpy(file, at, len);
			room = text_join(file + len, room, len ? "/" : "", name) < room;
		}
		if (room) {
			execve(file, workload->argv, workload->envp);
			if (errno != ENOENT && errno != ENOTDIR)
				error = errno;
		}
		if (!at[len])
			break;
		at += len + 1;
	}
	errno = error;
}

static _Noreturn void exec_command(const struct workload *workload)
{
	const char *name = workload->argv[0];

	if (strchr(name, '/'))
		execve(name, workload->argv, workload->envp);
	else
		exec_by_path(workload, name);
	fail(errno == ENOENT || errno == ENOTDIR ? SPAWN_STATUS_NOT_FOUND
						 : SPAWN_STATUS_NOT_EXECUTABLE,
	     "run", name);
}

static void take_streams(const struct spawn_streams *streams)
{
	/* Above the three, so that none is overwritten before it is used. */
	int in = fcntl(streams->in, F_DUPFD_CLOEXEC, 3);
	int out = fcntl(streams->out, F_DUPFD_CLOEXEC, 3);
	int err = fcntl(streams->err, F_DUPFD_CLOEXEC, 3);

	if (in < 0 || out < 0 || err < 0 || dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(err, 2) < 0)
		_exit(SPAWN_STATUS_FAILED);
}

static void take_user(const struct workload *workload)
{
	/* Not root: the user we are is the one that is wanted, as in tests. */
	if (geteuid() != 0)
		return;
	if (setgroups(workload->group_count, workload->groups) < 0 || setgid(workload->gid) < 0 ||
	    setuid(workload->uid) < 0)
		fail(SPAWN_STATUS_FAILED, "become", "the user");
}

static void reset_signals(void)
{
	sigset_t none;

	for (int i = 1; i < NSIG; i++)
		signal(i, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static _Noreturn void run_child(const struct workload *workload,
				const struct spawn_streams *streams)
{
	setsid();
	take_streams(streams);
	if (workload->terminal && ioctl(0, TIOCSCTTY, 0) < 0)
		fail(SPAWN_STATUS_FAILED, "take", "the terminal");
	take_user(workload);
	if (workload->cwd && chdir(workload->cwd) < 0)
		fail(SPAWN_STATUS_FAILED, "enter", workload->cwd);
	reset_signals();
	exec_command(workload);
}

pid_t spawn_command(const struct workload *workload, const struct spawn_streams *streams)
{
	pid_t pid = fork();

	if (pid == 0)
		run_child(workload, streams);
	return pid < 0 ? -errno : pid;
}
