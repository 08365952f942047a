/* What a machine's command wrote arrives as it was, nothing else can be made of a lie, and what was
 * kept before is lost in no case. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/support/skip.h"
#include "vmm/boundary/keep.h"
#include "vmm/boundary/keep_collect.h"
#include "vmm/boundary/keep_merge.h"
#include "vmm/boundary/keep_parse.h"
#include "vmm/guest/keep_send.h"
#include "vmm/log.h"

#define MEMORY_LEN (64ull << 20)

static char dir[] = "/tmp/test_keep.XXXXXX";

/* A shell's commands in the directory. */
static int shell(const char *command)
{
	char line[2048];
	int status;

	snprintf(line, sizeof(line), "cd %s && { set -e; %s; }", dir, command);
	status = system(line);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void run(const char *command)
{
	if (shell(command) != 0)
		fail_msg("%s", command);
}

static int setup(void **state)
{
	(void)state;
	return shell("mkdir new keep upper trash");
}

static int teardown(void **state)
{
	(void)state;
	return shell("rm -rf new keep upper trash .vmm-keep-*");
}

static int make_dir(void **state)
{
	(void)state;
	log_set_level(LOG_LEVEL_ERR);
	if (!mkdtemp(dir))
		return -1;
	/* For images. */
	setenv("XDG_CACHE_HOME", dir, 1);
	return 0;
}

static int remove_dir(void **state)
{
	(void)state;
	if (shell("rm -rf vmm") != 0)
		return -1;
	return rmdir(dir);
}

static int open_dir(const char *name)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(fd >= 0);
	return fd;
}

/* ---- streams ---- */

static struct {
	int fd;
	uint64_t count;
} stream = { .fd = -1 };

static void stream_put(const struct keep_record *record, const char *name, const void *payload)
{
	uint8_t header[KEEP_HEADER_LEN];
	struct keep_record copy = *record;

	copy.name_len = (uint16_t)strlen(name);
	keep_encode(header, &copy);
	assert_int_equal(write(stream.fd, header, sizeof(header)), sizeof(header));
	assert_int_equal(write(stream.fd, name, copy.name_len), copy.name_len);
	assert_int_equal(write(stream.fd, payload, copy.payload_len), copy.payload_len);
	stream.count++;
}

static void stream_begin(void)
{
	stream.fd = memfd_create("stream", MFD_CLOEXEC);
	assert_true(stream.fd >= 0);
	stream.count = 0;
	stream_put(&(struct keep_record){ .type = KEEP_BEGIN, .size = KEEP_MAGIC }, "", "");
}

static void put_simple(enum keep_type type, const char *name)
{
	stream_put(&(struct keep_record){ .type = (uint8_t)type, .mode = 0644 }, name, "");
}

static void put_text(enum keep_type type, const char *name, const char *text)
{
	stream_put(&(struct keep_record){ .type = (uint8_t)type,
					  .payload_len = (uint32_t)strlen(text) },
		   name, text);
}

static void put_file(const char *name, uint32_t mode, const char *text)
{
	struct keep_record file = { .type = KEEP_FILE, .mode = mode, .size = strlen(text) };
	struct keep_record data = { .type = KEEP_DATA, .payload_len = (uint32_t)strlen(text) };

	stream_put(&file, name, "");
	stream_put(&data, "", text);
}

static void put_end(void)
{
	stream_put(&(struct keep_record){ .type = KEEP_END, .size = stream.count }, "", "");
}

static struct keep_limits limits = { .bytes_max = 1000000, .entries_max = 100 };

/* What comes of the stream in "new". */
static struct keep_result collect(void)
{
	struct keep_result result;
	int fd = open_dir("new");

	assert_int_equal(lseek(stream.fd, 0, SEEK_SET), 0);
	keep_collect(stream.fd, fd, &limits, &result);
	close(stream.fd);
	close(fd);
	return result;
}

static void put_attribute(const char *name, const void *value, size_t len)
{
	stream_put(&(struct keep_record){ .type = KEEP_ATTRIBUTE, .payload_len = (uint32_t)len },
		   name, value);
}

static void put_dir_attribute(const char *name, const void *value, size_t len)
{
	stream_put(&(struct keep_record){ .type = KEEP_ATTRIBUTE,
					  .flags = KEEP_OF_DIR,
					  .payload_len = (uint32_t)len },
		   name, value);
}

static void assert_refused(void)
{
	struct keep_result result = collect();

	assert_false(result.complete);
	assert_true(strlen(result.why) > 0);
	/* Nothing was made elsewhere. */
	run("test \"$(ls -A)\" = \"$(printf 'keep\\nnew\\ntrash\\nupper')\"");
}

/* ---- words ---- */

