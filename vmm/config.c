/*
 * Life of a configuration: defaults and freeing. Main thread.
 */
#include "vmm/config.h"

#include <string.h>

#include "vmm/config_options.h"

#define MEMORY_DEFAULT (UINT64_C(512) << 20)

void config_init(struct config *config)
{
	*config = (struct config){ .cpus = 1, .memory_len = MEMORY_DEFAULT };
}

void config_fini(struct config *config)
{
	for (size_t i = 0; i < config_option_count; i++) {
		if (config_options[i].type == CONFIG_TYPE_LIST)
			config_options[i].list->clear(config);
	}
	config_command.list->clear(config);
	config_fields_free(config_options, config_option_count, config);
	free(config->cmdline_full);
	free(config->root);
	*config = (struct config){ 0 };
}
