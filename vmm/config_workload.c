/*
 * What follows from a configuration with a command in a root directory, and what contradicts it.
 * Called by config_finish on the main thread.
 */
#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "vmm/config_finish.h"
#include "vmm/log.h"

static int refuse(const char *option, const char *why)
{
	log_err("--%s: %s", option, why);
	return -EINVAL;
}

/* Options that say something about a command only. */
static int refuse_without_rootfs(const struct config *config)
{
	const char *given = config->as != CONFIG_AS_PLAIN ? "as"
			    : config->keep		  ? "keep"
			    : config->volume_count	  ? "volume"
			    : config->env_count		  ? "env"
			    : config->workdir		  ? "workdir"
			    : config->user		  ? "user"
			    : config->hostname		  ? "hostname"
							  : NULL;

	if (config->command_count) {
		log_err("-- %.100s: a command runs in a root directory: add --rootfs DIR",
			config->command[0]);
		return -EINVAL;
	}
	if (given)
		return refuse(given, "is about a command: add --rootfs DIR and -- COMMAND");
	if (config->net_count && config->nets[0].kind == CONFIG_NET_HOST)
		return refuse("net host", "a machine has a network of its own: write user or "
					  "tap=NAME");
	if (config->net_count && config->nets[0].kind == CONFIG_NET_BRIDGE)
		return refuse("net bridge", "is for --as container: write user or tap=NAME");
	return 0;
}

/* Options that say something about a machine only, and say it. */
static int refuse_machine_words(const struct config *config)
{
	const char *given = config->entry			    ? "entry"
			    : config->transport			    ? "transport"
			    : config->console || config->console_to ? "console"
			    : config->on_reboot			    ? "on-reboot"
			    : config->on_panic			    ? "on-panic"
			    : config->io_engine			    ? "io-engine"
			    : config->io_threads		    ? "io-threads"
			    : config->poll_usec			    ? "poll"
								    : NULL;

	if (given)
		return refuse(given, "is about a machine: it is for --as machine");
	/* --print-config writes the default one. */
	if (config->as == CONFIG_AS_HOST && config->hostname &&
	    strcmp(config->hostname, config->name) != 0)
		return refuse("hostname", "the host has its own: it is for --as container or "
					  "machine");
	return 0;
}

/* Options that a root directory leaves nothing to say for. */
static int refuse_with_rootfs(const struct config *config)
{
	static const char brings[] = "comes with --rootfs: leave one of them out";

	if (!config->command_count)
		return refuse("rootfs", "no command to run in it: add -- COMMAND [ARG...]");
	if (config->initrd)
		return refuse("initrd", brings);
	if (config->cmdline_only)
		return refuse("cmdline-only", "what starts the command could not be told to the "
					      "kernel: use --cmdline");
	if (config->as >= CONFIG_AS_CONTAINER)
		return refuse_machine_words(config);
	if (config->console_to == CONFIG_TO_PTY)
		return refuse("console to=pty", "standard input and output are the command's: "
						"leave it out");
	return 0;
}

/* MISSING and NOT_DIR: what to do when there is nothing, or something else. */
static int check_directory(const char *option, const char *path, const char *missing,
			   const char *not_dir)
{
	const char *why = "not a directory", *cure = not_dir;
	struct stat st;
	int ret = stat(path, &st) < 0 ? -errno : S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;

	if (ret == 0 && access(path, R_OK | X_OK) < 0)
		ret = -errno;
	if (ret == 0)
		return 0;
	if (ret == -ENOENT) {
		why = "no such directory";
		cure = missing;
	} else if (ret != -ENOTDIR) {
		why = strerror(-ret);
		cure = "run as one who may read it, or name another";
	}
	log_err("--%s %s: %s: %s", option, path, why, cure);
	return ret;
}

/* Whether the directory PATH is TOP, or below it. */
static bool is_within(const char *path, const char *top)
{
	char *inner = realpath(path, NULL), *outer = realpath(top, NULL);
	size_t len = outer ? strlen(outer) : 0;
	bool within = inner && outer && strncmp(inner, outer, len) == 0 &&
		      (!inner[len] || inner[len] == '/' || len == 1);

	free(inner);
	free(outer);
	return within;
}

static int check_directories(const struct config *config)
{
	int ret = check_directory("rootfs", config->rootfs,
				  "name one that holds a system, such as mmdebstrap makes",
				  "unpack it into one");

	if (ret == 0 && config->keep)
		ret = check_directory("keep", config->keep, "make it with mkdir",
				      "name one, for what the command writes");
	if (ret == 0 && config->keep &&
	    (is_within(config->keep, config->rootfs) || is_within(config->rootfs, config->keep)))
		ret = refuse("keep",
			     "one of it and --rootfs lies in the other: name one beside it");
	return ret;
}

static bool is_hostname(const char *name)
{
	size_t len = strlen(name);

	for (const char *p = name; *p; p++) {
		if (!isalnum((unsigned char)*p) && !strchr("-._", *p))
			return false;
	}
	return len > 0 && len <= 64 && name[0] != '-' && name[0] != '.';
}

static int check_texts(const struct config *config)
{
	if (config->workdir && config->workdir[0] != '/')
		return refuse("workdir", "begins at the root: write it like /srv");
	if (config->hostname && !is_hostname(config->hostname))
		return refuse("hostname", "write up to 64 letters, digits, - _ .");
	if (config->user && (config->user[0] == ':' || strchr(config->user, '/') ||
			     config->user[strlen(config->user) - 1] == ':'))
		return refuse("user", "write NAME or NUMBER, or USER:GROUP");
	return 0;
}

/* Variables named without a value: as they are here, left out where there is none. */
static int fill_env(struct config *config)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < config->env_count; i++) {
		char *word = config->env[i];

		if (!strchr(word, '=')) {
			const char *value = getenv(word);
			char *filled = NULL;

			if (value && asprintf(&filled, "%s=%s", word, value) < 0)
				return log_errno(ENOMEM, "complete the configuration");
			free(word);
			word = filled;
			config->env[i] = word;
		}
		if (word)
			config->env[kept++] = word;
	}
	if (config->env)
		config->env[kept] = NULL;
	config->env_count = kept;
	return 0;
}

int config_finish_workload(struct config *config)
{
	int ret;

	if (!config->rootfs)
		return refuse_without_rootfs(config);
	ret = refuse_with_rootfs(config);
	if (ret == 0)
		ret = check_texts(config);
	if (ret == 0)
		ret = check_directories(config);
	if (ret < 0)
		return ret;
	if (config->as == CONFIG_AS_PLAIN)
		config->as = CONFIG_AS_MACHINE;
	if (!config->hostname) {
		config->hostname = strdup(config->name);
		if (!config->hostname)
			return log_errno(ENOMEM, "complete the configuration");
	}
	return fill_env(config);
}
