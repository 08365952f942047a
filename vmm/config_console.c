/*
 * --console: which of hvc0 and ttyS0 is the machine's console, and where it goes. Called by the
 * option and file parsers on the main thread.
 */
#include <stdio.h>
#include <string.h>

#include "vmm/config.h"
#include "vmm/config_devices.h"

static const char *const console_names[] = { "virtio", "serial", NULL };
static const char *const to_names[] = { [CONFIG_TO_TERMINAL] = "terminal",
					[CONFIG_TO_FILE] = "file:",
					[CONFIG_TO_PTY] = "pty",
					[CONFIG_TO_NONE] = "none" };

struct console_words {
	enum config_console console;
	char *to;
};

#define FIELD(member) offsetof(struct console_words, member)

static const struct config_field console_fields[] = {
	{ .name = "virtio|serial",
	  .type = CONFIG_TYPE_ENUM,
	  .offset = FIELD(console),
	  .words = console_names,
	  .help = "hvc0 (virtio) or ttyS0 (16550A) is /dev/console" },
	{ .name = "to",
	  .type = CONFIG_TYPE_TEXT,
	  .offset = FIELD(to),
	  .arg = "terminal|file:PATH|pty|none",
	  .help = "where it goes; a file is appended to (terminal)" },
};

static int set_destination(struct config *config, const char *to, struct config_error *err)
{
	for (unsigned i = 0; i < ARRAY_SIZE(to_names); i++) {
		size_t len = strlen(to_names[i]);

		if (i == CONFIG_TO_FILE && strncmp(to, to_names[i], len) == 0 && to[len]) {
			free(config->console_path);
			config->console_path = strdup(to + len);
			if (!config->console_path)
				return config_error_set(err, "out of memory");
			config->console_to = CONFIG_TO_FILE;
			return 0;
		}
		if (i != CONFIG_TO_FILE && strcmp(to, to_names[i]) == 0) {
			free(config->console_path);
			config->console_path = NULL;
			config->console_to = (enum config_console_to)i;
			return 0;
		}
	}
	return config_error_set(
		err, "to=%.40s is not known: write to=terminal, file:PATH, pty or none", to);
}

static int console_add(struct config *config, const char *text, struct config_error *err)
{
	struct console_words words = { .console = config->console };
	auto_free char *copy = strdup(text);
	int ret;

	if (!copy)
		return config_error_set(err, "out of memory");
	ret = config_fields_parse_spec(console_fields, ARRAY_SIZE(console_fields),
				       &console_fields[0], &words, copy, err);
	if (ret == 0 && words.to)
		ret = set_destination(config, words.to, err);
	free(words.to);
	if (ret == 0)
		config->console = words.console;
	return ret;
}

/* A path with a comma or backslash is written so that it is read back the same. */
static char *escape(const char *path)
{
	char *out = malloc(2 * strlen(path) + 1);
	char *p = out;

	if (!out)
		return NULL;
	for (; *path; path++) {
		if (*path == ',' || *path == '\\')
			*p++ = '\\';
		*p++ = *path;
	}
	*p = '\0';
	return out;
}

static json_t *console_print(const struct config *config)
{
	char *path = escape(config->console_path ? config->console_path : "");
	json_t *text = path ? json_sprintf("%s,to=%s%s", console_names[config->console],
					   to_names[config->console_to], path)
			    : NULL;

	free(path);
	return text;
}

static void console_clear(struct config *config)
{
	free(config->console_path);
	config->console_path = NULL;
	config->console = CONFIG_CONSOLE_VIRTIO;
	config->console_to = CONFIG_TO_TERMINAL;
}

const struct config_list config_list_console = {
	.add = console_add,
	.print = console_print,
	.clear = console_clear,
	.single = true,
	.fields = console_fields,
	.field_count = ARRAY_SIZE(console_fields),
};