static void names_are_of_one_part(void **state)
{
	(void)state;
	assert_true(keep_is_name("a", 1));
	assert_true(keep_is_name("...", 3));
	assert_true(keep_is_name(".a", 2));
	assert_true(keep_is_name("..a", 3));
	assert_false(keep_is_name("", 0));
	assert_false(keep_is_name(".", 1));
	assert_false(keep_is_name("..", 2));
	assert_false(keep_is_name("a/b", 3));
	assert_false(keep_is_name("a\0b", 3));
	assert_true(keep_is_path("a/b/..c", 7));
	assert_false(keep_is_path("/a", 2));
	assert_false(keep_is_path("a/", 2));
	assert_false(keep_is_path("a//b", 4));
	assert_false(keep_is_path("a/../b", 6));
	assert_false(keep_is_path("", 0));
}

static bool header_is_good(struct keep_record record)
{
	uint8_t header[KEEP_HEADER_LEN];
	struct keep_record read;

	keep_encode(header, &record);
	if (keep_parse(&read, header) != NULL)
		return false;
	assert_memory_equal(&read, &record, sizeof(read));
	return true;
}

static void headers_hold_what_their_type_has(void **state)
{
	struct keep_record file = { .type = KEEP_FILE,
				    .name_len = 1,
				    .mode = 07777,
				    .uid = UINT32_MAX,
				    .gid = 1,
				    .mtime_sec = -1,
				    .mtime_nsec = 999999999,
				    .size = 1ull << 40 };
	struct keep_record bad;

	(void)state;
	assert_true(header_is_good(file));
	for (unsigned type = 0; type < 256; type++) {
		bad = (struct keep_record){ .type = (uint8_t)type };
		assert_int_equal(header_is_good(bad), type == KEEP_UP || type == KEEP_END);
	}
	bad = file;
	bad.name_len = 256;
	assert_false(header_is_good(bad));
	bad = file;
	bad.payload_len = 1;
	assert_false(header_is_good(bad));
	bad = file;
	bad.mode = S_IFREG | 0644;
	assert_false(header_is_good(bad));
	bad = file;
	bad.flags = KEEP_OPAQUE;
	assert_false(header_is_good(bad));
	bad = file;
	bad.size = INT64_MAX;
	assert_false(header_is_good(bad));
	bad = file;
	bad.mtime_nsec = 1000000000;
	assert_false(header_is_good(bad));
	bad = (struct keep_record){ .type = KEEP_DATA, .payload_len = KEEP_PAYLOAD_MAX + 1 };
	assert_false(header_is_good(bad));
	bad = (struct keep_record){ .type = KEEP_ATTRIBUTE,
				    .name_len = 6,
				    .payload_len = KEEP_VALUE_MAX };
	assert_true(header_is_good(bad));
	bad.payload_len++;
	assert_false(header_is_good(bad));
	bad.payload_len = 0;
	assert_true(header_is_good(bad));
	bad.name_len = 0;
	assert_false(header_is_good(bad));
	bad = (struct keep_record){ .type = KEEP_NODE, .name_len = 1, .mode = S_IFREG };
	assert_false(header_is_good(bad));
}

/* ---- collecting ---- */

static void records_become_files(void **state)
{
	struct keep_record up = {
		.type = KEEP_UP, .mode = 02750, .mtime_sec = 86400, .mtime_nsec = 5
	};
	struct keep_result result;

	(void)state;
	stream_begin();
	put_simple(KEEP_DIR, "d");
	put_file("file", 0640, "text");
	put_text(KEEP_SYMLINK, "link", "/etc/../passwd");
	put_text(KEEP_LINK, "other", "d/file");
	put_simple(KEEP_WHITEOUT, "gone");
	stream_put(&up, "", "");
	put_file("top", 0600, "t");
	put_end();
	result = collect();
	assert_string_equal(result.why, "");
	assert_true(result.complete);
	run("cd new; test \"$(cat d/file)\" = text; test d/file -ef d/other; test -c d/gone");
	run("cd new; test \"$(readlink d/link)\" = /etc/../passwd; test \"$(cat top)\" = t");
	run("cd new; test \"$(stat -c %a:%Y d)\" = 2750:86400; test $(stat -c %a d/file) = 640");
	run("cd new; test $(stat -c %t:%T d/gone) = 0:0");
}

static void rights_of_others_are_not_given(void **state)
{
	struct keep_record node = { .type = KEEP_NODE, .mode = S_IFBLK | 0666 };
	struct keep_record fifo = { .type = KEEP_NODE, .mode = S_IFIFO | 04620 };
	struct keep_result result;

	(void)state;
	stream_begin();
	put_file("su", 04755, "x");
	put_file("sg", 02755, "x");
	stream_put(&node, "disk", "");
	stream_put(&fifo, "fifo", "");
	put_end();
	result = collect();
	assert_true(result.complete);
	assert_int_equal(result.identity_count, 3);
	assert_int_equal(result.device_count, 1);
	run("cd new; test \"$(stat -c %a su sg fifo | tr '\\n' ' ')\" = '755 755 620 '");
	run("cd new; test ! -e disk");
}

