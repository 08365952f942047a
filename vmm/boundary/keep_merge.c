/*
 * Layers onto each other, and trees removed. See keep_merge.h.
 */
#include "vmm/boundary/keep_merge.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "vmm/boundary/keep_collect.h"
#include "vmm/guest/keep.h"
#include "vmm/log.h"

struct merge {
	int trash_fd;
	const char *name;
	bool as_root;
	bool only_look; /* whether it can be done */
	uint64_t trash_count;
	char names[KEEP_VALUE_MAX]; /* of attributes */
	uint8_t value[KEEP_VALUE_MAX];
};

static int open_dir(int parent_fd, const char *name)
{
	return openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

/* A stream of DIR_FD's entries from the first one; the caller's descriptor stays. */
static DIR *list_dir(int dir_fd)
{
	int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;

	if (!dir && fd >= 0)
		close(fd);
	return dir;
}

/* Without the directory itself and its parent. NULL at the end, with errno 0, or on an error. */
static const char *next_name(DIR *dir)
{
	const struct dirent *entry;

	do {
		errno = 0;
		entry = readdir(dir);
	} while (entry && (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0));
	return entry ? entry->d_name : NULL;
}

bool keep_is_empty(int dir_fd)
{
	DIR *dir = list_dir(dir_fd);
	bool empty = dir && !next_name(dir);

	if (dir)
		closedir(dir);
	return empty;
}

/* ---- removal ---- */

static int remove_all(int dir_fd)
{
	DIR *dir = list_dir(dir_fd);
	const char *name;
	int ret = 0;

	if (!dir)
		return -errno;
	while (ret == 0 && (name = next_name(dir)))
		ret = keep_remove(dir_fd, name);
	closedir(dir);
	return ret;
}

int keep_remove(int dir_fd, const char *name)
{
	auto_close int fd = -1;
	int ret;

	if (unlinkat(dir_fd, name, 0) == 0 || errno == ENOENT)
		return 0;
	if (errno != EISDIR)
		return -errno;
	fd = open_dir(dir_fd, name);
	if (fd < 0 && errno == EACCES && fchmodat(dir_fd, name, S_IRWXU, 0) == 0)
		fd = open_dir(dir_fd, name);
	if (fd < 0)
		return -errno;
	if (faccessat(fd, ".", W_OK | X_OK, AT_EACCESS) < 0)
		fchmod(fd, S_IRWXU);
	ret = remove_all(fd);
	if (ret == 0 && unlinkat(dir_fd, name, AT_REMOVEDIR) < 0)
		ret = -errno;
	return ret;
}

/* ---- merging ---- */

static int merge_failed(const struct merge *merge, const char *name)
{
	return log_errno(errno, "--keep %s: put %s there", merge->name, name);
}

static bool is_opaque(int fd)
{
	char value = 0;

	return fgetxattr(fd, KEEP_OPAQUE_NAME, &value, 1) == 1 && value == 'y';
}

static int merge_all(struct merge *merge, int from_fd, int to_fd);

/* One that is not there is gone: all came up together. Where one may not be set, or names do not
 * fit, the old one stays. */
static void copy_extended(struct merge *merge, int from_fd, int to_fd)
{
	int fds[] = { to_fd, from_fd };

	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		ssize_t len = flistxattr(fds[i], merge->names, sizeof(merge->names));

		for (const char *name = merge->names; name < merge->names + len;
		     name += strlen(name) + 1) {
			ssize_t value_len;

			if (!keep_is_attribute(name))
				continue;
			value_len = fgetxattr(from_fd, name, merge->value, sizeof(merge->value));
			if (value_len < 0 ? fremovexattr(to_fd, name) < 0
					  : fsetxattr(to_fd, name, merge->value, (size_t)value_len,
						      0) < 0)
				log_debug("--keep %s: %s of a directory stays: %s", merge->name,
					  name, strerror(errno));
		}
	}
}

/* The new directory's attributes, where they may be set. */
static void copy_attributes(struct merge *merge, const struct stat *st, int from_fd, int to_fd)
{
	struct timespec times[2] = { st->st_atim, st->st_mtim };

	copy_extended(merge, from_fd, to_fd);
	if ((merge->as_root && fchown(to_fd, st->st_uid, st->st_gid) < 0) ||
	    fchmod(to_fd, st->st_mode & 07777) < 0 || futimens(to_fd, times) < 0)
		log_debug("--keep %s: a directory keeps its owner, mode or time: %s", merge->name,
			  strerror(errno));
}

