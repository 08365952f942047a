/*
 * What the kernel does for a process: system calls, context switches, fork and exec, files made and
 * removed.
 */
#include "vmm/compare/workload/load.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define CALLS	 20000u
#define SWITCHES 2000u
#define FORKS	 20u
#define FILES	 500u

static void call_run(void *data)
{
	(void)data;
	for (unsigned i = 0; i < CALLS; i++)
		syscall(SYS_getppid);
}

struct switcher {
	int to[2];
	int from[2];
};

static void switch_run(void *data)
{
	struct switcher *pipes = data;
	char byte = 0;

	for (unsigned i = 0; i < SWITCHES; i++)
		if (write(pipes->to[1], &byte, 1) != 1 || read(pipes->from[0], &byte, 1) != 1)
			load_fail("pipe");
}

/* Two processes on one CPU hand a byte to and fro: each handing over is a switch. */
static void switches(enum load_scale scale)
{
	struct switcher pipes;
	cpu_set_t one;
	char byte;
	pid_t pid;

	CPU_ZERO(&one);
	CPU_SET(0, &one);
	/* Where CPU 0 is not ours the kernel's choice must do. */
	sched_setaffinity(0, sizeof(one), &one);
	if (pipe(pipes.to) < 0 || pipe(pipes.from) < 0)
		load_fail("pipe");
	pid = fork();
	if (pid < 0)
		load_fail("fork");
	if (pid == 0) {
		close(pipes.to[1]);
		while (read(pipes.to[0], &byte, 1) == 1)
			if (write(pipes.from[1], &byte, 1) != 1)
				break;
		_exit(0);
	}
	load_print("switch", load_best_ns(scale, switch_run, &pipes, 2.0 * SWITCHES));
	close(pipes.to[1]);
	waitpid(pid, NULL, 0);
}

static void fork_run(void *data)
{
	for (unsigned i = 0; i < FORKS; i++) {
		pid_t pid = fork();
		int status;

		if (pid < 0)
			load_fail("fork");
		if (pid == 0) {
			execl(data, "vmm-load", "exit", (char *)NULL);
			_exit(127);
		}
		if (waitpid(pid, &status, 0) != pid || status != 0) {
			errno = ENOEXEC;
			load_fail(data);
		}
	}
}

int load_system(enum load_scale scale)
{
	unsigned long path = getauxval(AT_EXECFN);

	load_print("syscall", load_best_ns(scale, call_run, NULL, CALLS));
	load_print("fork_exec", load_best_ns(scale, fork_run, (void *)path, FORKS));
	switches(scale);
	return 0;
}

static void path_of(char *path, size_t len, const char *directory, unsigned i)
{
	path[0] = '\0';
	load_append(path, len, directory);
	load_append(path, len, "/load.");
	load_append_number(path, len, i);
}

static void files_run(void *data)
{
	char path[256];

	for (unsigned i = 0; i < FILES; i++) {
		int fd;

		path_of(path, sizeof(path), data, i);
		fd = open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
		if (fd < 0)
			load_fail(path);
		close(fd);
	}
	for (unsigned i = 0; i < FILES; i++) {
		path_of(path, sizeof(path), data, i);
		if (unlink(path) < 0)
			load_fail(path);
	}
}

int load_files(const char *directory, enum load_scale scale)
{
	char path[200] = "";

	load_append(path, sizeof(path), directory);
	load_print("create_unlink", load_best_ns(scale, files_run, path, FILES));
	return 0;
}
