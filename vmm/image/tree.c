/*
 * Fingerprints of directory trees. Each entry is hashed by itself with its directory's hash before
 * it, and the hashes are added up, so that the order in which a directory is read does not matter.
 * The hash is SipHash-2-4 (Aumasson, Bernstein 2012) with a secret key. Called by image.c.
 */
#include "vmm/image/tree.h"

#include <dirent.h>
#include <endian.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "vmm/log.h"

/* Far more than PATH_MAX allows anybody to use; each level holds a descriptor. */
#define DEPTH_MAX 256

static uint64_t rotate(uint64_t value, unsigned bits)
{
	return value << bits | value >> (64 - bits);
}

static void round_once(uint64_t v[4])
{
	v[0] += v[1];
	v[2] += v[3];
	v[1] = rotate(v[1], 13) ^ v[0];
	v[3] = rotate(v[3], 16) ^ v[2];
	v[0] = rotate(v[0], 32);
	v[2] += v[1];
	v[0] += v[3];
	v[1] = rotate(v[1], 17) ^ v[2];
	v[3] = rotate(v[3], 21) ^ v[0];
	v[2] = rotate(v[2], 32);
}

static void take_word(uint64_t v[4], uint64_t word)
{
	v[3] ^= word;
	round_once(v);
	round_once(v);
	v[0] ^= word;
}

