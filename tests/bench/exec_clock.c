/*
 * Runs a command and says what it took from execve to its end. Static and tiny, so that it adds
 * nothing of its own; used by the measurements of this directory, also inside the lab.
 *
 *	exec_clock COMMAND [ARGUMENT...]
 *
 * On standard error: exec_ns, the monotonic clock at its execve; took_ns, from then to its end;
 * max_rss_kib; status.
 */
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static long long now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000LL + now.tv_nsec;
}

int main(int argc, char **argv)
{
	struct rusage usage;
	volatile long long start = 0;
	pid_t child;
	int status;

	if (argc < 2) {
		fprintf(stderr, "usage: exec_clock COMMAND [ARGUMENT...]\n");
		return 2;
	}
	child = vfork();
	if (child == 0) {
		start = now_ns(); /* our memory is the parent's, who waits */
		execvp(argv[1], argv + 1);
		_exit(127);
	}
	if (child < 0 || wait4(child, &status, 0, &usage) < 0) {
		perror("exec_clock");
		return 2;
	}
	fprintf(stderr, "exec_clock: exec_ns=%lld took_ns=%lld max_rss_kib=%ld status=%d\n", start,
		now_ns() - start, usage.ru_maxrss,
		WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
	return 0;
}