/* An ordinary user must be able to read it at the next start. */
static void what_is_kept_can_be_read(void **state)
{
	struct keep_record up = { .type = KEEP_UP };

	(void)state;
	stream_begin();
	put_simple(KEEP_DIR, "d");
	put_file("secret", 0, "x");
	stream_put(&up, "", "");
	put_end();
	assert_true(collect().complete);
	run("cd new; test \"$(stat -c %a d d/secret | tr '\\n' ' ')\" = '700 400 '");
}

static void holes_stay_holes(void **state)
{
	struct keep_record file = { .type = KEEP_FILE, .size = 1ull << 30 };
	struct keep_record data = { .type = KEEP_DATA, .payload_len = 1, .size = 1 << 29 };

	(void)state;
	stream_begin();
	stream_put(&file, "sparse", "");
	stream_put(&data, "", "x");
	put_end();
	assert_true(collect().complete);
	run("cd new; test $(stat -c %s sparse) = 1073741824; test $(stat -c %b sparse) -lt 100");
}

static void names_that_lead_elsewhere_are_refused(void **state)
{
	static const char *const names[] = { "..", ".", "../new2", "/tmp/x", "a/b" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		for (uint8_t type = KEEP_DIR; type <= KEEP_WHITEOUT; type++) {
			if (type == KEEP_UP || type == KEEP_DATA)
				continue;
			stream_begin();
			if (type == KEEP_SYMLINK || type == KEEP_LINK)
				put_text(type, names[i], "x");
			else
				stream_put(&(struct keep_record){ .type = type,
								  .mode = type == KEEP_NODE
										  ? S_IFIFO
										  : 0 },
					   names[i], "");
			put_end();
			assert_refused();
		}
	}
}

static void links_are_not_followed(void **state)
{
	static const char *const targets[] = { "../keep/old", "link/old", "link", "d", "none" };

	(void)state;
	run("echo old >keep/old");
	for (size_t i = 0; i < ARRAY_SIZE(targets); i++) {
		run("rm -rf new; mkdir new");
		stream_begin();
		put_text(KEEP_SYMLINK, "link", "../keep");
		put_simple(KEEP_DIR, "d");
		put_simple(KEEP_UP, "");
		put_text(KEEP_LINK, "stolen", targets[i]);
		put_end();
		/* Of a link itself there may be two. */
		if (strcmp(targets[i], "link") == 0)
			assert_true(collect().complete);
		else
			assert_refused();
		run("test ! -f new/stolen");
	}
	/* Nor is one entered as a directory, or written through. */
	run("rm -rf new; mkdir new");
	stream_begin();
	put_text(KEEP_SYMLINK, "link", "../keep");
	put_simple(KEEP_DIR, "link");
	put_file("old", 0600, "new");
	put_end();
	assert_refused();
	run("rm -rf new; mkdir new");
	stream_begin();
	put_text(KEEP_SYMLINK, "link", "../keep/old");
	put_file("link", 0600, "new");
	put_end();
	assert_refused();
	run("test \"$(cat keep/old)\" = old");
}

static void order_is_kept_to(void **state)
{
	struct keep_record data = { .type = KEEP_DATA, .payload_len = 2 };
	struct keep_record file = { .type = KEEP_FILE, .size = 1 };

	(void)state;
	stream_begin();
	put_simple(KEEP_UP, "");
	assert_refused();
	stream_begin();
	stream_put(&data, "", "xx");
	assert_refused();
	stream_begin();
	stream_put(&file, "short", "");
	stream_put(&data, "", "xx");
	assert_refused();
	stream_begin();
	put_simple(KEEP_DIR, "open");
	put_end();
	assert_refused();
	stream_begin();
	stream_put(&(struct keep_record){ .type = KEEP_BEGIN, .size = KEEP_MAGIC }, "", "");
	assert_refused();
	stream_begin();
	stream_put(&(struct keep_record){ .type = KEEP_END, .size = 7 }, "", "");
	assert_refused();
	stream_begin();
	put_text(KEEP_SYMLINK, "nul", "a");
	assert_int_equal(lseek(stream.fd, -1, SEEK_CUR) > 0, 1);
	assert_int_equal(write(stream.fd, "", 1), 1);
	put_end();
	assert_refused();
}

