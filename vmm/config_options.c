/*
 * The options of `vmm run`: the table, and the command line's reader. Main thread.
 */
#include "vmm/config_options.h"

#include <assert.h>
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "vmm/config_devices.h"
#include "vmm/log.h"

#define FIELD(member) offsetof(struct config, member)

static const char *const entry_words[] = { [ARCH_ENTRY_AUTO] = "auto",
					   [ARCH_ENTRY_ELF] = "elf",
					   [ARCH_ENTRY_PVH] = "pvh",
					   [ARCH_ENTRY_BZIMAGE] = "bzimage",
					   NULL };
static const char *const balloon_words[] = { [CONFIG_BALLOON_AUTO] = "auto",
					     [CONFIG_BALLOON_ON] = "on",
					     [CONFIG_BALLOON_OFF] = "off",
					     NULL };
static const char *const transport_words[] = {
	[CONFIG_TRANSPORT_PCI] = "pci", [CONFIG_TRANSPORT_MMIO] = "mmio", NULL
};
static const char *const on_reboot_words[] = {
	[CONFIG_REBOOT_RESET] = "reset", [CONFIG_REBOOT_EXIT] = "exit", NULL
};
static const char *const on_panic_words[] = { [CONFIG_PANIC_EXIT] = "exit",
					      [CONFIG_PANIC_RESET] = "reset",
					      [CONFIG_PANIC_PAUSE] = "pause",
					      NULL };
static const char *const engine_words[] = { [LOOP_ENGINE_AUTO] = "auto",
					    [LOOP_ENGINE_IO_URING] = "io_uring",
					    [LOOP_ENGINE_EPOLL] = "epoll",
					    NULL };

static const char *const as_words[] = { [CONFIG_AS_PLAIN] = "plain",
					[CONFIG_AS_MACHINE] = "machine",
					[CONFIG_AS_CONTAINER] = "container",
					[CONFIG_AS_HOST] = "host",
					NULL };

