/*
 * Configuration files: a JSON object whose keys are the long options' names. Main thread.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "vmm/config_options.h"
#include "vmm/log.h"

/* Far above any configuration; keeps a wrong path from filling memory. */
#define FILE_LEN_MAX (1u << 20)

/* Where reading is, for messages. */
struct place {
	const char *name;
	const char *text;
	const char *key;
	int index; /* in an array, or -1 */
	const char *subkey;
};

static int fail(const struct place *place, const struct config_error *err)
{
	char index[16] = "";
	unsigned line;
	unsigned column;

	if (place->index >= 0)
		snprintf(index, sizeof(index), "[%d]", place->index);
	config_json_locate(place->text, place->key, place->index, place->subkey, &line, &column);
	log_err("%s:%u:%u: %s%s%s%s: %s", place->name, line, column, place->key, index,
		place->subkey ? "." : "", place->subkey ? place->subkey : "", err->text);
	return -EINVAL;
}

static int read_item(struct config_reader *reader, const struct config_field *option, json_t *item,
		     struct place *place)
{
	struct config_error err = { .text = "" };
	int ret;

	if (json_is_string(item))
		ret = option->list->add(reader->config, json_string_value(item), &err);
	else if (json_is_object(item) && option->list->add_object)
		ret = option->list->add_object(reader->config, item, &place->subkey, &err);
	else
		ret = config_error_set(&err, option->list->add_object
						     ? "must be a text in quotes, or an object"
						     : "must be a text in quotes");
	return ret < 0 ? fail(place, &err) : 0;
}

static int read_list(struct config_reader *reader, const struct config_field *option, json_t *value,
		     struct place *place)
{
	json_t *item;
	size_t i;

	config_option_own(reader, option, reader->file_count);
	if (!json_is_array(value))
		return read_item(reader, option, value, place);
	if (option->list->single) {
		struct config_error err = { .text = "" };

		config_error_set(&err, "must be a text in quotes, not a list");
		return fail(place, &err);
	}
	json_array_foreach(value, i, item)
	{
		int ret;

		place->index = (int)i;
		place->subkey = NULL;
		ret = read_item(reader, option, item, place);
		if (ret < 0)
			return ret;
	}
	return 0;
}

/* "derived" is what --print-config tells beyond the options; it follows from them again. */
static bool is_ignored(const char *key)
{
	return strcmp(key, "derived") == 0;
}

static int read_key(struct config_reader *reader, json_t *value, struct place *place)
{
	const struct config_field *option =
		config_field_find(config_options, config_option_count, place->key);
	struct config_error err = { .text = "" };
	int ret;

	if (is_ignored(place->key))
		return 0;
	if (strcmp(place->key, config_command.name) == 0)
		option = &config_command;
	if (!option)
		config_field_unknown(config_options, config_option_count, "", place->key, &err);
	else if (option->type == CONFIG_TYPE_ACTION)
		config_error_set(&err, "belongs on the command line: leave it out here");
	if (!option || option->type == CONFIG_TYPE_ACTION)
		return fail(place, &err);
	if (json_is_null(value))
		return 0;
	if (option->type == CONFIG_TYPE_LIST)
		return read_list(reader, option, value, place);
	if (json_is_string(value))
		ret = config_option_set(reader, option, json_string_value(value), &err);
	else
		ret = config_field_set_json(option, reader->config, value, &err);
	return ret < 0 ? fail(place, &err) : 0;
}

static int read_object(struct config_reader *reader, const char *name, const char *text,
		       json_t *object)
{
	const char *key;
	json_t *value;

	json_object_foreach(object, key, value)
	{
		struct place place = { .name = name, .text = text, .key = key, .index = -1 };
		int ret = read_key(reader, value, &place);

		if (ret < 0)
			return ret;
	}
	return 0;
}

int config_json_parse(struct config_reader *reader, const char *name, const char *text,
		      size_t text_len)
{
	json_error_t error;
	json_t *root = json_loadb(text, text_len, JSON_REJECT_DUPLICATES, &error);
	int ret;

	if (!root) {
		log_err("%s:%d:%d: %s: mend the JSON", name, error.line, error.column, error.text);
		return -EINVAL;
	}
	if (!json_is_object(root)) {
		log_err("%s:1:1: not an object: write {\"kernel\": \"bzImage\", ...}", name);
		ret = -EINVAL;
	} else {
		reader->file_count++;
		ret = read_object(reader, name, text, root);
	}
	json_decref(root);
	return ret;
}

/* Reads all of FD into BUF of FILE_LEN_MAX + 1 bytes. Length or -errno. */
static ssize_t read_all(int fd, char *buf)
{
	size_t len = 0;

	while (len <= FILE_LEN_MAX) {
		ssize_t got = read(fd, buf + len, FILE_LEN_MAX + 1 - len);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		if (got == 0)
			break;
		len += (size_t)got;
	}
	return (ssize_t)len;
}

static int load_fd(struct config_reader *reader, const char *name, int fd)
{
	char *text = malloc(FILE_LEN_MAX + 2);
	ssize_t len = text ? read_all(fd, text) : -ENOMEM;
	int ret;

	if (len < 0) {
		ret = log_errno((int)len, "--config %s", name);
	} else if (len > (ssize_t)FILE_LEN_MAX) {
		log_err("--config %s: longer than 1 MiB: name a configuration file", name);
		ret = -EINVAL;
	} else {
		text[len] = '\0';
		ret = config_json_parse(reader, name, text, (size_t)len);
	}
	free(text);
	return ret;
}

int config_json_load(struct config_reader *reader, const char *path)
{
	int fd;
	int ret;

	if (strcmp(path, "-") == 0)
		return load_fd(reader, "<stdin>", STDIN_FILENO);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0)
		return log_errno(errno, "--config %s", path);
	ret = load_fd(reader, path, fd);
	close(fd);
	return ret;
}