static void limits_hold(void **state)
{
	struct keep_record file = { .type = KEEP_FILE, .size = 1 };
	struct keep_record data = { .type = KEEP_DATA, .payload_len = 1 };
	struct keep_result result;
	char name[16];

	(void)state;
	/* The same byte over and over is content as well. */
	limits.bytes_max = 3;
	stream_begin();
	stream_put(&file, "f", "");
	for (unsigned i = 0; i < 4; i++)
		stream_put(&data, "", "x");
	put_end();
	result = collect();
	assert_false(result.complete);
	assert_non_null(strstr(result.why, "memory"));
	limits.bytes_max = 1000000;
	stream_begin();
	for (unsigned i = 0; i < 101; i++) {
		snprintf(name, sizeof(name), "n%u", i);
		put_simple(KEEP_WHITEOUT, name);
	}
	put_end();
	result = collect();
	assert_false(result.complete);
	assert_non_null(strstr(result.why, "memory"));
	stream_begin();
	limits.entries_max = 1000;
	for (unsigned i = 0; i <= KEEP_DEPTH_MAX; i++)
		put_simple(KEEP_DIR, "d");
	result = collect();
	limits.entries_max = 100;
	assert_false(result.complete);
	assert_non_null(strstr(result.why, "deep"));
}

/* Cut anywhere it is not whole, and no error of its own. */
static void half_a_stream_is_not_whole(void **state)
{
	off_t len;

	(void)state;
	stream_begin();
	put_simple(KEEP_DIR, "d");
	put_file("f", 0600, "content");
	put_simple(KEEP_UP, "");
	put_end();
	len = lseek(stream.fd, 0, SEEK_CUR);
	for (off_t cut = 0; cut < len; cut += 7) {
		struct keep_result result;
		int whole = fcntl(stream.fd, F_DUPFD_CLOEXEC, 3);
		int fd = memfd_create("cut", MFD_CLOEXEC);
		char bytes[512];

		assert_true(cut < (off_t)sizeof(bytes));
		assert_int_equal(pread(whole, bytes, (size_t)cut, 0), cut);
		assert_int_equal(write(fd, bytes, (size_t)cut), cut);
		close(stream.fd);
		stream.fd = fd;
		result = collect();
		stream.fd = whole;
		assert_false(result.complete);
		assert_string_equal(result.why, "");
		run("rm -rf new; mkdir new");
	}
	close(stream.fd);
}

static void words_of_the_machine_are_printable(void **state)
{
	struct keep_result result;

	(void)state;
	stream_begin();
	put_text(KEEP_FAILED, "", "/a\033[2Jb\n: gone");
	result = collect();
	assert_false(result.complete);
	assert_non_null(strstr(result.why, "/a?[2Jb?: gone"));
}

/* ---- extended attributes ---- */

/* What setxattr(2) takes for access lists, little-endian: version, then tag, rights and id each. */
struct acl {
	uint32_t version;
	struct {
		uint16_t tag, rights;
		uint32_t id;
	} entries[5];
};

/* Owner none, user 33 reads, group none, mask, others none. */
static const struct acl acl = { .version = 2,
				.entries = { { 1, 0, UINT32_MAX },
					     { 2, 4, 33 },
					     { 4, 0, UINT32_MAX },
					     { 16, 4, UINT32_MAX },
					     { 32, 0, UINT32_MAX } } };

/* Skips the test where the file system of the directory does not know the attribute. */
static void set_or_skip(const char *path, const char *name, const void *value, size_t len)
{
	char full[300];

	snprintf(full, sizeof(full), "%s/%s", dir, path);
	if (lsetxattr(full, name, value, len, 0) < 0)
		skip_because("%s cannot be set in %s: %s", name, dir, strerror(errno));
}

static void assert_attribute(const char *path, const char *name, const void *value, ssize_t len)
{
	char full[300], found[256];

	snprintf(full, sizeof(full), "%s/%s", dir, path);
	assert_int_equal(lgetxattr(full, name, found, sizeof(found)), len);
	if (len > 0)
		assert_memory_equal(found, value, (size_t)len);
}

static void attributes_arrive(void **state)
{
	static const struct acl seen = { .version = 2,
					 .entries = { { 1, 6, UINT32_MAX },
						      { 2, 4, 33 },
						      { 4, 0, UINT32_MAX },
						      { 16, 4, UINT32_MAX },
						      { 32, 4, UINT32_MAX } } };
	struct keep_result result;

	(void)state;
	set_or_skip("trash", "user.probe", "x", 1);
	set_or_skip("trash", "system.posix_acl_access", &acl, sizeof(acl));
	stream_begin();
	put_simple(KEEP_DIR, "d");
	put_simple(KEEP_FILE, "f");
	/* The owner may set others after it. */
	put_attribute("system.posix_acl_access", &acl, sizeof(acl));
	put_attribute("user.a/b", "\0bytes", 6);
	put_attribute("user.empty", "", 0);
	put_dir_attribute("user.dir", "d", 1);
	put_dir_attribute("user.other", "o", 1);
	put_dir_attribute("system.posix_acl_default", &acl, sizeof(acl));
	stream_put(&(struct keep_record){ .type = KEEP_UP, .mode = 0700 }, "", "");
	put_end();
	result = collect();
	assert_string_equal(result.why, "");
	assert_true(result.complete);
	assert_int_equal(result.refused_count, 0);
	assert_attribute("new/d/f", "user.a/b", "\0bytes", 6);
	assert_attribute("new/d/f", "user.empty", "", 0);
	assert_attribute("new/d/f", "user.dir", NULL, -1);
	/* The mode has its part of it, and counts. */
	assert_attribute("new/d/f", "system.posix_acl_access", &seen, sizeof(seen));
	run("test $(stat -c %a new/d/f) = 644");
	assert_attribute("new/d", "user.dir", "d", 1);
	assert_attribute("new/d", "user.other", "o", 1);
	assert_attribute("new/d", "system.posix_acl_default", &acl, sizeof(acl));
}

