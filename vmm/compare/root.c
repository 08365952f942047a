/*
 * See root.h. The root is made by a shell script that the program carries; so is the workload
 * program, compressed.
 */
#include "vmm/compare/root.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "vmm/blob.h"
#include "vmm/compare/child.h"
#include "vmm/log.h"

#define VOLUME_LEN     (384ll << 20)
#define RAW_LEN	       (192ll << 20)

#define ROOT_WORDS_MAX 32

/* The scripts that make the root and take it into memory, and the workload program. */
BLOB_EMBED(setup_root, COMPARE_SCRIPTS "/setup-root.sh.lz4");
BLOB_EMBED(take_in, COMPARE_SCRIPTS "/take-in.sh.lz4");
BLOB_EMBED(load, COMPARE_LOAD_FILE);

static int make_directory(const char *path)
{
	char part[4096];

	for (size_t i = 1; path[i - 1] && i < sizeof(part); i++) {
		if (path[i] != '/' && path[i] != '\0')
			continue;
		snprintf(part, sizeof(part), "%.*s", (int)i, path);
		if (mkdir(part, 0755) < 0 && errno != EEXIST)
			return log_errno(errno, "compare: make directory %s", part);
	}
	return 0;
}

static int write_file(const char *path, const void *data, size_t len, mode_t mode)
{
	auto_close int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
	const char *at = data;

	if (fd < 0)
		return log_errno(errno, "compare: make %s", path);
	while (len > 0) {
		ssize_t n = write(fd, at, len);

		if (n < 0)
			return log_errno(errno, "compare: write %s", path);
		at += n;
		len -= (size_t)n;
	}
	return 0;
}

/* Whether the file PATH holds just DATA. */
static bool file_is(const char *path, const uint8_t *data, size_t len)
{
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	uint8_t part[4096];
	size_t done = 0;
	ssize_t n;

	if (fd < 0)
		return false;
	while ((n = read(fd, part, sizeof(part))) > 0) {
		if ((size_t)n > len - done || memcmp(data + done, part, (size_t)n) != 0)
			return false;
		done += (size_t)n;
	}
	return n == 0 && done == len;
}

/* Unpacks the workload program to PATH, unless it is there as it is. */
static int unpack_load(const char *path)
{
	auto_free char *new = compare_text("%s.%d", path, (int)getpid());
	auto_free uint8_t *data = NULL;
	size_t len;
	int ret = BLOB_UNPACK(load, &data, &len);

	if (ret || file_is(path, data, len))
		return ret;
	if (!new)
		return -ENOMEM;
	ret = write_file(new, data, len, 0755);
	if (!ret && rename(new, path) < 0)
		ret = log_errno(errno, "compare: make %s", path);
	return ret;
}

/* The programs that the rows chosen need, each once, after COUNT words. */
static void add_needs(const struct compare *compare, char *words[], unsigned count)
{
	unsigned first = count;

	for (size_t i = 0; i < compare_row_count && count < ROOT_WORDS_MAX - 1; i++) {
		const char *needs = compare_row_task(&compare_rows[i])->needs;
		bool there = !needs || !compare->selected[i];

		for (unsigned word = first; !there && word < count; word++)
			there = strcmp(words[word], needs) == 0;
		if (!there)
			words[count++] = (char *)needs;
	}
	words[count] = NULL;
}

static int make_root(struct compare *compare)
{
	auto_free uint8_t *script = NULL;
	char *words[ROOT_WORDS_MAX] = { (char *)"/bin/sh",    (char *)"-c",   NULL,
					(char *)"setup-root", compare->cache, compare->load };
	struct child child;
	size_t len;
	int ret = BLOB_UNPACK(setup_root, &script, &len);

	if (ret)
		return ret;
	words[2] = (char *)script;
	add_needs(compare, words, 6);
	ret = child_start(&child, words);
	child_close_input(&child);
	if (!ret)
		ret = child_wait_end(&child, compare_patience_ms(compare, 300));
	if (!ret && (child.status != 0 || child.out_len < 2))
		ret = -EIO;
	if (ret) {
		auto_free char *reason = child_complaint(&child);

		log_err("compare: the root cannot be made: %s", reason ? reason : "?");
	} else {
		child.out[strcspn(child.out, "\n")] = '\0';
		compare->root = compare_text("%s", child.out);
		ret = compare->root ? 0 : -ENOMEM;
	}
	child_fini(&child);
	return ret;
}