const struct config_field config_options[] = {
	{ .name = "kernel",
	  .type = CONFIG_TYPE_FILE,
	  .offset = FIELD(kernel),
	  .arg = "FILE",
	  .group = "What to boot",
	  .help = "bzImage or vmlinux; else one found in . or /boot" },
	{ .name = "initrd",
	  .type = CONFIG_TYPE_FILE,
	  .offset = FIELD(initrd),
	  .arg = "FILE",
	  .help = "initial RAM disk" },
	{ .name = "cmdline",
	  .type = CONFIG_TYPE_TEXT,
	  .offset = FIELD(cmdline),
	  .arg = "TEXT",
	  .help = "kernel command line, added after the derived words, so that it wins" },
	{ .name = "cmdline-only",
	  .type = CONFIG_TYPE_TEXT,
	  .offset = FIELD(cmdline_only),
	  .arg = "TEXT",
	  .help = "the whole kernel command line; nothing is derived" },
	{ .name = "entry",
	  .type = CONFIG_TYPE_ENUM,
	  .offset = FIELD(entry),
	  .words = entry_words,
	  .arg = "auto|elf|pvh|bzimage",
	  .help = "which entry point of the kernel (auto)" },

	{ .name = "cpus",
	  .type = CONFIG_TYPE_UINT,
	  .offset = FIELD(cpus),
	  .min = 1,
	  .max = ARCH_CPUS_MAX,
	  .arg = "N",
	  .group = "The machine",
	  .help = "virtual CPUs (1)" },
	{ .name = "memory",
	  .type = CONFIG_TYPE_SIZE,
	  .offset = FIELD(memory_len),
	  .min = UINT64_C(16) << 20,
	  .max = UINT64_C(16) << 40,
	  .arg = "SIZE",
	  .help = "memory, like 512M or 2G (512M)" },
	{ .name = "balloon",
	  .type = CONFIG_TYPE_ENUM,
	  .offset = FIELD(balloon),
	  .words = balloon_words,
	  .arg = "auto|on|off",
	  .help = "memory that the guest frees goes back to the host (auto: with --rootfs)" },
	{ .name = "disk",
	  .type = CONFIG_TYPE_LIST,
	  .list = &config_list_disk,
	  .arg = "PATH[,ro][,...]",
	  .help = "a disk; the first one holds the root (help disk)" },
	{ .name = "net",
	  .type = CONFIG_TYPE_LIST,
	  .list = &config_list_net,
	  .arg = "none|user|tap=NAME|fd=N|host|bridge[,...]",
	  .help = "a network card; user when passt is there (help net)" },
	{ .name = "publish",
	  .type = CONFIG_TYPE_LIST,
	  .list = &config_list_publish,
	  .arg = "[ADDR:]PORT[:PORT][/udp]",
	  .help = "a port of the host that reaches the guest's, in user mode" },
	{ .name = "console",
	  .type = CONFIG_TYPE_LIST,
	  .list = &config_list_console,
	  .arg = "virtio|serial[,to=...]",
	  .help = "the console and its other end (help console)" },
	{ .name = "transport",
	  .type = CONFIG_TYPE_ENUM,
	  .offset = FIELD(transport),
	  .words = transport_words,
	  .arg = "pci|mmio",
	  .help = "how the guest finds its virtio devices (pci)" },
	{ .name = "name",
	  .type = CONFIG_TYPE_TEXT,
	  .offset = FIELD(name),
	  .arg = "NAME",
	  .help = "seen in SMBIOS; MAC addresses are made from it (vmm)" },

	{ .name = "rootfs",
	  .type = CONFIG_TYPE_FILE,
	  .offset = FIELD(rootfs),
	  .arg = "DIR",
	  .group = "One command (vmm run --rootfs DIR -- COMMAND [ARG...])",
	  .help = "run COMMAND with DIR as its root, which is never changed (help rootfs)" },
	{ .name = "as",
	  .type = CONFIG_TYPE_ENUM,
	  .offset = FIELD(as),
	  .words = as_words,
	  .arg = "machine|container|host",
	  .help = "what contains it (machine; without --rootfs: plain)" },
	{ .name = "keep",
	  .type = CONFIG_TYPE_FILE,
	  .offset = FIELD(keep),
	  .arg = "DIR",
	  .help = "keep what it writes in DIR; else it is thrown away" },
	{ .name = "volume",
	  .type = CONFIG_TYPE_LIST,
	  .list = &config_list_volume,
	  .arg = "SRC:DST[:ro]",
	  .help = "a directory or an image of the host, seen at DST" },
	{ .name = "env",
	  .type = CONFIG_TYPE_LIST,
	  .list = &config_list_env,
	  .arg = "NAME[=VALUE]",
	  .help = "a variable of its environment; without =VALUE as it is here" },
	{ .name = "workdir",
	  .type = CONFIG_TYPE_FILE,
	  .offset = FIELD(workdir),
	  .arg = "DIR",
	  .help = "where it starts (/)" },
	{ .name = "user",
	  .type = CONFIG_TYPE_TEXT,
	  .offset = FIELD(user),
	  .arg = "USER[:GROUP]",
	  .help = "who it is, by name in its root or by number (root)" },
	{ .name = "hostname",
	  .type = CONFIG_TYPE_TEXT,
	  .offset = FIELD(hostname),
	  .arg = "NAME",
	  .help = "its host's name (that of --name)" },

	{ .name = "on-reboot",
	  .type = CONFIG_TYPE_ENUM,
	  .offset = FIELD(on_reboot),
	  .words = on_reboot_words,
	  .arg = "reset|exit",
	  .group = "How it ends",
	  .help = "when the guest reboots (reset)" },
	{ .name = "on-panic",
	  .type = CONFIG_TYPE_ENUM,
	  .offset = FIELD(on_panic),
	  .words = on_panic_words,
	  .arg = "exit|reset|pause",
	  .help = "when the guest's kernel panics (exit, with code 120)" },
	{ .name = "timeout",
	  .type = CONFIG_TYPE_DURATION,
	  .offset = FIELD(timeout_ms),
	  .arg = "TIME",
	  .help = "end it after TIME, like 30s or 5m; 0 is never (0)" },

	{ .name = "io-engine",
	  .type = CONFIG_TYPE_ENUM,
	  .offset = FIELD(io_engine),
	  .words = engine_words,
	  .arg = "auto|io_uring|epoll",
	  .group = "Input and output",
	  .help = "auto is io_uring where the host allows it (auto)" },
	{ .name = "io-threads",
	  .type = CONFIG_TYPE_UINT,
	  .offset = FIELD(io_threads),
	  .min = 0,
	  .max = 64,
	  .arg = "N",
	  .help = "threads for I/O beside the main one (0)" },
	{ .name = "poll",
	  .type = CONFIG_TYPE_UINT,
	  .offset = FIELD(poll_usec),
	  .min = 0,
	  .max = 10000,
	  .arg = "USEC",
	  .help = "look for more work this long before sleeping (0)" },
	{ .name = "stats",
	  .type = CONFIG_TYPE_FILE,
	  .offset = FIELD(stats),
	  .arg = "FILE",
	  .help = "write counts to FILE at the end, as JSON (help stats)" },

	{ .name = "config",
	  .type = CONFIG_TYPE_ACTION,
	  .arg = "FILE.json",
	  .group = "Configuration",
	  .help = "read options from FILE (-: standard input)" },
	{ .name = "print-config",
	  .type = CONFIG_TYPE_ACTION,
	  .help = "print all that would be used, as such a FILE, and end" },
	{ .name = "verbose",
	  .letter = 'v',
	  .type = CONFIG_TYPE_FLAG,
	  .offset = FIELD(verbose),
	  .help = "say each step with its time" },
	{ .name = "help", .letter = 'h', .type = CONFIG_TYPE_ACTION, .help = "print this" },
};
const size_t config_option_count = ARRAY_SIZE(config_options);
const struct config_field config_command = { .name = "command",
					     .type = CONFIG_TYPE_LIST,
					     .list = &config_list_command };