/* What is made in it could inherit some. */
static void directories_have_attributes_last(void **state)
{
	(void)state;
	stream_begin();
	put_simple(KEEP_DIR, "d");
	put_dir_attribute("user.dir", "d", 1);
	put_simple(KEEP_WHITEOUT, "w");
	assert_refused();
	run("rm -rf new; mkdir new");
	stream_begin();
	put_simple(KEEP_FILE, "f");
	put_simple(KEEP_WHITEOUT, "w");
	put_attribute("user.nobodys", "d", 1);
	assert_refused();
	run("rm -rf new; mkdir new");
	/* The uppermost one is not sent. */
	stream_begin();
	put_simple(KEEP_FILE, "f");
	put_dir_attribute("user.dir", "d", 1);
	assert_refused();
}

static void other_attributes_are_refused(void **state)
{
	static const char *const names[] = {
		"user.overlay.opaque",
		"user.overlay.redirect",
		"user.overlay.",
		"trusted.overlay.opaque",
		"security.selinux",
		"system.posix_acl",
		"security.capability.more",
		"user",
		"trusted.x",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		run("rm -rf new; mkdir new");
		stream_begin();
		put_simple(KEEP_FILE, "f");
		put_attribute(names[i], "y", 1);
		put_end();
		assert_refused();
	}
	run("rm -rf new; mkdir new");
	stream_begin();
	put_simple(KEEP_FILE, "f");
	put_attribute("user.nul", "", 0);
	assert_true(lseek(stream.fd, -1, SEEK_CUR) > 0);
	assert_int_equal(write(stream.fd, "", 1), 1);
	put_end();
	assert_refused();
}

static void attributes_count_as_content(void **state)
{
	struct keep_result result;

	(void)state;
	limits.bytes_max = 1000;
	stream_begin();
	put_simple(KEEP_FILE, "f");
	for (unsigned i = 0; i < 1000 / (40 + 6); i++)
		put_attribute("user.a", "", 0);
	put_attribute("user.a", "", 0);
	result = collect();
	limits.bytes_max = 1000000;
	assert_false(result.complete);
	assert_non_null(strstr(result.why, "memory"));
}

/* As set-user-ID bits; and what the host says no to is told of. */
static void capabilities_are_not_given_and_refusals_are_named(void **state)
{
	/* Version 2, effective, CAP_SYS_ADMIN. */
	static const uint32_t capability[] = { 0x02000001, 1u << 21, 0, 0, 0 };
	struct keep_record su = { .type = KEEP_FILE, .mode = 04755 };
	struct keep_result result;

	(void)state;
	stream_begin();
	put_simple(KEEP_FILE, "f");
	put_attribute("security.capability", capability, sizeof(capability));
	stream_put(&su, "both", "");
	put_attribute("security.capability", capability, sizeof(capability));
	put_simple(KEEP_FILE, "g\033");
	put_attribute("system.posix_acl_access", "nonsense", 8);
	put_attribute("system.posix_acl_access", "", 0);
	put_end();
	result = collect();
	assert_true(result.complete);
	assert_int_equal(result.identity_count, 2);
	assert_attribute("new/f", "security.capability", NULL, -1);
	assert_true(result.refused_count > 0);
	assert_non_null(strstr(result.refused, "system.posix_acl_access of g?: "));
}

/* ---- from end to end ---- */

static void *send_upper(void *opaque)
{
	int upper_fd = open_dir("upper");
	int *fd = opaque;

	assert_int_equal(keep_send(*fd, upper_fd), 0);
	close(upper_fd);
	close(*fd);
	return NULL;
}

/* Sends "upper" as guest-init does, to be collected in "new". */
static struct keep_result send_all(void)
{
	struct keep_limits many = { .bytes_max = MEMORY_LEN, .entries_max = 10000 };
	struct keep_result result;
	int new_fd = open_dir("new");
	pthread_t thread;
	int fds[2];

	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	/* As the port is; the reader blocks. */
	assert_int_equal(fcntl(fds[1], F_SETFL, O_NONBLOCK), 0);
	assert_int_equal(pthread_create(&thread, NULL, send_upper, &fds[1]), 0);
	keep_collect(fds[0], new_fd, &many, &result);
	pthread_join(thread, NULL);
	close(fds[0]);
	close(new_fd);
	return result;
}

