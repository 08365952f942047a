/*
 * Finds the command and runs it; and the commands that only begin, wait and end. See load.h.
 */
#include "vmm/compare/workload/load.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

uint64_t load_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void *load_map(uint64_t len)
{
	void *at = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (at == MAP_FAILED)
		load_fail("mmap");
	madvise(at, len, MADV_NOHUGEPAGE);
	return at;
}

double load_best_ns(enum load_scale scale, void (*batch)(void *data), void *data, double operations)
{
	static const unsigned rounds[] = { 3, 7, 15 };
	double best = 0;

	for (unsigned i = 0; i < rounds[scale]; i++) {
		uint64_t start = load_now_ns();
		double took;

		batch(data);
		took = (double)(load_now_ns() - start) / operations;
		if (i == 0 || took < best)
			best = took;
	}
	return best;
}

static void say(const char *text)
{
	if (write(STDOUT_FILENO, text, strlen(text)) < 0)
		load_fail("write");
}

static void on_signal(int number)
{
	(void)number;
	_exit(0);
}

/*
 * Says so and sleeps until a signal ends it, or until whoever holds the other end of standard input
 * is gone: nothing stays behind then.
 */
static int wait_for_end(void)
{
	struct sigaction action = { .sa_handler = on_signal };
	char byte;
	ssize_t len;

	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	say("first\n");
	do {
		len = read(STDIN_FILENO, &byte, 1);
	} while (len > 0 || (len < 0 && errno == EINTR));
	return 0;
}

/* Before, after and without: each stage waits for a byte while the host looks. */
static void stage(const char *text)
{
	char byte;

	say(text);
	if (read(STDIN_FILENO, &byte, 1) != 1)
		exit(1);
}

int load_touch(uint64_t mib)
{
	uint64_t len = mib << 20;
	char *at = load_map(len);

	stage("first\n");
	for (uint64_t i = 0; i < len; i += 4096)
		at[i] = (char)(i >> 12 | 1);
	stage("touched\n");
	munmap(at, len);
	stage("freed\n");
	return 0;
}

static enum load_scale scale_of(const char *word)
{
	if (word && strcmp(word, "quick") == 0)
		return LOAD_QUICK;
	return word && strcmp(word, "full") == 0 ? LOAD_FULL : LOAD_NORMAL;
}

static int usage(void)
{
	static const char text[] =
		"usage: vmm-load first | exit | wait | touch MIB | micro SCALE | compress SCALE | "
		"files DIR SCALE | probe | serve PORT | net HOST|gateway PORT SCALE | redis SCALE "
		"| "
		"sysbench SCALE | stress SCALE | oltp SCALE;  SCALE is quick, normal or full\n";

	if (write(STDERR_FILENO, text, sizeof(text) - 1) < 0)
		return 1;
	return 2;
}

static int micro(enum load_scale scale)
{
	int status = load_solver(scale);

	if (!status)
		status = load_memory(scale);
	return status ? status : load_system(scale);
}

int main(int argc, char **argv)
{
	const char *command = argc > 1 ? argv[1] : "";
	const char *word = argc > 2 ? argv[2] : NULL;

	if (strcmp(command, "exit") == 0)
		return 0;
	if (strcmp(command, "first") == 0) {
		say("first\n");
		return 0;
	}
	if (strcmp(command, "wait") == 0)
		return wait_for_end();
	if (strcmp(command, "touch") == 0 && word)
		return load_touch(strtoull(word, NULL, 10));
	if (strcmp(command, "micro") == 0)
		return micro(scale_of(word));
	if (strcmp(command, "compress") == 0)
		return load_compress(scale_of(word));
	if (strcmp(command, "files") == 0 && word)
		return load_files(word, scale_of(argc > 3 ? argv[3] : NULL));
	if (strcmp(command, "probe") == 0)
		return load_probe();
	if (strcmp(command, "serve") == 0 && word)
		return load_serve(word);
	if (strcmp(command, "net") == 0 && argc > 3)
		return load_net(word, argv[3], scale_of(argc > 4 ? argv[4] : NULL));
	if (strcmp(command, "redis") == 0)
		return load_redis(scale_of(word));
	if (strcmp(command, "sysbench") == 0)
		return load_sysbench(scale_of(word));
	if (strcmp(command, "stress") == 0)
		return load_stress(scale_of(word));
	if (strcmp(command, "oltp") == 0)
		return load_oltp(scale_of(word));
	return usage();
}
