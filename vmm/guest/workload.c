/*
 * The strict reader of the workload file: see workload.h. Called by guest-init, and by tests on the
 * host. Only libc; one thread.
 */
#include "vmm/guest/workload.h"

#include <stdlib.h>
#include <string.h>

struct reader {
	struct workload *workload;
	unsigned argc;
	unsigned envc;
	const char *why;
};

static bool fail(struct reader *reader, const char *why)
{
	reader->why = why;
	return false;
}

/* Decimal digits only, up to MAX. */
static bool read_number(const char *text, uint32_t max, uint32_t *out)
{
	uint64_t value = 0;

	if (*text == '\0' || strlen(text) > 10)
		return false;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return false;
		value = value * 10 + (uint64_t)(*text - '0');
	}
	if (value > max)
		return false;
	*out = (uint32_t)value;
	return true;
}

/* Absolute, and no part of it leads back up. */
static bool is_path(const char *text)
{
	if (*text != '/')
		return false;
	for (const char *p = text; (p = strstr(p, "/..")); p += 3) {
		if (p[3] == '/' || p[3] == '\0')
			return false;
	}
	return true;
}

static bool is_name(const char *text)
{
	return *text && strlen(text) < 64 && !strchr(text, '/') && strcmp(text, ".") != 0 &&
	       strcmp(text, "..") != 0;
}

/* Appends to an array that keeps a NULL behind its end. */
static bool add_word(struct reader *reader, char ***words, unsigned *count, char *text)
{
	char **grown;

	if (*count == WORKLOAD_WORDS_MAX)
		return fail(reader, "too many words");
	if (*count % 64 == 0) {
		grown = realloc(*words, (*count + 65) * sizeof(**words));
		if (!grown)
			return fail(reader, "out of memory");
		*words = grown;
	}
	(*words)[(*count)++] = text;
	(*words)[*count] = NULL;
	return true;
}

static bool set_once(struct reader *reader, char **member, char *text, bool good)
{
	if (*member || !good)
		return fail(reader, "a text is wrong or given twice");
	*member = text;
	return true;
}

static bool read_arg(struct reader *reader, char *value)
{
	return add_word(reader, &reader->workload->argv, &reader->argc, value);
}

static bool read_env(struct reader *reader, char *value)
{
	if (*value == '=' || !strchr(value, '='))
		return fail(reader, "a variable has no name or no value");
	return add_word(reader, &reader->workload->envp, &reader->envc, value);
}

static bool read_cwd(struct reader *reader, char *value)
{
	return set_once(reader, &reader->workload->cwd, value, *value == '/');
}

static bool read_uid(struct reader *reader, char *value)
{
	return read_number(value, UINT32_MAX - 1, &reader->workload->uid) ||
	       fail(reader, "uid is no number");
}

static bool read_gid(struct reader *reader, char *value)
{
	return read_number(value, UINT32_MAX - 1, &reader->workload->gid) ||
	       fail(reader, "gid is no number");
}

static bool read_group(struct reader *reader, char *value)
{
	struct workload *workload = reader->workload;

	if (workload->group_count == WORKLOAD_GROUPS_MAX ||
	    !read_number(value, UINT32_MAX - 1, &workload->groups[workload->group_count]))
		return fail(reader, "group is no number, or one too many");
	workload->group_count++;
	return true;
}

/* COLUMNS ROWS */
static bool read_terminal(struct reader *reader, char *value)
{
	struct workload *workload = reader->workload;
	char *blank = strchr(value, ' ');
	uint32_t columns, rows;

	if (!blank || workload->terminal)
		return fail(reader, "terminal has no size, or is given twice");
	*blank = '\0';
	if (!read_number(value, UINT16_MAX, &columns) || !read_number(blank + 1, UINT16_MAX, &rows))
		return fail(reader, "terminal has no size");
	workload->terminal = true;
	workload->columns = (uint16_t)columns;
	workload->rows = (uint16_t)rows;
	return true;
}

static bool read_module(struct reader *reader, char *value)
{
	struct workload *workload = reader->workload;

	if (workload->module_count == WORKLOAD_MODULES_MAX || !is_path(value))
		return fail(reader, "module is no path, or one too many");
	workload->modules[workload->module_count++] = value;
	return true;
}

static bool read_root(struct reader *reader, char *value)
{
	return set_once(reader, &reader->workload->root, value, is_name(value));
}

