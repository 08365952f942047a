/*
 * --volume: what of the host a command sees beside its root. Called by the option and file parsers
 * on the main thread.
 */
#include <stdio.h>
#include <string.h>

#include "vmm/config.h"
#include "vmm/config_devices.h"

#define FIELD(member) offsetof(struct config_volume, member)

static const struct config_field volume_fields[] = {
	{ .name = "source",
	  .type = CONFIG_TYPE_FILE,
	  .offset = FIELD(source),
	  .arg = "PATH",
	  .help = "a directory, or an ext4 or erofs image, of the host" },
	{ .name = "target",
	  .type = CONFIG_TYPE_FILE,
	  .offset = FIELD(target),
	  .arg = "DIR",
	  .help = "where the command sees it" },
	{ .name = "ro",
	  .type = CONFIG_TYPE_FLAG,
	  .offset = FIELD(read_only),
	  .help = "it cannot be written there" },
};

static void volume_fini(struct config_volume *volume)
{
	config_fields_free(volume_fields, ARRAY_SIZE(volume_fields), volume);
}

/* What each boundary puts something of its own over. */
static bool is_system(const char *path)
{
	size_t len = strcspn(path + 1, "/") + 1;

	return (len == 4 && (strncmp(path, "/dev", 4) == 0 || strncmp(path, "/sys", 4) == 0)) ||
	       (len == 5 && strncmp(path, "/proc", 5) == 0);
}

/* Cuts doubled, leading-but-one and trailing slashes and "." out of PATH. False for "..", for what
 * does not begin with a slash, and for the root itself. */
static bool clean_target(char *path)
{
	char *out = path;
	char *in = path;

	if (*in != '/')
		return false;
	while (*in) {
		size_t len;

		in += strspn(in, "/");
		len = strcspn(in, "/");
		if (len == 2 && in[0] == '.' && in[1] == '.')
			return false;
		if (len && !(len == 1 && in[0] == '.')) {
			*out++ = '/';
			memmove(out, in, len);
			out += len;
		}
		in += len;
	}
	*out = '\0';
	return out != path && !is_system(path);
}

/* Takes over what VOLUME points at, also on failure. */
static int volume_append(struct config *config, struct config_volume *volume,
			 struct config_error *err)
{
	int ret = 0;

	if (!volume->source || !volume->target) {
		volume_fini(volume);
		return config_error_set(
			err, "names not both ends: write SOURCE:TARGET, or SOURCE:TARGET:ro");
	}
	if (!clean_target(volume->target))
		ret = config_error_set(
			err,
			"the second path is none below /, or is in /proc, /sys or /dev: write it "
			"like /srv/data");
	else if (config->volume_count == CONFIG_VOLUMES_MAX)
		ret = config_error_set(err, "is one too many: at most %d volumes",
				       CONFIG_VOLUMES_MAX);
	for (unsigned i = 0; ret == 0 && i < config->volume_count; i++) {
		if (strcmp(config->volumes[i].target, volume->target) == 0)
			ret = config_error_set(err, "%.100s is used twice: choose another",
					       volume->target);
	}
	if (ret == 0)
		config->volumes[config->volume_count++] = *volume;
	else
		volume_fini(volume);
	return ret;
}

static int set(const char *name, struct config_volume *volume, const char *text,
	       struct config_error *err)
{
	return config_field_set(config_field_find(volume_fields, ARRAY_SIZE(volume_fields), name),
				volume, text, err);
}

/* SOURCE:TARGET[:ro|:rw]; a path with a colon in it is written in a file of configuration. */
static int volume_parse(struct config *config, char *text, struct config_error *err)
{
	struct config_volume volume = { 0 };
	char *target, *how;
	int ret;

	target = strchr(text, ':');
	if (target)
		*target++ = '\0';
	how = target ? strchr(target, ':') : NULL;
	if (how)
		*how++ = '\0';
	if (how && strcmp(how, "ro") != 0 && strcmp(how, "rw") != 0)
		return config_error_set(err, "\":%.40s\" is not known: write :ro or leave it out",
					how);
	volume.read_only = how && strcmp(how, "ro") == 0;
	ret = set("source", &volume, text, err);
	if (ret == 0 && target)
		ret = set("target", &volume, target, err);
	if (ret < 0) {
		volume_fini(&volume);
		return ret;
	}
	return volume_append(config, &volume, err);
}

static int volume_add(struct config *config, const char *text, struct config_error *err)
{
	char *copy = strdup(text);
	int ret;

	if (!copy)
		return config_error_set(err, "out of memory");
	ret = volume_parse(config, copy, err);
	free(copy);
	return ret;
}

static int volume_add_object(struct config *config, json_t *object, const char **bad_key,
			     struct config_error *err)
{
	struct config_volume volume = { 0 };
	int ret = config_fields_parse_object(volume_fields, ARRAY_SIZE(volume_fields), &volume,
					     object, bad_key, err);

	if (ret < 0) {
		volume_fini(&volume);
		return ret;
	}
	return volume_append(config, &volume, err);
}

static json_t *volume_print(const struct config *config)
{
	json_t *array = json_array();

	for (unsigned i = 0; array && i < config->volume_count; i++) {
		if (json_array_append_new(array, config_fields_print_object(
							 volume_fields, ARRAY_SIZE(volume_fields),
							 &config->volumes[i])) < 0) {
			json_decref(array);
			return NULL;
		}
	}
	return array;
}

static void volume_clear(struct config *config)
{
	while (config->volume_count)
		volume_fini(&config->volumes[--config->volume_count]);
}

const struct config_list config_list_volume = {
	.add = volume_add,
	.add_object = volume_add_object,
	.print = volume_print,
	.clear = volume_clear,
	.fields = volume_fields,
	.field_count = ARRAY_SIZE(volume_fields),
};
