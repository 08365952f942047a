/*
 * Runs a program and waits for it. See program.h.
 */
#include "vmm/image/program.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "vmm/log.h"

/* Programs for administrators are not in everybody's PATH. */
static const char system_path[] = "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin";

static char *find_in(const char *dirs, const char *name)
{
	while (dirs && *dirs) {
		size_t len = strcspn(dirs, ":");
		char *path;

		if (len && asprintf(&path, "%.*s/%s", (int)len, dirs, name) >= 0) {
			if (access(path, X_OK) == 0)
				return path;
			free(path);
		}
		dirs += len + (dirs[len] == ':');
	}
	return NULL;
}

/* In the child. */
static void become(const char *path, char *const argv[], int out_fd, pid_t parent)
{
	int null_fd = open("/dev/null", O_RDONLY);

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent || dup2(null_fd, STDIN_FILENO) < 0 ||
	    dup2(out_fd, STDOUT_FILENO) < 0 || dup2(out_fd, STDERR_FILENO) < 0)
		_exit(127);
	execv(path, argv);
	_exit(127);
}

/* The last line in FD that is not empty, without its end. */
static void last_line(int fd, char *line, size_t line_len)
{
	char text[2048];
	ssize_t len;
	off_t end = lseek(fd, 0, SEEK_END);
	off_t from = end > (off_t)sizeof(text) - 1 ? end - (off_t)sizeof(text) + 1 : 0;
	char *start;

	len = pread(fd, text, sizeof(text) - 1, from);
	while (len > 0 && (text[len - 1] == '\n' || text[len - 1] == '\r'))
		len--;
	text[len > 0 ? len : 0] = '\0';
	start = strrchr(text, '\n');
	snprintf(line, line_len, "%.*s", (int)line_len - 1, start ? start + 1 : text);
}

static int run(const char *path, char *const argv[], int out_fd)
{
	pid_t parent = getpid();
	pid_t pid = fork();
	char line[256];
	int status;

	if (pid < 0)
		return log_errno(errno, "start %s", path);
	if (pid == 0)
		become(path, argv, out_fd, parent);
	while (waitpid(pid, &status, 0) < 0) {
		if (errno != EINTR)
			return log_errno(errno, "wait for %s", path);
	}
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	last_line(out_fd, line, sizeof(line));
	if (WIFSIGNALED(status))
		log_err("%s was killed by signal %d", path, WTERMSIG(status));
	else
		log_err("%s failed: %s", path, *line ? line : "it did not say why");
	return -EIO;
}

static char *find(const char *name)
{
	char *path = find_in(getenv("PATH"), name);

	return path ? path : find_in(system_path, name);
}

bool program_exists(const char *name)
{
	char *path = find(name);
	bool exists = path != NULL;

	free(path);
	return exists;
}

int program_run(char *const argv[], const char *cure)
{
	auto_free char *path = find(argv[0]);
	auto_close int out_fd = -1;

	if (!path) {
		log_err("%s is not installed: %s", argv[0], cure);
		return -ENOENT;
	}
	out_fd = memfd_create("output", MFD_CLOEXEC);
	if (out_fd < 0)
		return log_errno(errno, "memfd_create");
	return run(path, argv, out_fd);
}
