/*
 * See image.h. A machine's image is what lies in the cache of images when its runs have been made;
 * it is told from others by its time. Files with several names count once.
 */
#include "vmm/compare/image.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

struct seen {
	dev_t device;
	ino_t inode;
};

struct walk {
	struct image_size size;
	struct seen *seen;
	size_t seen_count;
	size_t seen_room;
};

/* Whether a file of several names was counted before. */
static bool seen_before(struct walk *walk, const struct stat *info)
{
	if (info->st_nlink < 2)
		return false;
	for (size_t i = 0; i < walk->seen_count; i++)
		if (walk->seen[i].device == info->st_dev && walk->seen[i].inode == info->st_ino)
			return true;
	if (walk->seen_count == walk->seen_room) {
		size_t room = walk->seen_room * 2 + 64;
		struct seen *grown = realloc(walk->seen, room * sizeof(*grown));

		if (!grown)
			return false;
		walk->seen = grown;
		walk->seen_room = room;
	}
	walk->seen[walk->seen_count++] = (struct seen){ info->st_dev, info->st_ino };
	return false;
}

static int walk_directory(struct walk *walk, int fd, unsigned depth)
{
	DIR *dir = fdopendir(fd);
	struct dirent *entry;
	int ret = 0;

	if (!dir) {
		close(fd);
		return -errno;
	}
	while (!ret && (entry = readdir(dir))) {
		struct stat info;
		int below;

		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
		    fstatat(dirfd(dir), entry->d_name, &info, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		if (!S_ISDIR(info.st_mode) && seen_before(walk, &info))
			continue;
		walk->size.apparent += S_ISDIR(info.st_mode) ? 0 : (uint64_t)info.st_size;
		walk->size.allocated += (uint64_t)info.st_blocks * 512;
		if (!S_ISDIR(info.st_mode) || depth == 64)
			continue;
		below = openat(dirfd(dir), entry->d_name,
			       O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (below >= 0)
			ret = walk_directory(walk, below, depth + 1);
	}
	closedir(dir);
	return ret;
}

static int size_of_directory(const char *path, struct image_size *size)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct walk walk = { .seen_count = 0 };
	int ret = fd < 0 ? -errno : walk_directory(&walk, fd, 0);

	*size = walk.size;
	free(walk.seen);
	return ret;
}

static bool add_file(const char *path, struct image_size *size)
{
	struct stat info;

	if (stat(path, &info) < 0 || !S_ISREG(info.st_mode))
		return false;
	size->apparent += (uint64_t)info.st_size;
	size->allocated += (uint64_t)info.st_blocks * 512;
	return true;
}

/* The file used last in the cache of images; false when there is none. */
static bool add_newest_image(const struct compare *compare, struct image_size *size)
{
	auto_free char *path = compare_text("%s/../images", compare->cache);
	auto_free char *newest = NULL;
	struct dirent *entry;
	int64_t best = -1;
	DIR *dir = path ? opendir(path) : NULL;
	struct stat info;

	while (dir && (entry = readdir(dir))) {
		int64_t time;

		if (fstatat(dirfd(dir), entry->d_name, &info, 0) < 0 || !S_ISREG(info.st_mode) ||
		    info.st_size < 4096)
			continue;
		time = (int64_t)info.st_mtim.tv_sec * 1000000000 + info.st_mtim.tv_nsec;
		if (time <= best)
			continue;
		best = time;
		free(newest);
		newest = compare_text("%s/%s", path, entry->d_name);
	}
	if (dir)
		closedir(dir);
	return newest && add_file(newest, size);
}

int image_size_of(const struct compare *compare, const struct compare_column *column,
		  struct image_size *size, char **reason)
{
	*size = (struct image_size){ 0 };
	if (column->is_peer) {
		*reason = compare_text("not measured for other programs");
		return -EOPNOTSUPP;
	}
	if (strcmp(column->name, "machine") != 0)
		return size_of_directory(compare->root, size);
	if (column->reason) {
		*reason = compare_text("%s", column->reason);
		return -ENOENT;
	}
	if (!add_newest_image(compare, size)) {
		*reason = compare_text("no image in the cache");
		return -ENOENT;
	}
	if (!compare->kernel || !add_file(compare->kernel, size)) {
		*reason = compare_text("which kernel is used is not known: give --kernel");
		return -ENOENT;
	}
	return 0;
}
