/*
 * The cache of images. Every process that uses a file holds a shared lock on it (flock(2)), so that
 * one that can be locked exclusively is not in use. A file is made under a name that begins with a
 * dot, locked exclusively, and renamed when it is whole; whoever is killed leaves such a file
 * without a lock. Called by image.c.
 */
#include "vmm/image/cache.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>

#include "vmm/log.h"

#define SUFFIX	    ".erofs"
#define SECRET_NAME "secret"
#define FILES_MAX   1024 /* looked at when evicting */

/* ---- the directory ---- */

/* Makes PATH and what is missing above it. */
static int make_directories(char *path)
{
	for (char *p = strchr(path + 1, '/'); p; p = strchr(p + 1, '/')) {
		int ret;

		*p = '\0';
		ret = mkdir(path, 0700);
		*p = '/';
		if (ret < 0 && errno != EEXIST)
			return -errno;
	}
	return mkdir(path, 0700) < 0 && errno != EEXIST ? -errno : 0;
}

static char *find_path(void)
{
	const char *base = getenv("XDG_CACHE_HOME");
	const char *home = getenv("HOME");
	char *path = NULL;
	int ret;

	if (base && *base == '/')
		ret = asprintf(&path, "%s/vmm/images", base);
	else if (home && *home == '/')
		ret = asprintf(&path, "%s/.cache/vmm/images", home);
	else
		ret = asprintf(&path, "/var/cache/vmm/images");
	return ret < 0 ? NULL : path;
}