static int merge_dirs(struct merge *merge, int from_parent_fd, int from_fd, int to_fd,
		      const char *name, const struct stat *from)
{
	int ret;

	/* A full one may be entered and changed by its owner alone. */
	if (merge->only_look && faccessat(to_fd, ".", W_OK | X_OK, AT_EACCESS) < 0)
		return merge_failed(merge, name);
	ret = merge_all(merge, from_fd, to_fd);
	if (ret < 0 || merge->only_look)
		return ret;
	copy_attributes(merge, from, from_fd, to_fd);
	if (unlinkat(from_parent_fd, name, AT_REMOVEDIR) < 0)
		return merge_failed(merge, name);
	return 0;
}

/* Moves NAME; FROM_DIR_FD is -1 unless it is a directory. What is in its way cannot be replaced by
 * a rename, or is a directory. */
static int replace(struct merge *merge, int from_fd, int from_dir_fd, int to_fd, const char *name,
		   const struct stat *to)
{
	char trash_name[32];

	if (merge->only_look) {
		/* A directory that moves is written to: it has another parent then. */
		if (S_ISDIR(to->st_mode) && faccessat(to_fd, name, W_OK, AT_EACCESS) < 0)
			return merge_failed(merge, name);
		return 0;
	}
	/* What is marked as deleted, or is no directory, hides what is below as well. */
	if (from_dir_fd >= 0 && !S_ISDIR(to->st_mode) &&
	    fsetxattr(from_dir_fd, KEEP_OPAQUE_NAME, "y", 1, 0) < 0)
		return merge_failed(merge, name);
	snprintf(trash_name, sizeof(trash_name), "%llu", (unsigned long long)merge->trash_count++);
	if (renameat(to_fd, name, merge->trash_fd, trash_name) < 0 ||
	    renameat(from_fd, name, to_fd, name) < 0)
		return merge_failed(merge, name);
	return 0;
}

static int merge_entry(struct merge *merge, int from_fd, int to_fd, const char *name)
{
	auto_close int from_dir_fd = -1;
	auto_close int to_dir_fd = -1;
	struct stat from, to;

	if (fstatat(from_fd, name, &from, AT_SYMLINK_NOFOLLOW) < 0)
		return merge_failed(merge, name);
	if (fstatat(to_fd, name, &to, AT_SYMLINK_NOFOLLOW) < 0)
		to.st_mode = errno == ENOENT ? 0 : S_IFIFO;
	if (S_ISDIR(from.st_mode)) {
		from_dir_fd = open_dir(from_fd, name);
		if (from_dir_fd < 0)
			return merge_failed(merge, name);
	}
	if (S_ISDIR(from.st_mode) && S_ISDIR(to.st_mode) && !is_opaque(from_dir_fd)) {
		to_dir_fd = open_dir(to_fd, name);
		if (to_dir_fd < 0)
			return merge_failed(merge, name);
		return merge_dirs(merge, from_fd, from_dir_fd, to_dir_fd, name, &from);
	}
	if (to.st_mode && (S_ISDIR(from.st_mode) || S_ISDIR(to.st_mode)))
		return replace(merge, from_fd, from_dir_fd, to_fd, name, &to);
	if (!merge->only_look && renameat(from_fd, name, to_fd, name) < 0)
		return merge_failed(merge, name);
	return 0;
}

/* What moves away while a directory is read may hide another entry of it: read until it is empty.
 */
static int merge_all(struct merge *merge, int from_fd, int to_fd)
{
	int ret = 0;

	do {
		DIR *dir = list_dir(from_fd);
		const char *name;

		if (!dir)
			return merge_failed(merge, "it");
		while (ret == 0 && (name = next_name(dir)))
			ret = merge_entry(merge, from_fd, to_fd, name);
		if (ret == 0 && errno)
			ret = merge_failed(merge, "it");
		closedir(dir);
	} while (ret == 0 && !merge->only_look && !keep_is_empty(from_fd));
	return ret;
}

int keep_merge(int from_fd, int to_fd, int trash_fd, const char *name, bool as_root)
{
	struct merge merge = {
		.trash_fd = trash_fd,
		.name = name,
		.as_root = as_root,
		.only_look = true,
	};
	int ret = 0;

	if (faccessat(to_fd, ".", W_OK | X_OK, AT_EACCESS) < 0)
		ret = merge_failed(&merge, "files");
	if (ret == 0)
		ret = merge_all(&merge, from_fd, to_fd);
	merge.only_look = false;
	return ret < 0 ? ret : merge_all(&merge, from_fd, to_fd);
}
