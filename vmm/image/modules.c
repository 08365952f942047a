/*
 * Which module files a kernel needs for a list of names, as depmod(8) wrote it down: modules.dep
 * has a line "PATH: PATH..." for each module with all that it depends on, the first to be loaded
 * last. What is built into the kernel is not there. Called by boundary_machine.c.
 */
#include "vmm/image/modules.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "vmm/log.h"

/* ---- modules.dep ---- */

/* Whether PATH's file is that of module NAME; in names - and _ are the same. */
static bool is_module(const char *path, size_t len, const char *name)
{
	const char *slash = memrchr(path, '/', len);
	size_t name_len = strlen(name);

	if (slash) {
		len -= (size_t)(slash + 1 - path);
		path = slash + 1;
	}
	if (len < name_len + 3 || memcmp(path + name_len, ".ko", 3) != 0)
		return false;
	for (size_t i = 0; i < name_len; i++) {
		if ((path[i] == '-' ? '_' : path[i]) != (name[i] == '-' ? '_' : name[i]))
			return false;
	}
	return len == name_len + 3 || path[name_len + 3] == '.';
}

/* Paths come from a file: they stay below its directory. */
static bool is_safe(const char *path, size_t len)
{
	if (len == 0 || len > PATH_MAX / 2 || path[0] == '/')
		return false;
	return !memmem(path, len, "..", 2) && !memchr(path, '\0', len);
}

static int add_path(const char *path, size_t len, char **paths, unsigned *count)
{
	if (!is_safe(path, len))
		return -EBADMSG;
	for (unsigned i = 0; i < *count; i++) {
		if (strlen(paths[i]) == len && memcmp(paths[i], path, len) == 0)
			return 0;
	}
	if (*count == MODULES_MAX)
		return -E2BIG;
	paths[*count] = strndup(path, len);
	if (!paths[*count])
		return -ENOMEM;
	(*count)++;
	return 0;
}

/* The blank-separated words of LINE from the last to the first, then PATH itself. */
static int add_line(const char *path, size_t path_len, const char *line, size_t len, char **paths,
		    unsigned *count)
{
	int ret = 0;

	while (ret == 0 && len) {
		const char *blank;
		size_t word_len;

		if (line[len - 1] == ' ') {
			len--;
			continue;
		}
		blank = memrchr(line, ' ', len);
		word_len = blank ? (size_t)(line + len - blank - 1) : len;
		ret = add_path(line + len - word_len, word_len, paths, count);
		len -= word_len;
	}
	return ret < 0 ? ret : add_path(path, path_len, paths, count);
}

int modules_resolve(const char *text, size_t len, const char *name, char **paths, unsigned *count)
{
	const char *end = text + len;

	while (text < end) {
		const char *newline = memchr(text, '\n', (size_t)(end - text));
		size_t line_len = (size_t)((newline ? newline : end) - text);
		const char *colon = memchr(text, ':', line_len);

		if (colon && is_module(text, (size_t)(colon - text), name))
			return add_line(text, (size_t)(colon - text), colon + 1,
					(size_t)(text + line_len - colon - 1), paths, count);
		text += line_len + 1;
	}
	return -ENOENT;
}

/* ---- where they are ---- */

bool modules_version(const uint8_t *data, size_t len, char *version, size_t version_len)
{
	size_t at, end;

	/* The header of the boot protocol: its mark, and where the text of the version is. */
	if (len < 0x210 || memcmp(data + 0x202, "HdrS", 4) != 0)
		return false;
	at = (size_t)(data[0x20e] | data[0x20f] << 8) + 0x200;
	for (end = at; end < len && data[end] > ' ' && data[end] < 127 && data[end] != '/';)
		end++;
	if (at == 0x200 || end >= len || end == at || end - at >= version_len)
		return false;
	memcpy(version, data + at, end - at);
	version[end - at] = '\0';
	return version[0] != '.';
}

static bool has_modules(const char *dir)
{
	auto_free char *path = NULL;

	return asprintf(&path, "%s/modules.dep", dir) >= 0 && access(path, R_OK) == 0;
}

/* The only directory in DIR/lib/modules, or that of VERSION. */
static char *find_below(const char *dir, const char *version)
{
	char *found = NULL;
	auto_free char *path = NULL;
	struct dirent *entry;
	DIR *all;

	if (asprintf(&path, "%s/lib/modules", dir) < 0)
		return NULL;
	if (*version) {
		if (asprintf(&found, "%s/%s", path, version) < 0)
			return NULL;
		if (has_modules(found))
			return found;
		free(found);
		return NULL;
	}
	all = opendir(path);
	while (all && (entry = readdir(all))) {
		if (entry->d_name[0] == '.')
			continue;
		if (found || asprintf(&found, "%s/%s", path, entry->d_name) < 0) {
			free(found);
			found = NULL;
			break;
		}
	}
	if (all)
		closedir(all);
	if (found && has_modules(found))
		return found;
	free(found);
	return NULL;
}

