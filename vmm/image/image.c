/*
 * Directories into images: fingerprint, cache, mkfs.erofs. Called by boundaries on the main thread.
 */
#include "vmm/image/image.h"

#include <endian.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/xattr.h>
#include <time.h>

#include "vmm/image/cache.h"
#include "vmm/image/program.h"
#include "vmm/image/tree.h"
#include "vmm/log.h"

/* What a change of how images are made adds to their keys. */
#define IMAGE_VERSION "1"

/* Two changes of one file within one tick of the kernel's coarse clock look the same. */
#define TICK_NS	   20000000
#define ROUNDS_MAX 5
#define MANY_FILES 2000

struct source {
	const char *dir;
	char *path; /* absolute, without links */
	int fd;
	struct tree_summary summary;
	char key[33];
};

static int64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* Walks the tree, again when it changed so lately that a next change might not be seen. */
static int summarize(struct source *source, const struct cache *cache)
{
	struct tree_key *key = &source->summary.key;
	struct tree_secret other = { { cache->secret.word[1], ~cache->secret.word[0] } };

	for (unsigned i = 0; i < ROUNDS_MAX; i++) {
		struct timespec tick = { .tv_nsec = TICK_NS };
		int64_t start_ns = now_ns();
		int ret = tree_summarize(source->fd, source->dir, &cache->secret, &source->summary);

		if (ret < 0)
			return ret;
		/* A time to come says nothing about what was changed when. */
		if (source->summary.newest_ns < start_ns - TICK_NS ||
		    source->summary.newest_ns > start_ns + TICK_NS)
			break;
		nanosleep(&tick, NULL);
	}
	key->word[0] += tree_hash(&cache->secret, source->path, (unsigned)strlen(source->path));
	key->word[1] += tree_hash(&other, source->path, (unsigned)strlen(source->path));
	key->word[1] += tree_hash(&other, IMAGE_VERSION, sizeof(IMAGE_VERSION));
	snprintf(source->key, sizeof(source->key), "%016llx%016llx",
		 (unsigned long long)key->word[0], (unsigned long long)key->word[1]);
	return 0;
}

/* mkfs.erofs says little of what it could not read. */
static void explain_failure(const struct source *source)
{
	auto_free char *path = tree_find_unreadable(source->fd);

	if (path)
		log_err("%s%s cannot be read: run as its owner, or make it readable", source->dir,
			path);
}

/*
 * Compressed in a way that is quick to read and known to every kernel since 5.17; the times of
 * files are kept, since make, Python and others go by them.
 */
static int make_image(const struct source *source, const struct cache *cache,
		      const struct cache_entry *entry)
{
	auto_free char *out = NULL;
	/* A shared or network file system without any would be an error otherwise. */
	bool no_xattrs = flistxattr(source->fd, NULL, 0) < 0 && errno == EOPNOTSUPP;
	char *argv[] = { (char *)"mkfs.erofs",
			 (char *)"--quiet",
			 (char *)"-zlz4",
			 (char *)"-C16384",
			 (char *)"-Eztailpacking",
			 (char *)"-U00000000-0000-4000-8000-000000000000",
			 (char *)(no_xattrs ? "-x-1" : "-x2"), /* 2 is its own choice */
			 NULL,
			 source->path,
			 NULL };
	int ret;

	if (asprintf(&out, "%s/%s", cache->path, entry->name) < 0)
		return log_errno(ENOMEM, "make an image of %s", source->dir);
	argv[7] = out;
	ret = program_run(argv, "apt install erofs-utils");
	if (ret == -EIO)
		explain_failure(source);
	return ret;
}

/* Makes the image and looks again: what changed meanwhile may be in it by half. */
static int build(struct source *source, struct cache *cache, struct cache_entry *entry)
{
	char key[sizeof(source->key)];
	int ret = make_image(source, cache, entry);

	memcpy(key, source->key, sizeof(key));
	if (ret == 0)
		ret = summarize(source, cache);
	if (ret == 0 && strcmp(key, source->key) != 0)
		ret = -EAGAIN;
	if (ret < 0) {
		cache_abort(cache, entry);
		return ret;
	}
	return cache_commit(cache, entry);
}

static int find_or_build(struct source *source, struct cache *cache)
{
	struct cache_entry entry = { .fd = -1 };
	int fd = cache_lookup(cache, source->key);
	int ret;

	if (fd >= 0)
		return fd;
	ret = cache_begin(cache, source->key, &entry, &fd);
	if (ret == 0) {
		/* Such takes its time. */
		if (source->summary.entry_count >= MANY_FILES)
			log_info("%s: making an image of %llu files, once", source->dir,
				 (unsigned long long)source->summary.entry_count);
		fd = build(source, cache, &entry);
		cache_evict(cache, IMAGE_CACHE_COUNT_MAX, IMAGE_CACHE_LEN_MAX);
	}
	return ret < 0 ? ret : fd;
}

static int open_source(struct source *source, const char *dir)
{
	*source = (struct source){ .dir = dir, .fd = -1 };
	source->fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (source->fd < 0)
		return log_errno(errno, "open %s", dir);
	source->path = realpath(dir, NULL);
	return source->path ? 0 : log_errno(errno, "find %s", dir);
}

int image_from_dir(const char *dir, int *fd_out)
{
	struct source source;
	struct cache cache;
	int ret = open_source(&source, dir);

	if (ret == 0)
		ret = cache_open(&cache);
	if (ret == 0) {
		ret = summarize(&source, &cache);
		for (unsigned i = 0; ret == 0; i++) {
			ret = find_or_build(&source, &cache);
			if (ret != -EAGAIN || i == ROUNDS_MAX)
				break;
			ret = 0;
		}
		if (ret == -EAGAIN)
			log_err("%s does not stop changing: use a copy of it", dir);
		cache_close(&cache);
	}
	free(source.path);
	if (source.fd >= 0)
		close(source.fd);
	if (ret < 0)
		return ret;
	*fd_out = ret;
	return 0;
}

bool image_can_make(void)
{
	return program_exists("mkfs.erofs");
}

enum image_type image_detect(int fd)
{
	uint32_t erofs_magic;
	uint16_t ext_magic;

	if (pread(fd, &erofs_magic, sizeof(erofs_magic), 1024) == sizeof(erofs_magic) &&
	    le32toh(erofs_magic) == 0xe0f5e1e2)
		return IMAGE_EROFS;
	if (pread(fd, &ext_magic, sizeof(ext_magic), 1080) == sizeof(ext_magic) &&
	    le16toh(ext_magic) == 0xef53)
		return IMAGE_EXT4;
	return IMAGE_UNKNOWN;
}

const char *image_type_name(enum image_type type)
{
	static const char *const names[] = { NULL, "erofs", "ext4" };

	return names[type];
}
