/* Directories become images once, anew when anything in them changed; the cache is bounded and
 * spares what is in use. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "vmm/image/cache.h"
#include "vmm/image/image.h"
#include "vmm/image/tree.h"
#include "vmm/log.h"

static char dir[] = "/tmp/test_image.XXXXXX";

static void run(const char *command)
{
	char line[1024];

	snprintf(line, sizeof(line), "cd %s && { %s; }", dir, command);
	assert_int_equal(system(line), 0);
}

static int make_tree(void **state)
{
	(void)state;
	if (!mkdtemp(dir))
		return -1;
	setenv("XDG_CACHE_HOME", dir, 1);
	log_set_level(LOG_LEVEL_ERR);
	run("mkdir -p root/a/b && echo 1 >root/a/one && ln -s one root/a/two");
	return 0;
}

static int remove_tree(void **state)
{
	(void)state;
	run("rm -rf root vmm");
	return rmdir(dir);
}

static struct tree_key key_of(const char *name)
{
	static const struct tree_secret secret = { { 1, 2 } };
	struct tree_summary summary;
	int fd;

	fd = open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(tree_summarize(fd, name, &secret, &summary), 0);
	close(fd);
	assert_true(summary.newest_ns > 0);
	return summary.key;
}

static void the_hash_is_siphash(void **state)
{
	/* The vectors of the paper's appendix: key 00..0f, data 00..0e. */
	static const struct tree_secret secret = { { 0x0706050403020100, 0x0f0e0d0c0b0a0908 } };
	uint8_t data[15];

	(void)state;
	for (uint8_t i = 0; i < sizeof(data); i++)
		data[i] = i;
	assert_true(tree_hash(&secret, data, sizeof(data)) == 0xa129ca6149be45e5);
	assert_true(tree_hash(&secret, data, 0) == 0x726fdb47dd0e0e31);
}

static void every_change_changes_the_fingerprint(void **state)
{
	static const char *const changes[] = {
		"echo 2 >root/a/one",	  "chmod 600 root/a/one", "touch root/a/one",
		"mv root/a/one root/one", "mkdir root/a/b/c",	  "rm root/a/two",
		"ln root/one root/three", "chmod 700 root/a",	  "ln -s x root/a/two",
	};
	struct tree_key keys[ARRAY_SIZE(changes) + 1];
	char name[64];

	(void)state;
	snprintf(name, sizeof(name), "%s/root", dir);
	keys[0] = key_of(name);
	for (size_t i = 0; i < ARRAY_SIZE(changes); i++) {
		usleep(10000); /* the clock of changes ticks slowly */
		run(changes[i]);
		keys[i + 1] = key_of(name);
		assert_memory_equal(&keys[i + 1], &(struct tree_key[]){ key_of(name) },
				    sizeof(keys[0]));
		for (size_t j = 0; j <= i; j++)
			assert_memory_not_equal(&keys[i + 1], &keys[j], sizeof(keys[0]));
	}
}

static uint64_t inode_of(int fd)
{
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	return st.st_ino;
}

static void an_image_is_made_once_and_anew_after_a_change(void **state)
{
	char name[64];
	int first, second, third;

	(void)state;
	snprintf(name, sizeof(name), "%s/root", dir);
	assert_int_equal(image_from_dir(name, &first), 0);
	assert_int_equal(image_detect(first), IMAGE_EROFS);
	assert_int_equal(image_from_dir(name, &second), 0);
	assert_int_equal(inode_of(first), inode_of(second));
	run("echo 3 >root/a/new");
	assert_int_equal(image_from_dir(name, &third), 0);
	assert_int_not_equal(inode_of(first), inode_of(third));
	close(first);
	close(second);
	close(third);
	run("test $(ls vmm/images/*.erofs | wc -l) = 2 && test -z \"$(ls vmm/images/.*.new "
	    "2>&-)\"");
}

static void processes_at_once_make_one_image(void **state)
{
	pid_t children[4];
	char name[64];
	int status;

	(void)state;
	snprintf(name, sizeof(name), "%s/root", dir);
	run("rm -f vmm/images/*.erofs");
	for (size_t i = 0; i < ARRAY_SIZE(children); i++) {
		children[i] = fork();
		if (children[i] == 0) {
			int fd;

			_exit(image_from_dir(name, &fd) == 0 ? 0 : 1);
		}
	}
	for (size_t i = 0; i < ARRAY_SIZE(children); i++) {
		assert_int_equal(waitpid(children[i], &status, 0), children[i]);
		assert_int_equal(status, 0);
	}
	run("test $(ls vmm/images/*.erofs | wc -l) = 1");
}

