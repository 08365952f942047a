/*
 * What a machine says that its command wrote, of any bytes, made into files and put over what was
 * kept. Checked: nothing appears or changes outside of the directory that is collected in; no
 * device but a mark of what was deleted, and nobody's rights, come out; limits hold; and what is
 * whole can be merged, with nothing left over.
 *
 * The first byte says how the rest is read: bit 0, as it is, or with the headers' lengths, types
 * and the beginning put right, so that mutations get further.
 */
#include <assert.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "tests/fuzz/quiet_log.h"
#include "vmm/boundary/keep_collect.h"
#include "vmm/boundary/keep_merge.h"
#include "vmm/boundary/keep_parse.h"

#define ENTRIES_MAX 40
#define BYTES_MAX   100000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static int top_fd = -1;
static char top[] = "/dev/shm/fuzz_keep.XXXXXX";

static void at_exit(void)
{
	rmdir(top);
}

static int make_in(const char *name)
{
	assert(mkdirat(top_fd, name, 0700) == 0);
	return openat(top_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static void put_file(int dir_fd, const char *name, const char *text)
{
	int fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	assert(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	close(fd);
}

static void check_file(int dir_fd, const char *name, const char *text)
{
	int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC);
	char bytes[16] = "";

	assert(fd >= 0 && read(fd, bytes, sizeof(bytes)) == (ssize_t)strlen(text));
	assert(memcmp(bytes, text, strlen(text)) == 0);
	close(fd);
}

/* An overlay's own mark can be set by its record alone, and nothing that gives rights. */
static void check_attributes(int fd)
{
	char names[65536];
	ssize_t len = flistxattr(fd, names, sizeof(names));

	assert(len >= 0);
	for (const char *name = names; name < names + len; name += strlen(name) + 1) {
		assert(strcmp(name, KEEP_OPAQUE_NAME) == 0 || keep_is_attribute(name));
		assert(strcmp(name, KEEP_CAPABILITY) != 0);
	}
}

/* How many entries there are in the tree, all of which must be harmless. */
static unsigned check_tree(int dir_fd)
{
	int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fdopendir(fd);
	struct dirent *entry;
	unsigned count = 0;

	assert(dir);
	while ((entry = readdir(dir))) {
		struct stat st;

		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		count++;
		assert(fstatat(fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0);
		assert(!S_ISBLK(st.st_mode) && (!S_ISCHR(st.st_mode) || st.st_rdev == 0));
		assert(S_ISDIR(st.st_mode) || !(st.st_mode & (S_ISUID | S_ISGID)));
		assert(st.st_uid == geteuid());
		if (S_ISREG(st.st_mode)) {
			int file_fd = openat(fd, entry->d_name, O_RDONLY | O_CLOEXEC);

			assert(file_fd >= 0);
			check_attributes(file_fd);
			close(file_fd);
		}
		if (S_ISDIR(st.st_mode)) {
			int below_fd =
				openat(fd, entry->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

			assert(below_fd >= 0);
			check_attributes(below_fd);
			count += check_tree(below_fd);
			close(below_fd);
		}
	}
	closedir(dir);
	return count;
}

static const char *const attributes[] = {
	"user.a",
	"user.overlay.redirect",
	"system.posix_acl_access",
	"system.posix_acl_default",
	"security.capability",
	"trusted.overlay.opaque",
	"user.b/c",
	"user.",
};

/* Writes records that keep_parse takes, of what DATA says. */
static void put_right(int fd, const uint8_t *data, size_t len)
{
	struct keep_record record = { .type = KEEP_BEGIN, .size = KEEP_MAGIC };
	uint8_t header[KEEP_HEADER_LEN];
	uint64_t count = 0;

	keep_encode(header, &record);
	assert(write(fd, header, sizeof(header)) == sizeof(header));
	while (len >= 4) {
		size_t name_len = data[1] % 8, payload_len = data[2] % 32;
		const char *name = NULL; /* another than what DATA has */

		count++;
		record = (struct keep_record){ .type = (uint8_t)(KEEP_DIR + data[0] % 11),
					       .mode = data[3] * 16u & 07777,
					       .size = data[3] };
		if (record.type == KEEP_NODE)
			record.mode |= data[3] & 1 ? S_IFIFO : S_IFBLK;
		if (record.type == KEEP_END)
			record.size = count;
		if (record.type == KEEP_ATTRIBUTE) {
			name = attributes[name_len];
			record.mode = 0;
			record.flags = record.size & KEEP_OF_DIR;
		}
		data += 4;
		len -= 4;
		if (name || record.type == KEEP_UP || record.type == KEEP_DATA ||
		    record.type >= KEEP_END)
			name_len = 0;
		if (record.type == KEEP_DIR || record.type == KEEP_UP || record.type == KEEP_FILE ||
		    (record.type >= KEEP_NODE && record.type <= KEEP_END))
			payload_len = 0;
		if (record.type == KEEP_DIR)
			record.flags = record.size & KEEP_OPAQUE;
		if (name_len + payload_len > len)
			return;
		record.name_len = (uint16_t)(name ? strlen(name) : name_len);
		record.payload_len = (uint32_t)payload_len;
		keep_encode(header, &record);
		assert(write(fd, header, sizeof(header)) == sizeof(header));
		if (name)
			assert(write(fd, name, record.name_len) == record.name_len);
		assert(write(fd, data, name_len + payload_len) >= 0);
		data += name_len + payload_len;
		len -= name_len + payload_len;
	}
}

static void make_kept(int keep_fd)
{
	int fd;

	assert(mkdirat(keep_fd, "d", 0700) == 0);
	fd = openat(keep_fd, "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	put_file(fd, "f", "old");
	close(fd);
	put_file(keep_fd, "f", "old");
	assert(symlinkat("../outside", keep_fd, "l") == 0);
	assert(mknodat(keep_fd, "w", S_IFCHR, 0) == 0);
}

static void collect_and_merge(int in_fd)
{
	struct keep_limits limits = { .bytes_max = BYTES_MAX, .entries_max = ENTRIES_MAX };
	struct keep_result result;
	int new_fd = make_in("new"), keep_fd = make_in("keep"), trash_fd = make_in("trash");
	int outside_fd = make_in("outside");

	put_file(outside_fd, "f", "mine");
	make_kept(keep_fd);
	keep_collect(in_fd, new_fd, &limits, &result);
	assert(!result.complete || (result.begun && !*result.why));
	assert(strlen(result.why) < sizeof(result.why));
	assert(check_tree(new_fd) <= ENTRIES_MAX);
	if (result.complete) {
		assert(keep_merge(new_fd, keep_fd, trash_fd, "keep", false) == 0);
		assert(keep_is_empty(new_fd));
		check_tree(keep_fd);
	} else {
		check_file(keep_fd, "f", "old");
	}
	check_file(outside_fd, "f", "mine");
	assert(check_tree(outside_fd) == 1);
	close(new_fd);
	close(keep_fd);
	close(trash_fd);
	close(outside_fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const char *const names[] = { "new", "keep", "trash", "outside" };
	int in_fd;

	if (len < 1)
		return 0;
	if (top_fd < 0) {
		assert(mkdtemp(top));
		top_fd = open(top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		atexit(at_exit);
	}
	in_fd = memfd_create("stream", MFD_CLOEXEC);
	assert(top_fd >= 0 && in_fd >= 0);
	if (data[0] & 1)
		put_right(in_fd, data + 1, len - 1);
	else
		assert(write(in_fd, data + 1, len - 1) == (ssize_t)(len - 1));
	assert(lseek(in_fd, 0, SEEK_SET) == 0);
	collect_and_merge(in_fd);
	close(in_fd);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		assert(keep_remove(top_fd, names[i]) == 0);
	assert(check_tree(top_fd) == 0);
	return 0;
}