static void all_that_was_written_arrives(void **state)
{
	struct keep_result result;

	(void)state;
	run("cd upper; mkdir -p a/b/c empty; seq 200000 >a/b/big; echo 1 >a/one; ln a/one a/b/two");
	run("cd upper; mknod gone c 0 0; mkfifo fifo; ln -s nowhere link; chmod 711 a; : >nothing");
	run("cd upper; truncate -s 3M sparse; echo end >>sparse; touch -d @12345.678 a/one a/b");
	result = send_all();
	assert_string_equal(result.why, "");
	assert_true(result.complete);
	run("diff -r --no-dereference -x gone -x fifo upper new; test -p new/fifo; test -c "
	    "new/gone");
	run("for i in upper new; do (cd $i; find . -mindepth 1 -printf '%p %y %m %n %l %T@ ' "
	    "\\( -type f -printf %s -o -printf - \\) -printf '\\n' | grep -v gone | sort) "
	    ">$i.list; done; "
	    "diff upper.list new.list; rm upper.list new.list");
	run("test $(stat -c %b new/sparse) -lt 100; test new/a/one -ef new/a/b/two");
}

static void attributes_that_were_written_arrive(void **state)
{
	static const char *const files[] = { "f", "d", "d/sub/f", "d/sub" };
	char path[64];

	(void)state;
	if (geteuid() != 0)
		skip_because("only root reads what its owner may not, as guest-init does");
	run("mkdir -p upper/d/sub; echo 1 >upper/f; ln upper/f upper/d/f; echo 2 >upper/d/sub/f");
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		snprintf(path, sizeof(path), "upper/%s", files[i]);
		set_or_skip(path, "user.name", files[i], strlen(files[i]));
		set_or_skip(path, "user.overlay.redirect", "/nowhere", 8);
		set_or_skip(path, "system.posix_acl_access", &acl, sizeof(acl));
	}
	set_or_skip("upper/d", "system.posix_acl_default", &acl, sizeof(acl));
	assert_true(send_all().complete);
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		snprintf(path, sizeof(path), "new/%s", files[i]);
		assert_attribute(path, "user.name", files[i], (ssize_t)strlen(files[i]));
		assert_attribute(path, "user.overlay.redirect", NULL, -1);
		assert_attribute(path, "system.posix_acl_default", &acl,
				 strcmp(files[i], "d") == 0 ? (ssize_t)sizeof(acl) : -1);
	}
	assert_attribute("new/d/f", "user.name", "f", 1);
	/* The owner reads what is his all the same. */
	run("test $(stat -c %a new/d/sub/f) = 440");
}

static void many_files_arrive(void **state)
{
	struct keep_result result;

	(void)state;
	run("cd upper; for i in $(seq 3000); do echo $i >$i; done");
	result = send_all();
	assert_true(result.complete);
	run("diff -r upper new");
}

/* ---- merging ---- */

static void merge(void)
{
	int from_fd = open_dir("new"), to_fd = open_dir("keep"), trash_fd = open_dir("trash");

	assert_int_equal(keep_merge(from_fd, to_fd, trash_fd, "keep", false), 0);
	assert_true(keep_is_empty(from_fd));
	close(from_fd);
	close(to_fd);
	close(trash_fd);
}

static bool is_opaque(const char *name)
{
	int fd = open_dir(name);
	char value = 0;
	bool opaque = fgetxattr(fd, KEEP_OPAQUE_NAME, &value, 1) == 1 && value == 'y';

	close(fd);
	return opaque;
}

/* False where the file system has no such attributes. */
static bool make_opaque(const char *name)
{
	int fd = open_dir(name);
	int ret = fsetxattr(fd, KEEP_OPAQUE_NAME, "y", 1, 0);

	close(fd);
	return ret == 0;
}

static void what_is_new_replaces_what_was_kept(void **state)
{
	(void)state;
	if (!make_opaque("upper"))
		skip();
	run("cd keep; mkdir -p both/old emptied/x dir; echo 1 >file; echo 1 >both/file; "
	    "echo 1 >both/stays; mknod back c 0 0; echo 1 >thing; ln -s x link; touch dir/x");
	run("cd new; mkdir -p both/new back thing; echo 2 >file; echo 2 >both/file; chmod 750 both;"
	    "mknod emptied c 0 0; echo 2 >back/f; echo 2 >dir; echo 2 >link; echo 2 >added");
	merge();
	run("cd keep; test $(cat file)$(cat both/file)$(cat both/stays)$(cat link)$(cat dir) = "
	    "22122; test -d both/old; test -d both/new; test -c emptied; test $(cat back/f) = 2");
	run("cd keep; test $(stat -c %a both) = 750; test -d thing; test $(cat added) = 2");
	/* What hid the layers below goes on to. */
	assert_true(is_opaque("keep/back"));
	assert_true(is_opaque("keep/thing"));
	assert_false(is_opaque("keep/both"));
}

