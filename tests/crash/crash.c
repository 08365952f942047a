/*
 * The crash test: starts a machine whose guest stamps its disk (tests/guest/cases/crash.c), ends it
 * at random moments, and after each end looks whether every sector of every generation that the
 * guest called safe is in the image, and whether any sector is torn.
 *
 *   crash kill DIR COUNT -- COMMAND...     SIGKILL; the next life starts on the same image at once
 *   crash reset DIR COUNT -- COMMAND...    the guest resets the machine; looked at before it goes
 * on crash settle DIR COUNT -- COMMAND...   looks after COUNT generations that nothing is in the
 * host's page cache only crash overlay DIR COUNT -- COMMAND...  SIGKILL; the image must not change
 *
 * COMMAND runs the machine with DIR/disk.img, which is made here. DIR/tmp is its TMPDIR, and must
 * be empty after each end. Status 0 when nothing was lost, 1 when something was, 77 when the host
 * cannot tell. SEED in the environment repeats a run's random numbers.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/crash/stamp.h"

#define LINE_MAX_LEN 512
#define START_MS     20000 /* for a start on a busy machine */
#define LIFE_MS	     250
#define EARLY_MS     80
#ifndef SYS_cachestat
#define SYS_cachestat 451
#endif

struct life {
	pid_t pid;
	int out_fd;
	int in_fd;
	char text[LINE_MAX_LEN]; /* of a line that is not complete */
	size_t text_len;
	bool started; /* since the last reset */
	unsigned starts;
	unsigned dones;
};

struct test {
	char **command;
	const char *dir;
	char image[4096];
	char tmp[4096];
	uint64_t safe[STAMP_DISK_SECTORS]; /* the generation that must be there, at least */
	uint64_t safe_generations;
	uint64_t random;
	int64_t slowest_start_ms;
	char last_lines[2048];
};

static uint64_t next_random(struct test *test)
{
	test->random = stamp_mix(test->random + 0x9e3779b97f4a7c15ull);
	return test->random;
}

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

__attribute__((noreturn, format(printf, 1, 2))) static void die(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	printf("\n");
	exit(1);
}

/* ---- a machine's life ---- */

static void life_begin(struct test *test, struct life *life)
{
	int out[2], in[2];

	*life = (struct life){ .pid = -1 };
	if (pipe2(out, O_CLOEXEC) < 0 || pipe2(in, O_CLOEXEC) < 0)
		die("pipe: %s", strerror(errno));
	life->pid = fork();
	if (life->pid < 0)
		die("fork: %s", strerror(errno));
	if (life->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		setenv("TMPDIR", test->tmp, 1);
		dup2(in[0], STDIN_FILENO);
		dup2(out[1], STDOUT_FILENO);
		dup2(out[1], STDERR_FILENO);
		execvp(test->command[0], test->command);
		_exit(125);
	}
	close(out[1]);
	close(in[0]);
	life->out_fd = out[0];
	life->in_fd = in[1];
}

static void take_done(struct test *test, uint64_t generation)
{
	for (unsigned i = 0; i < STAMP_RUNS; i++) {
		struct stamp_run run = stamp_run_of(generation, i);

		for (uint32_t s = run.sector; s < run.sector + run.count; s++)
			if (test->safe[s] < generation)
				test->safe[s] = generation;
	}
	test->safe_generations++;
}

static void take_line(struct test *test, struct life *life, const char *line)
{
	unsigned long long number;
	size_t used = strlen(test->last_lines);

	if (sscanf(line, "done %llu", &number) == 1) {
		life->dones++;
		take_done(test, number);
		return;
	}
	if (sscanf(line, "start %llu", &number) == 1) {
		life->started = true;
		life->starts++;
		return;
	}
	if (strncmp(line, "torn ", 5) == 0)
		die("the guest found sector %s torn", line + 5);
	snprintf(test->last_lines + used, sizeof(test->last_lines) - used, "%s\n", line);
}

static void take_text(struct test *test, struct life *life, const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (text[i] != '\n') {
			if (text[i] != '\r' && life->text_len < sizeof(life->text) - 1)
				life->text[life->text_len++] = text[i];
			continue;
		}
		life->text[life->text_len] = '\0';
		life->text_len = 0;
		take_line(test, life, life->text);
	}
}

/* Reads what the machine says until DEADLINE, or it is gone, or it has said so many "done" or
 * "start". False when it is gone. */
