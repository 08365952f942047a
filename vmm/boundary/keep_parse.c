/*
 * What may stand in a record: see keep_parse.h. Any thread.
 */
#include "vmm/boundary/keep_parse.h"

#include <sys/stat.h>

struct rule {
	bool name;
	uint32_t payload_max; /* 0: there is none; else at least one byte, but of an attribute */
	uint8_t flags;
};

static const struct rule rules[] = {
	[KEEP_BEGIN] = { 0 },
	[KEEP_DIR] = { .name = true, .flags = KEEP_OPAQUE },
	[KEEP_UP] = { 0 },
	[KEEP_FILE] = { .name = true },
	[KEEP_DATA] = { .payload_max = KEEP_PAYLOAD_MAX },
	[KEEP_SYMLINK] = { .name = true, .payload_max = KEEP_PATH_MAX },
	[KEEP_LINK] = { .name = true, .payload_max = KEEP_PATH_MAX },
	[KEEP_NODE] = { .name = true },
	[KEEP_WHITEOUT] = { .name = true },
	[KEEP_END] = { 0 },
	[KEEP_FAILED] = { .payload_max = KEEP_TEXT_MAX },
	[KEEP_ATTRIBUTE] = { .name = true, .payload_max = KEEP_VALUE_MAX, .flags = KEEP_OF_DIR },
};

static bool mode_is_good(const struct keep_record *record)
{
	uint32_t type = record->mode & S_IFMT;

	if (record->mode & ~(uint32_t)(S_IFMT | 07777))
		return false;
	if (record->type != KEEP_NODE)
		return type == 0;
	return type == S_IFIFO || type == S_IFSOCK || type == S_IFCHR || type == S_IFBLK;
}

const char *keep_parse(struct keep_record *record, const uint8_t header[KEEP_HEADER_LEN])
{
	const struct rule *rule;

	*record = (struct keep_record){
		.type = header[0],
		.flags = header[1],
		.name_len = relay_get16(header + 2),
		.mode = relay_get32(header + 4),
		.uid = relay_get32(header + 8),
		.gid = relay_get32(header + 12),
		.mtime_sec = (int64_t)keep_get64(header + 16),
		.mtime_nsec = relay_get32(header + 24),
		.payload_len = relay_get32(header + 28),
		.size = keep_get64(header + 32),
	};
	if (record->type < KEEP_BEGIN || record->type > KEEP_ATTRIBUTE)
		return "a record of no known type";
	rule = &rules[record->type];
	if (record->flags & ~(unsigned)rule->flags)
		return "a record with unknown flags";
	if (rule->name != (record->name_len > 0) || record->name_len > KEEP_NAME_MAX)
		return "a name that is missing or too long";
	if ((rule->payload_max && !record->payload_len && record->type != KEEP_ATTRIBUTE) ||
	    record->payload_len > rule->payload_max)
		return "a payload that is missing or too long";
	if (!mode_is_good(record) || record->mtime_nsec > 999999999)
		return "attributes that no file has";
	if (record->size > (uint64_t)INT64_MAX - KEEP_PAYLOAD_MAX)
		return "a size that no file has";
	if (record->type == KEEP_BEGIN && record->size != KEEP_MAGIC)
		return "another protocol";
	return NULL;
}

bool keep_is_name(const char *name, size_t len)
{
	if (len == 0 || len > KEEP_NAME_MAX || memchr(name, '/', len) || memchr(name, '\0', len))
		return false;
	return name[0] != '.' || (len > 1 && (name[1] != '.' || len > 2));
}

bool keep_is_path(const char *path, size_t len)
{
	const char *end = path + len;

	if (len == 0 || len > KEEP_PATH_MAX)
		return false;
	for (;;) {
		const char *slash = memchr(path, '/', (size_t)(end - path));

		if (!keep_is_name(path, (size_t)((slash ? slash : end) - path)))
			return false;
		if (!slash)
			return true;
		path = slash + 1;
	}
}