static void opaque_directories_replace_all(void **state)
{
	(void)state;
	run("mkdir -p keep/d/old new/d; echo 2 >new/d/file");
	if (!make_opaque("new/d"))
		skip();
	merge();
	run("test ! -e keep/d/old; test $(cat keep/d/file) = 2");
	assert_true(is_opaque("keep/d"));
	/* And stay so when something is added to them. */
	run("mkdir -p new/d; echo 3 >new/d/more");
	merge();
	assert_true(is_opaque("keep/d"));
	run("test $(cat keep/d/file keep/d/more | tr -d '\\n') = 23");
}

static void attributes_of_directories_are_the_new_ones(void **state)
{
	struct acl given = acl;

	(void)state;
	given.entries[0].rights = 7;
	run("mkdir -p keep/d/old new/d; touch new/d/f");
	set_or_skip("keep/d", "user.gone", "1", 1);
	set_or_skip("keep/d", "user.other", "1", 1);
	set_or_skip("keep/d", "user.overlay.opaque", "y", 1);
	set_or_skip("keep/d", "system.posix_acl_access", &given, sizeof(given));
	set_or_skip("new/d", "user.other", "2", 1);
	set_or_skip("new/d", "user.added", "3", 1);
	set_or_skip("new/d", "system.posix_acl_default", &given, sizeof(given));
	run("chmod 700 new/d");
	merge();
	assert_attribute("keep/d", "user.gone", NULL, -1);
	assert_attribute("keep/d", "user.other", "2", 1);
	assert_attribute("keep/d", "user.added", "3", 1);
	assert_attribute("keep/d", "user.overlay.opaque", "y", 1);
	assert_attribute("keep/d", "system.posix_acl_access", NULL, -1);
	assert_attribute("keep/d", "system.posix_acl_default", &given, sizeof(given));
	run("test $(stat -c %a keep/d) = 700; test -d keep/d/old; test -f keep/d/f");
}

static void links_in_what_was_kept_are_not_entered(void **state)
{
	(void)state;
	if (!make_opaque("trash"))
		skip();
	run("ln -s ../upper keep/d; mkdir new/d; echo 2 >new/d/file");
	merge();
	run("test ! -e upper/file; test ! -L keep/d; test $(cat keep/d/file) = 2");
	run("mkdir -p upper/x; touch upper/x/stays; ln -s ../upper keep/gone");
	{
		int fd = open_dir("keep");

		assert_int_equal(keep_remove(fd, "gone"), 0);
		assert_int_equal(keep_remove(fd, "d"), 0);
		assert_int_equal(keep_remove(fd, "never was"), 0);
		assert_true(keep_is_empty(fd));
		close(fd);
	}
	run("test -e upper/x/stays");
}

/* ---- the whole ---- */

/*
 * What is on the disk before what: Sync of a file system or of a file, Renames (W: to "whole"),
 * Unlinked files and directories. Of equal steps in a row one letter stands. These take the place
 * of libc's in this program.
 */
static char steps[32];
static bool disk_is_broken;

static void note_step(char step)
{
	size_t len = strlen(steps);

	if (len + 1 < sizeof(steps) && (len == 0 || steps[len - 1] != step))
		steps[len] = step;
}

int syncfs(int fd)
{
	note_step('S');
	if (disk_is_broken) {
		errno = EIO;
		return -1;
	}
	return (int)syscall(SYS_syncfs, fd);
}

int fsync(int fd)
{
	note_step('S');
	return (int)syscall(SYS_fsync, fd);
}

int renameat(int from_fd, const char *from, int to_fd, const char *to)
{
	note_step(strcmp(to, "whole") == 0 ? 'W' : 'R');
	return (int)syscall(SYS_renameat2, from_fd, from, to_fd, to, 0);
}

int unlinkat(int dir_fd, const char *name, int flags)
{
	int ret = (int)syscall(SYS_unlinkat, dir_fd, name, flags);

	if (ret == 0)
		note_step('U');
	return ret;
}

static char keep_path[128];

/* Of what was kept before; closed. -1: there was nothing. */
static int image_fd;

static struct keep *make_keep(void)
{
	struct keep *keep;

	snprintf(keep_path, sizeof(keep_path), "%s/keep", dir);
	assert_int_equal(keep_create(&keep, keep_path, MEMORY_LEN, &image_fd), 0);
	if (image_fd >= 0)
		close(image_fd);
	return keep;
}

static void give(struct keep *keep)
{
	char bytes[4096];
	ssize_t len;

	assert_int_equal(lseek(stream.fd, 0, SEEK_SET), 0);
	while ((len = read(stream.fd, bytes, sizeof(bytes))) > 0)
		assert_int_equal(write(keep_get_fd(keep), bytes, (size_t)len), len);
	close(stream.fd);
}