uint64_t tree_hash(const struct tree_secret *secret, const void *data, unsigned len)
{
	uint64_t v[4] = { secret->word[0] ^ 0x736f6d6570736575,
			  secret->word[1] ^ 0x646f72616e646f6d,
			  secret->word[0] ^ 0x6c7967656e657261,
			  secret->word[1] ^ 0x7465646279746573 };
	const uint8_t *bytes = data;
	uint64_t word;

	for (unsigned at = 0; at + 8 <= len; at += 8) {
		memcpy(&word, bytes + at, 8);
		take_word(v, le64toh(word));
	}
	word = 0;
	memcpy(&word, bytes + (len & ~7u), len & 7);
	take_word(v, le64toh(word) | (uint64_t)len << 56);
	v[2] ^= 0xff;
	for (unsigned i = 0; i < 4; i++)
		round_once(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

/* What is hashed of one entry. */
struct entry_facts {
	uint64_t parent;
	uint64_t mode;
	uint64_t owner;
	uint64_t size;
	uint64_t device;
	uint64_t inode;
	int64_t modified_ns;
	int64_t changed_ns;
	char name[256];
};

struct walk {
	const struct tree_secret *secret;
	struct tree_secret second;
	struct tree_summary *out;
	const char *name; /* of the tree */
	char path[4096];  /* of the directory that is read, below it */
	size_t path_len;
};

static int64_t to_ns(const struct timespec *time)
{
	return (int64_t)time->tv_sec * 1000000000 + time->tv_nsec;
}

/* Adds one entry; gives its hash, for what is in it. */
static uint64_t add_entry(struct walk *walk, uint64_t parent, const char *name,
			  const struct stat *st)
{
	struct entry_facts facts = {
		.parent = parent,
		.mode = st->st_mode,
		.owner = (uint64_t)st->st_uid << 32 | st->st_gid,
		.modified_ns = to_ns(&st->st_mtim),
		.changed_ns = to_ns(&st->st_ctim),
	};
	size_t name_len = strlen(name);
	unsigned len;
	uint64_t hash;

	if (name_len >= sizeof(facts.name))
		name_len = sizeof(facts.name) - 1;
	memcpy(facts.name, name, name_len);
	/* What a file system tells of a directory's size and number may differ from day to day. */
	if (!S_ISDIR(st->st_mode)) {
		facts.size = (uint64_t)st->st_size;
		facts.inode = st->st_ino;
	}
	if (S_ISCHR(st->st_mode) || S_ISBLK(st->st_mode))
		facts.device = st->st_rdev;
	if (facts.changed_ns > walk->out->newest_ns)
		walk->out->newest_ns = facts.changed_ns;
	len = (unsigned)(offsetof(struct entry_facts, name) + name_len);
	hash = tree_hash(walk->secret, &facts, len);
	walk->out->key.word[0] += hash;
	walk->out->key.word[1] += tree_hash(&walk->second, &hash, sizeof(hash)) ^ rotate(hash, 23);
	walk->out->entry_count++;
	return hash;
}

static int fail(const struct walk *walk, int error, const char *entry)
{
	const char *cure = error == EACCES ? ": run as its owner, or make it readable" : "";

	log_err("read %s%s/%s: %s%s", walk->name, walk->path, entry, strerror(error), cure);
	return -error;
}

static bool is_dot(const char *name)
{
	return name[0] == '.' && (!name[1] || (name[1] == '.' && !name[2]));
}

static int walk_directory(struct walk *walk, int fd, uint64_t parent, unsigned depth);

static int walk_entry(struct walk *walk, int dir_fd, const char *name, uint64_t parent,
		      unsigned depth)
{
	size_t path_len = walk->path_len;
	struct stat st;
	uint64_t hash;
	int fd, len;

	if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return fail(walk, errno, name);
	hash = add_entry(walk, parent, name, &st);
	if (!S_ISDIR(st.st_mode))
		return 0;
	if (depth == DEPTH_MAX)
		return fail(walk, ELOOP, name);
	fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return fail(walk, errno, name);
	len = snprintf(walk->path + path_len, sizeof(walk->path) - path_len, "/%s", name);
	if (len < 0 || (size_t)len >= sizeof(walk->path) - path_len) {
		close(fd);
		walk->path[path_len] = '\0';
		return fail(walk, ENAMETOOLONG, name);
	}
	walk->path_len += (size_t)len;
	len = walk_directory(walk, fd, hash, depth + 1);
	walk->path_len = path_len;
	walk->path[path_len] = '\0';
	return len;
}

/* Takes over FD. */
static int walk_directory(struct walk *walk, int fd, uint64_t parent, unsigned depth)
{
	DIR *dir = fdopendir(fd);
	struct dirent *entry;
	int ret = 0;

	if (!dir) {
		ret = fail(walk, errno, "");
		close(fd);
		return ret;
	}
	while (ret == 0 && (errno = 0, entry = readdir(dir))) {
		if (!is_dot(entry->d_name))
			ret = walk_entry(walk, fd, entry->d_name, parent, depth);
	}
	if (ret == 0 && errno)
		ret = fail(walk, errno, "");
	closedir(dir);
	return ret;
}

int tree_summarize(int dir_fd, const char *name, const struct tree_secret *secret,
		   struct tree_summary *out)
{
	struct walk walk = { .secret = secret,
			     .second = { { ~secret->word[1], secret->word[0] } },
			     .out = out,
			     .name = name };
	struct stat st;
	int fd;

	*out = (struct tree_summary){ 0 };
	fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0) {
		int ret = fail(&walk, errno, "");

		if (fd >= 0)
			close(fd);
		return ret;
	}
	return walk_directory(&walk, fd, add_entry(&walk, 0, "", &st), 0);
}

/* PATH is that of FD, on the heap; both are taken over. */
static char *find_unreadable(int fd, char *path, unsigned depth)
{
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	char *found = NULL;
	struct dirent *entry;

	if (!dir) {
		if (fd >= 0)
			close(fd);
		return path;
	}
	while (!found && (entry = readdir(dir))) {
		struct stat st;
		char *inner;

		if (is_dot(entry->d_name) ||
		    fstatat(fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
		    asprintf(&inner, "%s/%s", path, entry->d_name) < 0)
			continue;
		if (S_ISDIR(st.st_mode) && depth < DEPTH_MAX) {
			found = find_unreadable(
				openat(fd, entry->d_name,
				       O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC),
				inner, depth + 1);
		} else if (S_ISREG(st.st_mode) &&
			   faccessat(fd, entry->d_name, R_OK, AT_EACCESS) < 0) {
			found = inner;
		} else {
			free(inner);
		}
	}
	closedir(dir);
	free(path);
	return found;
}

char *tree_find_unreadable(int dir_fd)
{
	return find_unreadable(openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), strdup(""),
			       0);
}
