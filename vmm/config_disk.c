/*
 * --disk: PATH and what follows it. Called by the option and file parsers on the main thread.
 */
#include <string.h>

#include "vmm/config.h"
#include "vmm/config_devices.h"

#define FIELD(member) offsetof(struct config_disk, member)

static const struct config_field disk_fields[] = {
	{ .name = "path",
	  .type = CONFIG_TYPE_FILE,
	  .offset = FIELD(path),
	  .arg = "PATH",
	  .help = "raw image or block device; as path=PATH at the end it may hold commas" },
	{ .name = "ro",
	  .type = CONFIG_TYPE_FLAG,
	  .offset = FIELD(read_only),
	  .help = "the guest cannot write; any number of machines may share it" },
	{ .name = "direct",
	  .type = CONFIG_TYPE_FLAG,
	  .offset = FIELD(direct),
	  .help = "past the host's page cache (O_DIRECT)" },
	{ .name = "overlay",
	  .type = CONFIG_TYPE_FLAG,
	  .offset = FIELD(overlay),
	  .help = "writes are thrown away at exit, the image is never touched" },
	{ .name = "id",
	  .type = CONFIG_TYPE_TEXT,
	  .offset = FIELD(id),
	  .arg = "TEXT",
	  .help = "serial number, at most 20 letters: /dev/disk/by-id/virtio-TEXT" },
	{ .name = "queues",
	  .type = CONFIG_TYPE_UINT,
	  .offset = FIELD(queues),
	  .min = 1,
	  .max = CONFIG_QUEUES_MAX,
	  .arg = "N",
	  .help = "request queues (1)" },
	{ .name = "iops",
	  .type = CONFIG_TYPE_UINT64,
	  .offset = FIELD(limit.ops_per_s),
	  .min = 1,
	  .max = UINT32_MAX,
	  .arg = "N",
	  .help = "at most N requests a second" },
	{ .name = "bw",
	  .type = CONFIG_TYPE_RATE,
	  .offset = FIELD(limit.bytes_per_s),
	  .arg = "SIZE",
	  .help = "at most SIZE a second, like 100M" },
	{ .name = "burst",
	  .type = CONFIG_TYPE_DURATION,
	  .offset = FIELD(limit.burst_ms),
	  .arg = "TIME",
	  .help = "what an idle disk saves up: TIME at full rate (10ms)" },
	{ .name = "group",
	  .type = CONFIG_TYPE_TEXT,
	  .offset = FIELD(limit.group),
	  .arg = "NAME",
	  .help = "disks with the same NAME share one limit" },
};

static void disk_fini(struct config_disk *disk)
{
	config_fields_free(disk_fields, ARRAY_SIZE(disk_fields), disk);
}

static int check_id(const struct config *config, const char *id, struct config_error *err)
{
	if (strlen(id) > CONFIG_DISK_ID_MAX)
		return config_error_set(err, "id \"%.40s\" is too long: use at most %d letters", id,
					CONFIG_DISK_ID_MAX);
	for (const char *p = id; *p; p++) {
		if (*p < '!' || *p > '~')
			return config_error_set(
				err,
				"id \"%.40s\" holds a blank or no ASCII: use letters and digits",
				id);
	}
	for (unsigned i = 0; i < config->disk_count; i++) {
		const char *other = config->disks[i].id;

		if (other && strcmp(other, id) == 0)
			return config_error_set(err, "id \"%s\" is used twice: choose another", id);
	}
	return 0;
}

static int check_disk(const struct config *config, const struct config_disk *disk,
		      struct config_error *err)
{
	const struct config_limit *limit = &disk->limit;

	if (!disk->path)
		return config_error_set(err, "names no file: write --disk PATH");
	if (disk->overlay && disk->read_only)
		return config_error_set(err, "ro and overlay exclude each other: leave one out");
	if (limit->burst_ms && !limit->bytes_per_s && !limit->ops_per_s)
		return config_error_set(err, "burst= needs a limit: add iops= or bw=");
	if (limit->group && !limit->bytes_per_s && !limit->ops_per_s)
		return config_error_set(err, "group= needs a limit: add iops= or bw=");
	return disk->id ? check_id(config, disk->id, err) : 0;
}

/* Takes over what DISK points at, also on failure. */
static int disk_append(struct config *config, struct config_disk *disk, struct config_error *err)
{
	int ret = check_disk(config, disk, err);

	if (ret == 0 && config->disk_count == CONFIG_DISKS_MAX)
		ret = config_error_set(err, "is one too many: a machine has at most %d disks",
				       CONFIG_DISKS_MAX);
	if (ret < 0) {
		disk_fini(disk);
		return ret;
	}
	config->disks[config->disk_count++] = *disk;
	return 0;
}

static int disk_add(struct config *config, const char *text, struct config_error *err)
{
	struct config_disk disk = { .queues = 1 };
	auto_free char *copy = strdup(text);
	int ret;

	if (!copy)
		return config_error_set(err, "out of memory");
	ret = config_fields_parse_spec(disk_fields, ARRAY_SIZE(disk_fields), &disk_fields[0], &disk,
				       copy, err);
	if (ret < 0) {
		disk_fini(&disk);
		return ret;
	}
	return disk_append(config, &disk, err);
}

static int disk_add_object(struct config *config, json_t *object, const char **bad_key,
			   struct config_error *err)
{
	struct config_disk disk = { .queues = 1 };
	int ret = config_fields_parse_object(disk_fields, ARRAY_SIZE(disk_fields), &disk, object,
					     bad_key, err);

	if (ret < 0) {
		disk_fini(&disk);
		return ret;
	}
	return disk_append(config, &disk, err);
}

static json_t *disk_print(const struct config *config)
{
	json_t *array = json_array();

	for (unsigned i = 0; array && i < config->disk_count; i++) {
		if (json_array_append_new(
			    array, config_fields_print_object(disk_fields, ARRAY_SIZE(disk_fields),
							      &config->disks[i])) < 0) {
			json_decref(array);
			return NULL;
		}
	}
	return array;
}

static void disk_clear(struct config *config)
{
	while (config->disk_count)
		disk_fini(&config->disks[--config->disk_count]);
}

const struct config_list config_list_disk = {
	.add = disk_add,
	.add_object = disk_add_object,
	.print = disk_print,
	.clear = disk_clear,
	.fields = disk_fields,
	.field_count = ARRAY_SIZE(disk_fields),
};