/* Whether what gets a name was brought to the disk before. These take the place of libc's. */
static uint64_t synced_inode;
static unsigned unsynced_count, named_count;

int fsync(int fd)
{
	synced_inode = inode_of(fd);
	return (int)syscall(SYS_fsync, fd);
}

static void note_naming(int dir_fd, const char *name)
{
	struct stat st;

	assert_int_equal(fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW), 0);
	unsynced_count += st.st_ino != synced_inode;
	named_count++;
}

int renameat(int from_fd, const char *from, int to_fd, const char *to)
{
	note_naming(from_fd, from);
	return (int)syscall(SYS_renameat2, from_fd, from, to_fd, to, 0);
}

int linkat(int from_fd, const char *from, int to_fd, const char *to, int flags)
{
	note_naming(from_fd, from);
	return (int)syscall(SYS_linkat, from_fd, from, to_fd, to, flags);
}

static void a_loss_of_power_leaves_no_name_with_holes(void **state)
{
	char name[64];
	int fd;

	(void)state;
	snprintf(name, sizeof(name), "%s/root", dir);
	run("rm -rf vmm/images");
	unsynced_count = named_count = 0;
	assert_int_equal(image_from_dir(name, &fd), 0);
	close(fd);
	/* The secret and the image. */
	assert_int_equal(named_count, 2);
	assert_int_equal(unsynced_count, 0);
}

static void what_a_killed_process_left_is_begun_anew_and_swept(void **state)
{
	struct cache_entry entry;
	struct cache cache;
	int ready, fd;

	(void)state;
	assert_int_equal(cache_open(&cache), 0);
	run("echo half >vmm/images/.k.new; echo half >vmm/images/.other.new");
	assert_int_equal(cache_begin(&cache, "k", &entry, &ready), 0);
	assert_int_equal(lseek(entry.fd, 0, SEEK_END), 0);
	cache_evict(&cache, 100, UINT64_MAX);
	run("test -e vmm/images/.k.new && test ! -e vmm/images/.other.new");
	fd = cache_commit(&cache, &entry);
	assert_true(fd >= 0);
	assert_int_equal(cache_begin(&cache, "k", &entry, &ready), 1);
	close(ready);
	close(fd);
	cache_close(&cache);
}

static int put(struct cache *cache, const char *key)
{
	struct cache_entry entry;
	int ready;
	int fd;

	assert_int_equal(cache_begin(cache, key, &entry, &ready), 0);
	assert_int_equal(write(entry.fd, key, 1), 1);
	fd = cache_commit(cache, &entry);
	assert_true(fd >= 0);
	usleep(10000);
	return fd;
}

static void the_least_recently_used_goes_unless_it_is_in_use(void **state)
{
	struct cache cache;
	int used;

	(void)state;
	run("rm -f vmm/images/*.erofs");
	assert_int_equal(cache_open(&cache), 0);
	used = put(&cache, "a");
	close(put(&cache, "b"));
	close(put(&cache, "c"));
	close(put(&cache, "d"));
	close(cache_lookup(&cache, "b"));
	cache_evict(&cache, 2, UINT64_MAX);
	run("test \"$(cd vmm/images && echo *.erofs)\" = 'a.erofs b.erofs'");
	close(used);
	cache_evict(&cache, 2, 1);
	run("test \"$(cd vmm/images && echo *.erofs)\" = '*.erofs'");
	assert_int_equal(cache_lookup(&cache, "a"), -ENOENT);
	cache_close(&cache);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_hash_is_siphash),
		cmocka_unit_test(every_change_changes_the_fingerprint),
		cmocka_unit_test(an_image_is_made_once_and_anew_after_a_change),
		cmocka_unit_test(processes_at_once_make_one_image),
		cmocka_unit_test(a_loss_of_power_leaves_no_name_with_holes),
		cmocka_unit_test(what_a_killed_process_left_is_begun_anew_and_swept),
		cmocka_unit_test(the_least_recently_used_goes_unless_it_is_in_use),
	};

	return cmocka_run_group_tests(tests, make_tree, remove_tree);
}