void config_option_own(struct config_reader *reader, const struct config_field *option,
		       unsigned owner)
{
	size_t index = 0;

	for (size_t i = 0; i < config_option_count && &config_options[i] != option; i++)
		index += config_options[i].type == CONFIG_TYPE_LIST;
	assert(index < ARRAY_SIZE(reader->list_owner));
	if (reader->list_owner[index] != owner)
		option->list->clear(reader->config);
	reader->list_owner[index] = owner;
}

static int check_name(const char *name, struct config_error *err)
{
	static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				      "0123456789-_.";

	if (strlen(name) > 64 || name[strspn(name, allowed)] || name[0] == '-' || name[0] == '.')
		return config_error_set(
			err, "\"%.64s\" is no name: use up to 64 letters, digits, - _ .", name);
	return 0;
}

int config_option_set(struct config_reader *reader, const struct config_field *option,
		      const char *text, struct config_error *err)
{
	if (option->type == CONFIG_TYPE_LIST)
		return option->list->add(reader->config, text, err);
	if (option->offset == FIELD(name) && check_name(text, err) < 0)
		return -EINVAL;
	if (option->offset == FIELD(memory_len))
		reader->config->memory_given = true;
	if (option->offset == FIELD(cpus))
		reader->config->cpus_given = true;
	return config_field_set(option, reader->config, text, err);
}

/* 0, 1 after --help, -errno. VALUE is NULL for options without one. */
static int do_action(struct config_reader *reader, const struct config_field *option,
		     const char *value)
{
	if (strcmp(option->name, "help") == 0) {
		config_options_help();
		return 1;
	}
	if (strcmp(option->name, "print-config") == 0) {
		reader->config->print_config = true;
		return 0;
	}
	return config_json_load(reader, value);
}

static bool takes_value(const struct config_field *option)
{
	return option->arg != NULL;
}

/* Fit to be repeated in a message of one line. */
static bool is_short_line(const char *text)
{
	size_t len = strlen(text);

	for (size_t i = 0; i < len; i++) {
		if (iscntrl((unsigned char)text[i]))
			return false;
	}
	return len <= 200;
}