static void whole_streams_are_put_in_place(void **state)
{
	struct keep *keep = make_keep();

	(void)state;
	assert_int_equal(image_fd, -1);
	stream_begin();
	put_file("a", 0600, "one");
	put_end();
	give(keep);
	keep_destroy(keep, true);
	run("test $(cat keep/a) = one; test -z \"$(ls -A | grep vmm-keep)\"");
	keep = make_keep();
	assert_true(image_fd >= 0);
	keep_destroy(keep, false);
	run("test $(cat keep/a) = one; test -z \"$(ls -A | grep vmm-keep)\"");
}

static void half_streams_change_nothing(void **state)
{
	struct keep *keep;

	(void)state;
	run("echo old >keep/a");
	keep = make_keep();
	stream_begin();
	put_file("a", 0600, "one");
	give(keep);
	log_set_level(LOG_LEVEL_ERR);
	keep_destroy(keep, true);
	run("test $(cat keep/a) = old; test $(ls -A keep) = a; test -z \"$(ls -A | grep "
	    "vmm-keep)\"");
}

/* Whenever the power goes: what DIR has is the old or the new, or the new waits whole beside it. */
static void each_step_is_on_the_disk_before_the_next(void **state)
{
	struct keep *keep = make_keep();

	(void)state;
	stream_begin();
	put_file("a", 0600, "one");
	put_end();
	give(keep);
	memset(steps, 0, sizeof(steps));
	keep_destroy(keep, true);
	assert_string_equal(steps, "SWSRSU");
}

static void what_does_not_get_to_the_disk_is_not_kept(void **state)
{
	struct keep *keep;

	(void)state;
	run("echo old >keep/a");
	keep = make_keep();
	stream_begin();
	put_file("a", 0600, "one");
	put_end();
	give(keep);
	disk_is_broken = true;
	keep_destroy(keep, true);
	disk_is_broken = false;
	run("test $(cat keep/a) = old; test -z \"$(ls -A | grep vmm-keep)\"");
}

static void two_runs_do_not_keep_in_one_place(void **state)
{
	struct keep *keep = make_keep(), *other;
	int fd;

	(void)state;
	assert_int_equal(keep_create(&other, keep_path, MEMORY_LEN, &fd), -EBUSY);
	assert_int_equal(keep_lock(keep_path, &fd), -EBUSY);
	keep_destroy(keep, false);
	assert_int_equal(keep_lock(keep_path, &fd), 0);
	close(fd);
}

/* However far a killed run had come. */
static void killed_runs_are_finished_or_forgotten(void **state)
{
	(void)state;
	run("s=.vmm-keep-$(stat -c %i keep); mkdir -p $s/new; echo half >$s/new/a; echo old "
	    ">keep/a");
	keep_destroy(make_keep(), false);
	run("test $(cat keep/a) = old; test -z \"$(ls -A | grep vmm-keep)\"");
	if (!make_opaque("upper"))
		return;
	run("s=.vmm-keep-$(stat -c %i keep); mkdir -p $s/whole/d $s/old/0; echo new >$s/whole/a; "
	    "echo new >$s/whole/d/b; touch $s/old/1; echo old >keep/d");
	keep_destroy(make_keep(), false);
	run("test $(cat keep/a) = new; test $(cat keep/d/b) = new; "
	    "test -z \"$(ls -A | grep vmm-keep)\"");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(names_are_of_one_part),
		TEST(headers_hold_what_their_type_has),
		TEST(records_become_files),
		TEST(rights_of_others_are_not_given),
		TEST(what_is_kept_can_be_read),
		TEST(holes_stay_holes),
		TEST(names_that_lead_elsewhere_are_refused),
		TEST(links_are_not_followed),
		TEST(order_is_kept_to),
		TEST(limits_hold),
		TEST(half_a_stream_is_not_whole),
		TEST(words_of_the_machine_are_printable),
		TEST(attributes_arrive),
		TEST(directories_have_attributes_last),
		TEST(other_attributes_are_refused),
		TEST(attributes_count_as_content),
		TEST(capabilities_are_not_given_and_refusals_are_named),
		TEST(all_that_was_written_arrives),
		TEST(attributes_that_were_written_arrive),
		TEST(many_files_arrive),
		TEST(what_is_new_replaces_what_was_kept),
		TEST(opaque_directories_replace_all),
		TEST(attributes_of_directories_are_the_new_ones),
		TEST(links_in_what_was_kept_are_not_entered),
		TEST(whole_streams_are_put_in_place),
		TEST(half_streams_change_nothing),
		TEST(each_step_is_on_the_disk_before_the_next),
		TEST(what_does_not_get_to_the_disk_is_not_kept),
		TEST(two_runs_do_not_keep_in_one_place),
		TEST(killed_runs_are_finished_or_forgotten),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