/* From the file's head, or from its name: vmlinuz-VERSION. */
static void read_version(const char *kernel, char *version, size_t version_len)
{
	const char *slash = strrchr(kernel, '/');
	const char *name = slash ? slash + 1 : kernel;
	auto_close int fd = open(kernel, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	static uint8_t head[65536];
	ssize_t got = fd < 0 ? 0 : pread(fd, head, sizeof(head), 0);

	*version = '\0';
	if (got > 0 && modules_version(head, (size_t)got, version, version_len))
		return;
	*version = '\0';
	if (strncmp(name, "vmlinuz-", 8) == 0 || strncmp(name, "vmlinux-", 8) == 0)
		snprintf(version, version_len, "%s", name + 8);
}

/* A "config" beside a kernel that says there is nothing to load. */
static bool takes_none(const char *dir)
{
	auto_free char *path = NULL;
	auto_close int fd = -1;
	struct stat st;
	char *text;
	bool none;

	if (asprintf(&path, "%s/config", dir) < 0)
		return false;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size == 0)
		return false;
	text = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (text == MAP_FAILED)
		return false;
	none = memmem(text, (size_t)st.st_size, "\n# CONFIG_MODULES is not set\n", 29) != NULL;
	munmap(text, (size_t)st.st_size);
	return none;
}

/* KERNEL lies in DIR. */
static char *find_near(const char *kernel, const char *dir)
{
	char above[PATH_MAX];
	char version[128];
	char *found;

	read_version(kernel, version, sizeof(version));
	found = find_below(dir, version);
	if (!found && (size_t)snprintf(above, sizeof(above), "%s/..", dir) < sizeof(above))
		found = find_below(above, version);
	if (!found && *version)
		found = find_below("", version);
	return found;
}

char *modules_find_dir(const char *kernel)
{
	const char *slash = strrchr(kernel, '/');
	size_t len = slash ? (size_t)(slash - kernel) : 1;
	char dir[PATH_MAX];

	if (len >= sizeof(dir))
		return NULL;
	memcpy(dir, slash ? kernel : ".", len);
	dir[len] = '\0';
	return takes_none(dir) ? NULL : find_near(kernel, dir);
}

/* ---- loading ---- */

/* All of DIR/NAME, for munmap(2). Unlogged. */
static int map_file(const char *dir, const char *name, uint8_t **data, size_t *len)
{
	auto_free char *path = NULL;
	auto_close int fd = -1;
	struct stat st;
	void *map;

	if (asprintf(&path, "%s/%s", dir, name) < 0)
		return -ENOMEM;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode) || st.st_size <= 0)
		return -EBADMSG;
	map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (map == MAP_FAILED)
		return -errno;
	*data = map;
	*len = (size_t)st.st_size;
	return 0;
}

/* virtio_blk for kernel/drivers/block/virtio_blk.ko.xz */
static char *name_of(const char *path)
{
	const char *slash = strrchr(path, '/');
	const char *name = slash ? slash + 1 : path;

	return strndup(name, strcspn(name, "."));
}

static int load_one(const char *dir, const char *path, struct module_file *file)
{
	uint8_t *data = NULL;
	size_t len = 0;
	int ret = map_file(dir, path, &data, &len);

	if (ret < 0)
		return log_errno(ret, "read the module %s/%s", dir, path);
	ret = modules_unpack(data, len, &file->data, &file->len);
	munmap(data, len);
	if (ret < 0) {
		file->data = NULL;
		return log_errno(ret, "unpack the module %s/%s", dir, path);
	}
	file->name = name_of(path);
	return file->name ? 0 : log_errno(ENOMEM, "load modules");
}

static int resolve_all(const char *dir, const char *const names[], char **paths, unsigned *count)
{
	uint8_t *text = NULL;
	size_t len = 0;
	int ret = map_file(dir, "modules.dep", &text, &len);

	if (ret < 0)
		return log_errno(ret, "read %s/modules.dep", dir);
	for (; *names; names++) {
		ret = modules_resolve((const char *)text, len, *names, paths, count);
		if (ret < 0 && ret != -ENOENT)
			break;
		ret = 0;
	}
	munmap(text, len);
	return ret < 0 ? log_errno(ret, "find %s in %s/modules.dep", *names, dir) : 0;
}

int modules_load(const char *dir, const char *const names[], struct module_list *list)
{
	char *paths[MODULES_MAX];
	unsigned count = 0;
	int ret;

	list->count = 0;
	ret = resolve_all(dir, names, paths, &count);
	for (unsigned i = 0; ret == 0 && i < count; i++) {
		list->files[i] = (struct module_file){ 0 };
		list->count = i + 1;
		ret = load_one(dir, paths[i], &list->files[i]);
	}
	while (count)
		free(paths[--count]);
	return ret;
}

void modules_free(struct module_list *list)
{
	while (list->count) {
		struct module_file *file = &list->files[--list->count];

		free(file->name);
		if (file->data)
			munmap(file->data, file->len);
	}
}
