/*
 * --print-config: the effective configuration as JSON on stdout. Main thread.
 */
#include <stdio.h>
#include <string.h>

#include "vmm/config_options.h"
#include "vmm/log.h"

static const char *console_tty(const struct config *config)
{
	return config->console == CONFIG_CONSOLE_VIRTIO ? "hvc0" : "ttyS0";
}

/* What follows from the options; read back it is passed over and follows again. */
static json_t *print_derived(const struct config *config)
{
	return json_pack("{s:s?, s:s, s:s?}", "root", config->root, "console", console_tty(config),
			 "cmdline", config->cmdline_full);
}

/* What a machine has by itself is a limit for the others, read back. */
static bool is_no_limit(const struct config *config, const struct config_field *option)
{
	if (config->as != CONFIG_AS_CONTAINER && config->as != CONFIG_AS_HOST)
		return false;
	return (option->offset == offsetof(struct config, memory_len) && !config->memory_given) ||
	       (option->offset == offsetof(struct config, cpus) && !config->cpus_given);
}

json_t *config_to_json(const struct config *config)
{
	json_t *object = json_object();

	for (size_t i = 0; object && i < config_option_count; i++) {
		const struct config_field *option = &config_options[i];
		json_t *value;

		if (option->type == CONFIG_TYPE_ACTION || is_no_limit(config, option))
			continue;
		if (option->type == CONFIG_TYPE_LIST)
			value = option->list->print(config);
		else
			value = config_field_print(option, config);
		if (json_object_set_new(object, option->name, value) < 0)
			goto no_memory;
	}
	if (object && config->command_count &&
	    json_object_set_new(object, config_command.name, config_command.list->print(config)) <
		    0)
		goto no_memory;
	if (object && json_object_set_new(object, "derived", print_derived(config)) < 0)
		goto no_memory;
	return object;
no_memory:
	json_decref(object);
	return NULL;
}

int config_print(const struct config *config)
{
	json_t *object = config_to_json(config);
	int ret = 0;

	if (!object) {
		log_err("--print-config: a text that is not UTF-8 cannot be printed: rename it");
		return -EINVAL;
	}
	if (json_dumpf(object, stdout, JSON_INDENT(2)) < 0 || putchar('\n') == EOF ||
	    fflush(stdout) != 0)
		ret = log_errno(errno ? errno : EIO, "print the configuration to standard output");
	json_decref(object);
	return ret;
}
