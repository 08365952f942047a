/*
 * Command lines: words divided by newlines. What is taken must be printed and read back the same.
 */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/quiet_log.h"
#include "vmm/config.h"
#include "vmm/config_options.h"

#define WORDS_MAX 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static char *dump(const struct config *config)
{
	json_t *json = config_to_json(config);
	char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;

	json_decref(json);
	return text;
}

static void check_read_back(const struct config *config)
{
	char *first = dump(config);
	struct config_reader reader = { 0 };
	struct config again;
	char *second;

	if (!first) /* a path that is not UTF-8 */
		return;
	config_init(&again);
	reader.config = &again;
	if (config_json_parse(&reader, "fuzz", first, strlen(first)) < 0)
		abort();
	second = dump(&again);
	assert(second && strcmp(first, second) == 0);
	config_fini(&again);
	free(first);
	free(second);
}

/* Files of this machine are not the subject, nor is the help's text. */
static bool is_tame(const char *word)
{
	return strncmp(word, "--config", 8) != 0 && strcmp(word, "--help") != 0 &&
	       strcmp(word, "-h") != 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	char *text = strndup((const char *)data, len);
	char *argv[WORDS_MAX];
	char *rest = text;
	struct config config;
	bool tame = true;
	int argc = 0;

	log_set_level((enum log_level) - 1);
	while (rest && argc < WORDS_MAX) {
		argv[argc] = strsep(&rest, "\n");
		tame &= is_tame(argv[argc++]);
	}
	config_init(&config);
	if (tame && config_parse(&config, argc, argv) == 0)
		check_read_back(&config);
	config_fini(&config);
	free(text);
	return 0;
}