static int use_root(struct compare *compare)
{
	char *path = realpath(compare->rootfs, NULL);
	auto_free char *load = NULL;

	if (!path)
		return log_errno(errno, "compare: --rootfs %s", compare->rootfs);
	compare->root = path;
	load = compare_text("%s/bin/vmm-load", path);
	compare->own_load = !load || access(load, X_OK) != 0;
	if (compare->own_load) {
		auto_free char *tools = compare_text("%s/tools", compare->scratch);
		auto_free char *tool = compare_text("%s/tools/vmm-load", compare->scratch);
		int ret = tools && tool ? make_directory(tools) : -ENOMEM;

		if (!ret)
			ret = unpack_load(tool);
		return ret;
	}
	return 0;
}

/* Whose files are taken in: where the clock counts instructions all have libraries in common with
 * ours, which are opened while we run; otherwise theirs take half a minute for nothing. */
static char *peers_to_take_in(const struct compare *compare)
{
	char *names = compare_text("%s", compare->icount ? "qemu lxc runc podman" : "");

	for (unsigned i = 0; names && !compare->icount && i < compare->column_count; i++) {
		char *more;

		if (!compare->columns[i].is_peer)
			continue;
		more = compare_text("%s %s", names, compare->columns[i].name);
		free(names);
		names = more;
	}
	return names;
}

/* The lab's files come from another machine: what is measured is taken into memory first. Images go
 * to a cache there, too. */
static int copy_root(struct compare *compare)
{
	auto_free char *from = compare->root;
	auto_free char *config = NULL, *cache = NULL, *peers = peers_to_take_in(compare);
	const char *kernel = compare->kernel ? compare->kernel : "";
	char *words[] = { (char *)"/bin/sh",
			  (char *)"-c",
			  NULL,
			  (char *)"take-in",
			  from,
			  NULL,
			  peers,
			  (char *)compare->program,
			  (char *)kernel,
			  NULL,
			  NULL };
	auto_free uint8_t *script = NULL;
	struct child child;
	size_t len;
	int ret = BLOB_UNPACK(take_in, &script, &len);

	if (ret) {
		compare->root = NULL; /* freed here */
		return ret;
	}
	words[2] = (char *)script;
	compare->root = compare_text("%s/root", compare->scratch);
	config = compare_text("%.*s/config",
			      (int)(strrchr(kernel, '/') ? strrchr(kernel, '/') - kernel : 0),
			      kernel);
	cache = compare_text("%s/cache", compare->scratch);
	free(compare->cache);
	compare->cache = compare_text("%s/cache/vmm/compare", compare->scratch);
	words[5] = compare->root;
	words[9] = config;
	if (!compare->root || !peers || !config || !cache || !compare->cache)
		return -ENOMEM;
	ret = make_directory(compare->cache);
	if (!ret)
		ret = setenv("XDG_CACHE_HOME", cache, 1) < 0 ? -errno : 0;
	if (!ret)
		ret = child_start(&child, words);
	if (ret)
		return ret;
	ret = child_wait_end(&child, compare_patience_ms(compare, 300));
	if (ret || child.status != 0) {
		auto_free char *reason = child_complaint(&child);

		log_err("compare: copy the root: %s", reason ? reason : "?");
		ret = ret ? ret : -EIO;
	}
	child_fini(&child);
	return ret;
}

