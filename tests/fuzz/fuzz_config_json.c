/*
 * Configuration files. What is taken must be printed and read back the same.
 */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/quiet_log.h"
#include "vmm/config.h"
#include "vmm/config_options.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static int read_text(struct config *config, const char *text, size_t len)
{
	struct config_reader reader = { .config = config };

	config_init(config);
	return config_json_parse(&reader, "fuzz", text, len);
}

static char *dump(const struct config *config)
{
	json_t *json = config_to_json(config);
	char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;

	json_decref(json);
	return text;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	char *text = malloc(len + 1);
	struct config config;
	struct config again;
	char *first;
	char *second;

	log_set_level((enum log_level) - 1);
	memcpy(text, data, len);
	text[len] = '\0';
	if (read_text(&config, text, len) == 0) {
		first = dump(&config);
		assert(first);
		if (read_text(&again, first, strlen(first)) < 0)
			abort();
		second = dump(&again);
		assert(second && strcmp(first, second) == 0);
		config_fini(&again);
		free(first);
		free(second);
	}
	config_fini(&config);
	free(text);
	return 0;
}
