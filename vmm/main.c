/*
 * The program's entry: finds the command, runs it, returns its exit status. Nothing else exits the
 * process.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "vmm/cli/cli.h"
#include "vmm/end.h"
#include "vmm/err.h"
#include "vmm/log.h"

static const struct {
	const char *name;
	int (*run)(int argc, char **argv);
} commands[] = {
	{ "run", cli_run },	      { "compare", cli_compare }, { "doctor", cli_doctor },
	{ "freeze", cli_freeze },     { "thaw", cli_freeze },	  { "help", cli_help },
	{ "--help", cli_help },	      { "-h", cli_help },	  { "version", cli_version },
	{ "--version", cli_version },
};

/*
 * Whatever is opened first would get the number of a closed standard stream, and what is meant for
 * the console or the log would be written into it: a disk, for example.
 */
static int open_standard_streams(void)
{
	int fd;

	do {
		fd = open("/dev/null", O_RDWR);
	} while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd < 0)
		return log_errno(errno, "open /dev/null");
	close(fd);
	return 0;
}

/* What a command printed must have arrived: a full disk, for example, is a failure. */
static int flush_output(int status)
{
	int err = fflush(stdout) == 0 ? (ferror(stdout) ? EIO : 0) : errno;

	if (!err)
		return status;
	log_errno(err, "write to standard output");
	return status ? status : EXIT_STATUS_HOST;
}

int main(int argc, char **argv)
{
	if (open_standard_streams() < 0)
		return EXIT_STATUS_HOST;
	if (argc < 2) {
		char *help[] = { "help", NULL };

		cli_help(1, help);
		return EXIT_STATUS_HOST;
	}
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		if (!strcmp(argv[1], commands[i].name))
			return flush_output(commands[i].run(argc - 1, argv + 1));
	log_err("no command %s; `vmm help` lists them", argv[1]);
	return EXIT_STATUS_HOST;
}