static int make_cache(struct compare *compare)
{
	const char *base = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
	int ret;

	if (base && base[0] == '/')
		compare->cache = compare_text("%s/vmm/compare", base);
	else
		compare->cache = compare_text("%s/.cache/vmm/compare", home ? home : "");
	if (compare->cache)
		compare->load = compare_text("%s/vmm-load", compare->cache);
	if (!compare->load)
		return log_errno(ENOMEM, "compare");
	ret = make_directory(compare->cache);
	return ret ? ret : unpack_load(compare->load);
}

int compare_root_make(struct compare *compare)
{
	int ret = make_cache(compare);

	return ret ? ret : make_root(compare);
}

int compare_root_prepare(struct compare *compare)
{
	int ret = make_cache(compare);

	if (ret)
		return ret;
	compare->scratch = compare->in_lab ? compare_text("/tmp/compare.XXXXXX")
					   : compare_text("%s/run.XXXXXX", compare->cache);
	if (!compare->scratch || !mkdtemp(compare->scratch))
		return log_errno(errno, "compare: make a directory in %s", compare->cache);
	chmod(compare->scratch, 0755);
	ret = compare->rootfs ? use_root(compare) : make_root(compare);
	if (!ret && compare->in_lab)
		ret = copy_root(compare);
	return ret;
}

static bool place_wanted(const struct compare *compare, enum compare_place place)
{
	for (size_t i = 0; i < compare_row_count; i++)
		if (compare->selected[i] && compare_row_task(&compare_rows[i])->place == place)
			return true;
	return false;
}

static int make_sparse(const char *path, off_t len)
{
	auto_close int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (fd < 0 || ftruncate(fd, len) < 0)
		return log_errno(errno, "compare: make %s", path);
	return 0;
}

/* An empty ext4 image for the machine's volume; the directory is the others'. */
static int make_volume(const struct compare *compare)
{
	auto_free char *image = compare_text("%s/volume.img", compare->scratch);
	char *words[] = { (char *)"mke2fs", (char *)"-q", (char *)"-F", (char *)"-t",
			  (char *)"ext4",   image,	  NULL };
	struct child child;
	int ret;

	if (!image)
		return -ENOMEM;
	ret = make_sparse(image, VOLUME_LEN);
	if (ret)
		return ret;
	ret = child_start(&child, words);
	if (!ret)
		ret = child_wait_end(&child, compare_patience_ms(compare, 60));
	if (ret || child.status != 0) {
		auto_free char *reason = child_complaint(&child);

		/* The rows of machines will say so, too. */
		log_warn("compare: no volume for machines: %s", reason ? reason : "?");
	}
	child_fini(&child);
	return ret == -EINTR ? ret : 0;
}

int compare_root_volumes(struct compare *compare)
{
	auto_free char *directory = compare_text("%s/volume", compare->scratch);
	auto_free char *raw = compare_text("%s/raw.img", compare->scratch);
	auto_free char *inner = compare_text("%s/volume/raw.img", compare->scratch);
	int ret = directory && raw && inner ? make_directory(directory) : -ENOMEM;

	if (!ret && place_wanted(compare, COMPARE_PLACE_VOLUME))
		ret = make_volume(compare);
	if (!ret && place_wanted(compare, COMPARE_PLACE_RAW)) {
		ret = make_sparse(raw, RAW_LEN);
		if (!ret)
			ret = make_sparse(inner, RAW_LEN);
	}
	return ret;
}

bool compare_root_has(const struct compare *compare, const char *program)
{
	static const char *const directories[] = { "bin", "usr/bin", "usr/sbin", "usr/local/bin" };

	for (size_t i = 0; i < ARRAY_SIZE(directories); i++) {
		auto_free char *path =
			compare_text("%s/%s/%s", compare->root, directories[i], program);

		if (path && access(path, X_OK) == 0)
			return true;
	}
	return false;
}

static int remove_one(const char *path, const struct stat *info, int type, struct FTW *at)
{
	(void)info;
	(void)type;
	(void)at;
	remove(path);
	return 0;
}

void compare_root_fini(struct compare *compare)
{
	if (compare->scratch)
		nftw(compare->scratch, remove_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}