static bool life_listen(struct test *test, struct life *life, int64_t deadline, unsigned dones,
			unsigned starts)
{
	for (;;) {
		struct pollfd out = { .fd = life->out_fd, .events = POLLIN };
		int64_t left = deadline - now_ms();
		char text[4096];
		ssize_t len;

		if (life->dones >= dones || life->starts >= starts || left <= 0)
			return true;
		if (poll(&out, 1, (int)left) <= 0)
			continue;
		len = read(life->out_fd, text, sizeof(text));
		if (len <= 0)
			return false;
		take_text(test, life, text, (size_t)len);
	}
}

static void life_must_go_on(struct test *test, const struct life *life, bool alive)
{
	int status = 0;

	if (alive)
		return;
	waitpid(life->pid, &status, 0);
	die("the machine ended by itself, status %d signal %d:\n%s", WEXITSTATUS(status),
	    WTERMSIG(status), test->last_lines);
}

static void life_wait_for_start(struct test *test, struct life *life)
{
	unsigned starts = life->starts + 1;
	int64_t begin = now_ms();
	int64_t took;

	life_must_go_on(test, life, life_listen(test, life, begin + START_MS, ~0u, starts));
	if (life->starts < starts)
		die("the guest does not start:\n%s", test->last_lines);
	took = now_ms() - begin;
	if (took > test->slowest_start_ms)
		test->slowest_start_ms = took;
}

static void life_say_go(const struct life *life)
{
	if (write(life->in_fd, "g", 1) != 1)
		die("cannot talk to the guest: %s", strerror(errno));
}

/* What it said before its end still counts. */
static void life_kill(struct test *test, struct life *life)
{
	int status;

	kill(life->pid, SIGKILL);
	if (waitpid(life->pid, &status, 0) != life->pid || !WIFSIGNALED(status) ||
	    WTERMSIG(status) != SIGKILL)
		die("the machine had ended before it was killed, status %d:\n%s",
		    WEXITSTATUS(status), test->last_lines);
	life_listen(test, life, now_ms() + 1000, ~0u, ~0u);
	close(life->out_fd);
	close(life->in_fd);
}

/* ---- looking ---- */

static void check_image(const struct test *test, const char *when)
{
	static uint64_t words[STAMP_DISK_SECTORS * STAMP_WORDS];
	int fd = open(test->image, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || pread(fd, words, sizeof(words), 0) != sizeof(words))
		die("read %s: %s", test->image, strerror(errno));
	close(fd);
	for (uint64_t s = 0; s < STAMP_DISK_SECTORS; s++) {
		uint64_t generation;

		if (!stamp_read(words + s * STAMP_WORDS, s, &generation))
			die("%s: sector %llu is torn", when, (unsigned long long)s);
		if (generation < test->safe[s])
			die("%s: sector %llu holds generation %llu, but %llu was safe", when,
			    (unsigned long long)s, (unsigned long long)generation,
			    (unsigned long long)test->safe[s]);
	}
}

static void check_left_behind(const char *path, unsigned expected)
{
	DIR *dir = opendir(path);
	const struct dirent *entry;
	unsigned count = 0;

	if (!dir)
		die("look into %s: %s", path, strerror(errno));
	while ((entry = readdir(dir)))
		count += entry->d_name[0] != '.' || strlen(entry->d_name) > 2;
	closedir(dir);
	if (count != expected)
		die("%s holds %u files, not %u: something was left behind", path, count, expected);
}

static void check_nothing_left(const struct test *test)
{
	check_left_behind(test->tmp, 0);
	check_left_behind(test->dir, 2); /* the image and tmp */
}

/* Bytes of the image that are only in the page cache; -1: this kernel does not say. */
static int64_t cache_only_len(const struct test *test)
{
	struct {
		uint64_t offset, len;
	} range = { 0, 0 };
	struct {
		uint64_t cached, dirty, writeback, evicted, recently_evicted;
	} stat = { 0 };
	int fd = open(test->image, O_RDONLY | O_CLOEXEC);
	long ret = syscall(SYS_cachestat, fd, &range, &stat, 0u);

	close(fd);
	return ret < 0 ? -1 : (int64_t)(stat.dirty + stat.writeback) * 4096;
}

/* ---- the four tests ---- */

/* At first when it starts, then at any moment of its life. */
static void live_and_die(struct test *test, struct life *life, bool early)
{
	life_begin(test, life);
	if (early) {
		int64_t end = now_ms() + (int64_t)(next_random(test) % EARLY_MS);

		life_must_go_on(test, life, life_listen(test, life, end, ~0u, ~0u));
	} else {
		int64_t end;

		life_wait_for_start(test, life);
		end = now_ms() + (int64_t)(next_random(test) % LIFE_MS);
		life_must_go_on(test, life, life_listen(test, life, end, ~0u, ~0u));
	}
	life_kill(test, life);
}