static int apply(struct config_reader *reader, const struct config_field *option, const char *value)
{
	struct config_error err;
	int ret;

	if (option->type == CONFIG_TYPE_ACTION)
		return do_action(reader, option, value);
	if (option->type == CONFIG_TYPE_LIST)
		config_option_own(reader, option, 0);
	ret = config_option_set(reader, option, value ? value : "on", &err);
	if (ret < 0 && value && is_short_line(value))
		log_err("--%s %s: %s", option->name, value, err.text);
	else if (ret < 0)
		log_err("--%s: %s", option->name, err.text);
	return ret;
}

static int refuse_word(const char *word)
{
	log_err("%s: not an option: write --kernel FILE or --disk PATH, or -- before a command; "
		"see vmm run --help",
		word);
	return -EINVAL;
}

/* All that follows "--". */
static int read_command(struct config_reader *reader, int argc, char **argv)
{
	struct config_error err;

	if (argc == 0) {
		log_err("--: nothing follows: write -- COMMAND [ARG...]");
		return -EINVAL;
	}
	config_option_own(reader, &config_command, 0);
	for (int i = 0; i < argc; i++) {
		if (config_list_command.add(reader->config, argv[i], &err) < 0) {
			log_err("-- %.200s: %s", argv[0], err.text);
			return -EINVAL;
		}
	}
	return 0;
}

/* Finds the option that WORD (-v, --memory, --memory=512M) means; *VALUE is after the '='. */
static const struct config_field *find_option(const char *word, const char **value)
{
	const struct config_field *option;
	struct config_error err;
	const char *equals;
	char name[64];
	size_t len;

	*value = NULL;
	for (size_t i = 0; i < config_option_count; i++) {
		if (word[1] == config_options[i].letter && word[1] && word[2] == '\0')
			return &config_options[i];
	}
	if (word[1] != '-') {
		log_err("%s: unknown: long options begin with --, see vmm run --help", word);
		return NULL;
	}
	equals = strchr(word, '=');
	len = equals ? (size_t)(equals - word - 2) : strlen(word + 2);
	snprintf(name, sizeof(name), "%.*s", (int)(len < sizeof(name) ? len : sizeof(name)),
		 word + 2);
	option = config_field_find(config_options, config_option_count, name);
	if (!option) {
		config_field_unknown(config_options, config_option_count, "--", name, &err);
		log_err("--%s: %s", name, err.text);
		return NULL;
	}
	*value = equals ? equals + 1 : NULL;
	return option;
}

/* A value may begin with dashes, but not be an option's name: then the value was forgotten. */
static bool is_option(const char *word)
{
	return strncmp(word, "--", 2) == 0 &&
	       config_field_find(config_options, config_option_count, word + 2);
}

/* Applies the option at argv[0]; gives the number of words used, or 0 after --help, or -EINVAL. */
static int read_option(struct config_reader *reader, int argc, char **argv)
{
	const char *value;
	const struct config_field *option = find_option(argv[0], &value);
	int used = 1;
	int ret;

	if (!option)
		return -EINVAL;
	if (value && !takes_value(option)) {
		log_err("--%s: takes no value: leave out =%s", option->name, value);
		return -EINVAL;
	}
	if (!value && takes_value(option)) {
		if (argc < 2 || is_option(argv[1])) {
			log_err("--%s: needs a value: write --%s %s", option->name, option->name,
				option->arg);
			return -EINVAL;
		}
		value = argv[1];
		used = 2;
	}
	ret = apply(reader, option, value);
	if (ret < 0)
		return ret;
	return ret > 0 ? 0 : used;
}

int config_parse(struct config *config, int argc, char **argv)
{
	struct config_reader reader = { .config = config };

	for (int i = 0; i < argc;) {
		int used;

		if (strcmp(argv[i], "--") == 0)
			return read_command(&reader, argc - i - 1, argv + i + 1);
		if (argv[i][0] != '-' || argv[i][1] == '\0')
			return refuse_word(argv[i]);
		used = read_option(&reader, argc - i, argv + i);
		if (used < 0)
			return used;
		if (used == 0)
			return 1;
		i += used;
	}
	return 0;
}