/* Made by whoever comes first; linked when it is whole, so that nobody reads half of it. */
static int make_secret(struct cache *cache)
{
	char name[32];
	int ret = 0;
	int fd;

	if (getrandom(&cache->secret, sizeof(cache->secret), 0) != sizeof(cache->secret))
		return -EIO;
	snprintf(name, sizeof(name), ".secret.%d", (int)getpid());
	fd = openat(cache->dir_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	if (write(fd, &cache->secret, sizeof(cache->secret)) != sizeof(cache->secret) ||
	    fsync(fd) < 0)
		ret = errno ? -errno : -EIO;
	close(fd);
	if (ret == 0 && linkat(cache->dir_fd, name, cache->dir_fd, SECRET_NAME, 0) < 0)
		ret = -errno;
	unlinkat(cache->dir_fd, name, 0);
	return ret;
}

static int load_secret(struct cache *cache)
{
	for (unsigned i = 0; i < 3; i++) {
		int fd = openat(cache->dir_fd, SECRET_NAME, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
		ssize_t got;
		int ret;

		if (fd >= 0) {
			got = read(fd, &cache->secret, sizeof(cache->secret));
			close(fd);
			if (got == sizeof(cache->secret))
				return 0;
			/* Cut short by a full disk or a crash. */
			unlinkat(cache->dir_fd, SECRET_NAME, 0);
		} else if (errno != ENOENT) {
			return -errno;
		}
		ret = make_secret(cache);
		if (ret != -EEXIST)
			return ret;
	}
	return -EIO;
}

int cache_open(struct cache *cache)
{
	int ret;

	*cache = (struct cache){ .dir_fd = -1, .path = find_path() };
	if (!cache->path)
		return log_errno(ENOMEM, "open the cache of images");
	cache->dir_fd = open(cache->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (cache->dir_fd < 0 && errno == ENOENT) {
		ret = make_directories(cache->path);
		if (ret < 0)
			goto fail;
		cache->dir_fd = open(cache->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	}
	ret = cache->dir_fd < 0 ? -errno : load_secret(cache);
	if (ret == 0)
		return 0;
fail:
	ret = log_errno(
		ret,
		"open %s for images of directories (set XDG_CACHE_HOME to choose another place)",
		cache->path);
	cache_close(cache);
	return ret;
}

void cache_close(struct cache *cache)
{
	if (cache->dir_fd >= 0)
		close(cache->dir_fd);
	free(cache->path);
	*cache = (struct cache){ .dir_fd = -1 };
}

/* ---- files ---- */

static int lock(int fd, int how)
{
	int ret;

	do {
		ret = flock(fd, how);
	} while (ret < 0 && errno == EINTR);
	return ret < 0 ? -errno : 0;
}

/* Whether NAME is still the file that FD is. */
static bool is_still(const struct cache *cache, const char *name, int fd)
{
	struct stat named, open_one;

	return fstatat(cache->dir_fd, name, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
	       fstat(fd, &open_one) == 0 && named.st_dev == open_one.st_dev &&
	       named.st_ino == open_one.st_ino;
}

static int open_ready(struct cache *cache, const char *final)
{
	int fd = openat(cache->dir_fd, final, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	int ret;

	if (fd < 0)
		return -errno;
	ret = lock(fd, LOCK_SH);
	/* Evicted before it was locked: as if it had not been there. */
	if (ret == 0 && !is_still(cache, final, fd))
		ret = -ENOENT;
	if (ret < 0) {
		close(fd);
		return ret;
	}
	futimens(fd, NULL); /* used now; no harm where that cannot be written down */
	return fd;
}

int cache_lookup(struct cache *cache, const char *key)
{
	char final[64];

	snprintf(final, sizeof(final), "%s" SUFFIX, key);
	return open_ready(cache, final);
}

/*
 * 0, or -EAGAIN when somebody else has it. Never waits for the lock: a file that is finished keeps
 * its locks when it gets its name, for as long as it is used.
 */
static int try_begin(struct cache *cache, struct cache_entry *entry)
{
	int ret = 0;

	entry->fd =
		openat(cache->dir_fd, entry->name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (entry->fd < 0)
		return -errno;
	if (flock(entry->fd, LOCK_EX | LOCK_NB) < 0)
		ret = errno == EWOULDBLOCK || errno == EINTR ? -EAGAIN : -errno;
	else if (!is_still(cache, entry->name, entry->fd))
		ret = -EAGAIN;
	else if (ftruncate(entry->fd, 0) < 0)
		ret = -errno;
	if (ret < 0)
		close(entry->fd);
	return ret;
}

int cache_begin(struct cache *cache, const char *key, struct cache_entry *entry, int *ready_fd)
{
	const struct timespec pause = { .tv_nsec = 10000000 };
	int ret;

	snprintf(entry->name, sizeof(entry->name), ".%s.new", key);
	snprintf(entry->final, sizeof(entry->final), "%s" SUFFIX, key);
	for (;;) {
		ret = try_begin(cache, entry);
		*ready_fd = open_ready(cache, entry->final);
		if (*ready_fd >= 0) {
			if (ret == 0)
				cache_abort(cache, entry);
			return 1;
		}
		if (ret == 0)
			return 0;
		if (ret != -EAGAIN)
			return log_errno(ret, "make %s/%s", cache->path, entry->name);
		nanosleep(&pause, NULL);
	}
}

int cache_commit(struct cache *cache, struct cache_entry *entry)
{
	int fd;

	/* A loss of power must not leave the name and nothing behind it. */
	if (fchmod(entry->fd, 0400) < 0 || fsync(entry->fd) < 0 ||
	    renameat(cache->dir_fd, entry->name, cache->dir_fd, entry->final) < 0)
		return log_errno(errno, "name %s/%s", cache->path, entry->final);
	/* Read-only from now on, by a lock that others can share. */
	lock(entry->fd, LOCK_SH);
	fd = open_ready(cache, entry->final);
	if (fd < 0)
		return log_errno(fd, "open %s/%s", cache->path, entry->final);
	close(entry->fd);
	return fd;
}

void cache_abort(struct cache *cache, struct cache_entry *entry)
{
	unlinkat(cache->dir_fd, entry->name, 0);
	close(entry->fd);
}

/* ---- eviction ---- */

struct cached_file {
	char name[64];
	uint64_t len;
	struct timespec used;
};

static bool ends_with(const char *text, const char *end)
{
	size_t len = strlen(text), end_len = strlen(end);

	return len > end_len && strcmp(text + len - end_len, end) == 0;
}

/* Unlinks NAME unless somebody holds it; true when it is gone. */
static bool remove_unused(struct cache *cache, const char *name)
{
	int fd = openat(cache->dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	bool unused;

	if (fd < 0)
		return errno == ENOENT;
	unused = flock(fd, LOCK_EX | LOCK_NB) == 0;
	if (unused)
		unlinkat(cache->dir_fd, name, 0);
	close(fd);
	return unused;
}

/* The files, and the number of them; what killed processes left behind goes on the way. */
static unsigned list_files(struct cache *cache, struct cached_file *files)
{
	int fd = openat(cache->dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *entry;
	unsigned count = 0;

	if (!dir) {
		if (fd >= 0)
			close(fd);
		return 0;
	}
	while (count < FILES_MAX && (entry = readdir(dir))) {
		struct stat st;

		if (entry->d_name[0] == '.' && ends_with(entry->d_name, ".new"))
			remove_unused(cache, entry->d_name);
		if (entry->d_name[0] == '.' || !ends_with(entry->d_name, SUFFIX) ||
		    strlen(entry->d_name) >= sizeof(files[0].name) ||
		    fstatat(cache->dir_fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		memcpy(files[count].name, entry->d_name, strlen(entry->d_name) + 1);
		files[count].len = (uint64_t)st.st_blocks * 512;
		files[count++].used = st.st_mtim;
	}
	closedir(dir);
	return count;
}

static int compare_use(const void *a, const void *b)
{
	const struct timespec *one = &((const struct cached_file *)a)->used;
	const struct timespec *other = &((const struct cached_file *)b)->used;

	if (one->tv_sec != other->tv_sec)
		return one->tv_sec < other->tv_sec ? -1 : 1;
	return one->tv_nsec < other->tv_nsec ? -1 : one->tv_nsec > other->tv_nsec;
}

void cache_evict(struct cache *cache, unsigned count_max, uint64_t len_max)
{
	struct cached_file *files = calloc(FILES_MAX, sizeof(*files));
	unsigned count, left;
	uint64_t len = 0;

	if (!files)
		return;
	count = left = list_files(cache, files);
	for (unsigned i = 0; i < count; i++)
		len += files[i].len;
	qsort(files, count, sizeof(*files), compare_use);
	for (unsigned i = 0; i < count && (left > count_max || len > len_max); i++) {
		if (!remove_unused(cache, files[i].name))
			continue;
		log_debug("%s/%s was not used for longest: removed", cache->path, files[i].name);
		left--;
		len -= files[i].len;
	}
	free(files);
}