static void run_kill(struct test *test, unsigned count)
{
	char when[32];

	for (unsigned i = 0; i < count; i++) {
		struct life life;

		live_and_die(test, &life, i % 8 == 7);
		snprintf(when, sizeof(when), "kill %u", i + 1);
		check_image(test, when);
		check_nothing_left(test);
	}
}

static void run_reset(struct test *test, unsigned count)
{
	struct life life;
	char when[32];

	life_begin(test, &life);
	for (unsigned i = 0; i <= count; i++) {
		life_wait_for_start(test, &life);
		snprintf(when, sizeof(when), "reset %u", i);
		check_image(test, when);
		life_say_go(&life);
	}
	life_kill(test, &life);
	check_image(test, "kill after the resets");
	check_nothing_left(test);
}

static void run_settle(struct test *test, unsigned count)
{
	struct life life;
	struct statfs fs;

	if (statfs(test->image, &fs) < 0 || fs.f_type == TMPFS_MAGIC ||
	    fs.f_type == OVERLAYFS_SUPER_MAGIC || cache_only_len(test) < 0) {
		printf("this kernel or file system does not tell what is in its cache only\n");
		exit(77);
	}
	life_begin(test, &life);
	life_wait_for_start(test, &life);
	for (unsigned i = 0; i < count; i++) {
		int64_t len;

		life_say_go(&life);
		life_must_go_on(test, &life,
				life_listen(test, &life, now_ms() + START_MS, i + 1, ~0u));
		if (life.dones != i + 1)
			die("the guest does not go on:\n%s", test->last_lines);
		len = cache_only_len(test);
		if (len != 0)
			die("generation %u is safe, says the guest, but %lld bytes are in the "
			    "host's cache only",
			    i + 1, (long long)len);
		check_image(test, "safe");
	}
	life_kill(test, &life);
}

static void run_overlay(struct test *test, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		struct life life;

		live_and_die(test, &life, i % 4 == 3);
		/* What was safe was safe in the overlay, and went with it. */
		memset(test->safe, 0, sizeof(test->safe));
		if (cache_only_len(test) > 0)
			die("kill %u: the image was written to", i + 1);
		check_image(test, "overlay");
		check_nothing_left(test);
	}
	for (uint64_t at = 0; at < STAMP_DISK_SECTORS; at++) {
		uint64_t word;
		int fd = open(test->image, O_RDONLY | O_CLOEXEC);

		if (pread(fd, &word, sizeof(word), (off_t)(at * STAMP_SECTOR_LEN)) !=
			    sizeof(word) ||
		    word)
			die("the image under an overlay has changed");
		close(fd);
	}
}

static void make_files(struct test *test)
{
	int fd;

	snprintf(test->image, sizeof(test->image), "%s/disk.img", test->dir);
	snprintf(test->tmp, sizeof(test->tmp), "%s/tmp", test->dir);
	if (mkdir(test->tmp, 0700) < 0)
		die("make %s: %s", test->tmp, strerror(errno));
	fd = open(test->image, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0 || ftruncate(fd, (off_t)STAMP_DISK_SECTORS * STAMP_SECTOR_LEN) < 0 ||
	    fsync(fd) < 0)
		die("make %s: %s", test->image, strerror(errno));
	close(fd);
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*run)(struct test *test, unsigned count);
	} kinds[] = {
		{ "kill", run_kill },
		{ "reset", run_reset },
		{ "settle", run_settle },
		{ "overlay", run_overlay },
	};
	static struct test test;
	const char *seed = getenv("SEED");
	unsigned count = argc > 5 ? (unsigned)strtoul(argv[3], NULL, 10) : 0;

	if (!count || strcmp(argv[4], "--") != 0)
		die("usage: crash kill|reset|settle|overlay DIR COUNT -- COMMAND...");
	setvbuf(stdout, NULL, _IOLBF, 0);
	signal(SIGPIPE, SIG_IGN);
	test.dir = argv[2];
	test.command = argv + 5;
	test.random = seed ? strtoull(seed, NULL, 10) : (uint64_t)time(NULL);
	printf("SEED=%llu\n", (unsigned long long)test.random);
	make_files(&test);
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (strcmp(kinds[i].name, argv[1]) != 0)
			continue;
		kinds[i].run(&test, count);
		if (!test.safe_generations)
			die("the guest never called anything safe: nothing was tested");
		printf("%u times, %llu generations safe, none lost; slowest start %lld ms\n", count,
		       (unsigned long long)test.safe_generations, (long long)test.slowest_start_ms);
		return 0;
	}
	die("no test '%s'", argv[1]);
}
