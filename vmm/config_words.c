/*
 * Lists of texts: --env, and the command with its arguments. Called by the option and file parsers
 * on the main thread.
 */
#include <string.h>

#include "vmm/config.h"
#include "vmm/config_devices.h"

/* Appends a copy of TEXT to the NULL-terminated *WORDS. */
static int words_add(char ***words, unsigned *count, const char *text, struct config_error *err)
{
	char **grown;

	if (*count == CONFIG_WORDS_MAX)
		return config_error_set(err, "is one too many: at most %d", CONFIG_WORDS_MAX);
	/* Room for the new one and the end; grown in steps, since commands can be long. */
	if (*count % 16 == 0) {
		grown = realloc(*words, (*count + 17) * sizeof(**words));
		if (!grown)
			return config_error_set(err, "out of memory");
		*words = grown;
		grown[*count] = NULL;
	}
	(*words)[*count] = strdup(text);
	if (!(*words)[*count])
		return config_error_set(err, "out of memory");
	(*words)[++*count] = NULL;
	return 0;
}

static json_t *words_print(char *const *words, unsigned count)
{
	json_t *array = json_array();

	for (unsigned i = 0; array && i < count; i++) {
		if (json_array_append_new(array, json_string(words[i])) < 0) {
			json_decref(array);
			return NULL;
		}
	}
	return array;
}

static void words_clear(char ***words, unsigned *count)
{
	while (*count)
		free((*words)[--*count]);
	free(*words);
	*words = NULL;
}

/* ---- --env ---- */

static int env_add(struct config *config, const char *text, struct config_error *err)
{
	size_t name_len = strcspn(text, "=");

	if (name_len == 0)
		return config_error_set(err, "has no name: write NAME=VALUE, or NAME");
	for (unsigned i = 0; i < config->env_count; i++) {
		char *copy;

		if (strcspn(config->env[i], "=") != name_len ||
		    memcmp(config->env[i], text, name_len) != 0)
			continue;
		copy = strdup(text);
		if (!copy)
			return config_error_set(err, "out of memory");
		free(config->env[i]);
		config->env[i] = copy;
		return 0;
	}
	return words_add(&config->env, &config->env_count, text, err);
}

static json_t *env_print(const struct config *config)
{
	return words_print(config->env, config->env_count);
}

static void env_clear(struct config *config)
{
	words_clear(&config->env, &config->env_count);
}

const struct config_list config_list_env = {
	.add = env_add,
	.print = env_print,
	.clear = env_clear,
};

/* ---- the command ---- */

static int command_add(struct config *config, const char *text, struct config_error *err)
{
	if (config->command_count == 0 && *text == '\0')
		return config_error_set(err, "is empty: name a program");
	return words_add(&config->command, &config->command_count, text, err);
}

static json_t *command_print(const struct config *config)
{
	return words_print(config->command, config->command_count);
}

static void command_clear(struct config *config)
{
	words_clear(&config->command, &config->command_count);
}

const struct config_list config_list_command = {
	.add = command_add,
	.print = command_print,
	.clear = command_clear,
};