static bool read_hostname(struct reader *reader, char *value)
{
	return set_once(reader, &reader->workload->hostname, value, *value && strlen(value) <= 64);
}

/* Cuts the word before the next blank off *REST. */
static char *cut_word(char **rest)
{
	char *word = *rest;
	char *blank = strchr(word, ' ');

	if (blank)
		*blank = '\0';
	*rest = blank ? blank + 1 : word + strlen(word);
	return word;
}

/* DEVICE TYPE ro|rw TARGET, whose last word may hold blanks. */
static bool read_volume(struct reader *reader, char *value)
{
	struct workload *workload = reader->workload;
	struct workload_volume *volume = &workload->volumes[workload->volume_count];
	const char *how;

	if (workload->volume_count == WORKLOAD_VOLUMES_MAX)
		return fail(reader, "a volume too many");
	volume->device = cut_word(&value);
	volume->type = cut_word(&value);
	how = cut_word(&value);
	volume->target = value;
	volume->read_only = strcmp(how, "ro") == 0;
	if (!is_name(volume->device) || !is_name(volume->type) ||
	    (!volume->read_only && strcmp(how, "rw") != 0) || !is_path(volume->target))
		return fail(reader, "a volume's words are wrong");
	workload->volume_count++;
	return true;
}

/* Nothing, or DEVICE */
static bool read_keep(struct reader *reader, char *value)
{
	struct workload *workload = reader->workload;

	if (workload->keep || (*value && !is_name(value)))
		return fail(reader, "what was kept has no disk, or is named twice");
	workload->keep = true;
	if (*value)
		workload->keep_device = value;
	return true;
}

/* Nothing, "dhcp", or ADDRESS/LENGTH [GATEWAY] */
static bool read_net(struct reader *reader, char *value)
{
	struct workload *workload = reader->workload;
	struct workload_net *net = &workload->nets[workload->net_count];

	if (workload->net_count == WORKLOAD_NETS_MAX)
		return fail(reader, "a network too many");
	workload->net_count++;
	if (*value)
		net->ip = cut_word(&value);
	if (*value)
		net->gateway = cut_word(&value);
	return *value == '\0' || fail(reader, "a network has a word too many");
}

static const struct {
	const char *name;
	bool (*read)(struct reader *reader, char *value);
} keys[] = {
	{ "arg", read_arg },	   { "env", read_env },		  { "cwd", read_cwd },
	{ "uid", read_uid },	   { "gid", read_gid },		  { "group", read_group },
	{ "module", read_module }, { "root", read_root },	  { "volume", read_volume },
	{ "net", read_net },	   { "terminal", read_terminal }, { "hostname", read_hostname },
	{ "keep", read_keep },
};

static bool read_record(struct reader *reader, char *record)
{
	char *equals = strchr(record, '=');

	if (!equals)
		return fail(reader, "a record has no value");
	*equals = '\0';
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		if (strcmp(record, keys[i].name) == 0)
			return keys[i].read(reader, equals + 1);
	}
	return fail(reader, "a key is not known");
}

static bool read_all(struct reader *reader, char *text, size_t len)
{
	char *end = text + len;
	bool first = true;

	if (len == 0 || len > WORKLOAD_LEN_MAX || end[-1] != '\0')
		return fail(reader, "cut short, or too long");
	for (char *record = text; record < end; first = false) {
		char *next = record + strlen(record) + 1;

		if (first && strcmp(record, WORKLOAD_MAGIC) != 0)
			return fail(reader, "of another version");
		if (strcmp(record, "end") == 0)
			return next == end || fail(reader, "something follows the end");
		if (!first && !read_record(reader, record))
			return false;
		record = next;
	}
	return fail(reader, "without an end");
}

bool workload_parse(struct workload *workload, char *text, size_t len, const char **why)
{
	struct reader reader = { .workload = workload };
	bool good;

	memset(workload, 0, sizeof(*workload));
	good = read_all(&reader, text, len);
	if (good && (reader.argc == 0 || !workload->root || !workload->cwd))
		good = fail(&reader, "without a command, a root or a directory");
	if (good && !workload->envp) {
		workload->envp = calloc(1, sizeof(*workload->envp));
		good = workload->envp || fail(&reader, "out of memory");
	}
	if (!good) {
		*why = reader.why;
		workload_fini(workload);
	}
	return good;
}

void workload_fini(struct workload *workload)
{
	free(workload->argv);
	free(workload->envp);
	memset(workload, 0, sizeof(*workload));
}
