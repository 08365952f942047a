/*
 * Text and programs without stdio: see load.h.
 */
#include "vmm/compare/workload/load.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

void load_append(char *room, size_t len, const char *text)
{
	size_t at = strlen(room);

	while (*text && at + 1 < len)
		room[at++] = *text++;
	room[at] = '\0';
}

void load_append_number(char *room, size_t len, uint64_t number)
{
	char digits[24];
	unsigned at = sizeof(digits) - 1;

	digits[at] = '\0';
	do {
		digits[--at] = (char)('0' + number % 10);
		number /= 10;
	} while (number);
	load_append(room, len, digits + at);
}

double load_number(const char *text)
{
	double number = 0, unit = 1;

	while (*text >= '0' && *text <= '9')
		number = number * 10 + (*text++ - '0');
	if (*text == '.')
		while (*++text >= '0' && *text <= '9')
			number += (*text - '0') * (unit /= 10);
	return number;
}

void load_print_text(const char *key, const char *text)
{
	char line[1200] = "";

	load_append(line, sizeof(line) - 1, key);
	load_append(line, sizeof(line) - 1, " ");
	load_append(line, sizeof(line) - 1, text);
	load_append(line, sizeof(line), "\n");
	if (write(STDOUT_FILENO, line, strlen(line)) < 0)
		load_fail("write");
}

void load_print(const char *key, double value)
{
	uint64_t thousandths = (uint64_t)(value * 1000 + 0.5);
	char text[48] = "", fraction[8] = "";

	load_append_number(text, sizeof(text), thousandths / 1000);
	/* A leading 1 keeps the zeroes, and becomes the point. */
	load_append_number(fraction, sizeof(fraction), 1000 + thousandths % 1000);
	fraction[0] = '.';
	load_append(text, sizeof(text), fraction);
	load_print_text(key, text);
}

void load_fail(const char *what)
{
	char line[400] = "vmm-load: ";
	int err = errno;

	load_append(line, sizeof(line) - 1, what);
	if (err) {
		load_append(line, sizeof(line) - 1, ": ");
		load_append(line, sizeof(line) - 1, strerror(err));
	}
	load_append(line, sizeof(line), "\n");
	if (write(STDERR_FILENO, line, strlen(line)) < 0)
		_exit(1);
	_exit(1);
}

static void become(char *const argv[], int in_fd, int out_fd)
{
	int null = open("/dev/null", O_RDWR);

	dup2(in_fd < 0 ? null : in_fd, STDIN_FILENO);
	dup2(out_fd < 0 ? null : out_fd, STDOUT_FILENO);
	execvp(argv[0], argv);
	_exit(127);
}

int load_spawn(char *const argv[])
{
	pid_t pid = fork();

	if (pid < 0)
		load_fail("fork");
	if (pid == 0)
		become(argv, -1, -1);
	return pid;
}

int load_run(char *const argv[], int in_fd, char *room, size_t len)
{
	char data[4096];
	size_t done = 0;
	int pipes[2], status;
	ssize_t n;
	pid_t pid;

	if (pipe2(pipes, O_CLOEXEC) < 0)
		load_fail("pipe");
	pid = fork();
	if (pid < 0)
		load_fail("fork");
	if (pid == 0)
		become(argv, in_fd, pipes[1]);
	close(pipes[1]);
	while ((n = read(pipes[0], data, sizeof(data))) > 0) {
		size_t take = (size_t)n < len - 1 - done ? (size_t)n : len - 1 - done;

		memcpy(room + done, data, take);
		done += take;
	}
	room[done] = '\0';
	close(pipes[0]);
	if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		return 128;
	return WEXITSTATUS(status);
}
