/*
 * The walk through what was written; see keep_send.h. A directory's attributes follow what is in
 * it (what is made in it could inherit some), holes in files are left out, and what has several
 * names is sent once.
 */
#include "vmm/guest/keep_send.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "vmm/guest/keep.h"
#include "vmm/guest/text.h"

/* As much as the port's driver takes at once. */
#define OUT_LEN	     32768u
#define BUCKET_COUNT 1024u

/* The first name of a file that has several. */
struct known {
	struct known *next;
	ino_t inode;
	char path[];
};

struct sender {
	int fd;
	int error; /* of the port: nobody hears us */
	size_t len;
	uint64_t record_count;
	size_t path_len;
	char path[KEEP_PATH_MAX + 1]; /* of the directory that is sent */
	struct known *known[BUCKET_COUNT];
	uint8_t out[OUT_LEN];
	char names[KEEP_VALUE_MAX]; /* of attributes */
	uint8_t value[KEEP_VALUE_MAX];
};

/* ---- the port ---- */

static void flush(struct sender *sender)
{
	size_t done = 0;

	while (done < sender->len && !sender->error) {
		struct pollfd port = { .fd = sender->fd, .events = POLLOUT };
		ssize_t part = write(sender->fd, sender->out + done, sender->len - done);

		if (part > 0)
			done += (size_t)part;
		else if (errno == EAGAIN)
			poll(&port, 1, -1);
		else if (errno != EINTR)
			sender->error = -errno;
	}
	sender->len = 0;
}

static void put(struct sender *sender, const void *data, size_t len)
{
	while (len > 0) {
		size_t room = OUT_LEN - sender->len;
		size_t part = len < room ? len : room;

		memcpy(sender->out + sender->len, data, part);
		sender->len += part;
		data = (const char *)data + part;
		len -= part;
		if (sender->len == OUT_LEN)
			flush(sender);
	}
}

static void put_record(struct sender *sender, struct keep_record record, const char *name,
		       const void *payload, size_t payload_len)
{
	uint8_t header[KEEP_HEADER_LEN];

	record.name_len = (uint16_t)strlen(name);
	record.payload_len = (uint32_t)payload_len;
	keep_encode(header, &record);
	put(sender, header, sizeof(header));
	put(sender, name, record.name_len);
	put(sender, payload, payload_len);
	sender->record_count++;
}

static struct keep_record make_record(enum keep_type type, const struct stat *st)
{
	return (struct keep_record){
		.type = (uint8_t)type,
		.mode = st->st_mode & 07777,
		.uid = st->st_uid,
		.gid = st->st_gid,
		.mtime_sec = st->st_mtim.tv_sec,
		.mtime_nsec = (uint32_t)st->st_mtim.tv_nsec,
	};
}

static int fail(struct sender *sender, const char *name, int error)
{
	struct keep_record record = { .type = KEEP_FAILED };
	char text[KEEP_TEXT_MAX + 1], path[101], short_name[61];

	text_join(path, sizeof(path), sender->path);
	text_join(short_name, sizeof(short_name), name);
	text_join(text, sizeof(text), "/", path, sender->path_len ? "/" : "", short_name, ": ",
		  strerror(error));
	put_record(sender, record, "", text, strlen(text));
	flush(sender);
	return -error;
}

/* ---- extended attributes ---- */

static int put_attributes(struct sender *sender, int fd, uint8_t flags)
{
	struct keep_record record = { .type = KEEP_ATTRIBUTE, .flags = flags };
	ssize_t len = flistxattr(fd, sender->names, sizeof(sender->names));

	if (len < 0)
		return errno == EOPNOTSUPP ? 0 : -errno;
	for (const char *name = sender->names; name < sender->names + len;
	     name += strlen(name) + 1) {
		ssize_t value_len;

		if (!keep_is_attribute(name))
			continue;
		value_len = fgetxattr(fd, name, sender->value, sizeof(sender->value));
		if (value_len < 0)
			return -errno;
		put_record(sender, record, name, sender->value, (size_t)value_len);
	}
	return 0;
}

/* ---- files ---- */

/* The bytes from AT to END, straight into what goes out. */
static int put_extent(struct sender *sender, int fd, off_t at, off_t end)
{
	while (at < end && !sender->error) {
		struct keep_record record = { .type = KEEP_DATA, .size = (uint64_t)at };
		size_t want;
		ssize_t got;

		if (OUT_LEN - sender->len < KEEP_HEADER_LEN + KEEP_HEADER_LEN)
			flush(sender);
		want = OUT_LEN - sender->len - KEEP_HEADER_LEN;
		if ((off_t)want > end - at)
			want = (size_t)(end - at);
		got = pread(fd, sender->out + sender->len + KEEP_HEADER_LEN, want, at);
		if (got < 0)
			return -errno;
		if (got == 0)
			return 0;
		record.payload_len = (uint32_t)got;
		keep_encode(sender->out + sender->len, &record);
		sender->len += KEEP_HEADER_LEN + (size_t)got;
		sender->record_count++;
		at += got;
	}
	return sender->error;
}

static int put_data(struct sender *sender, int fd, off_t size)
{
	off_t end = 0;
	int ret = 0;

	while (ret == 0 && end < size) {
		off_t at = lseek(fd, end, SEEK_DATA);

		if (at < 0)
			return errno == ENXIO ? 0 : -errno;
		end = lseek(fd, at, SEEK_HOLE);
		if (end < 0)
			return -errno;
		ret = put_extent(sender, fd, at, end < size ? end : size);
	}
	return ret;
}

static int put_file(struct sender *sender, int dir_fd, const char *name, const struct stat *st)
{
	struct keep_record record = make_record(KEEP_FILE, st);
	int fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	int ret;

	if (fd < 0)
		return -errno;
	record.size = (uint64_t)st->st_size;
	put_record(sender, record, name, NULL, 0);
	ret = put_attributes(sender, fd, 0);
	if (ret == 0)
		ret = put_data(sender, fd, st->st_size);
	close(fd);
	return ret;
}

/* Puts NAME behind a path of LEN bytes that has room for it; how long it is then. */
static size_t append_name(char *path, size_t len, const char *name)
{
	size_t name_len = strlen(name);

	if (len)
		path[len++] = '/';
	memcpy(path + len, name, name_len + 1);
	return len + name_len;
}

/* Whether the file of ST was sent under another name, which goes out instead; else notes this one.
 */
static bool put_known(struct sender *sender, const char *name, const struct stat *st)
{
	struct known **bucket = &sender->known[st->st_ino % BUCKET_COUNT];
	struct keep_record record = { .type = KEEP_LINK };
	size_t len = sender->path_len + strlen(name) + 2;
	struct known *known = *bucket;

	while (known && known->inode != st->st_ino)
		known = known->next;
	if (known) {
		put_record(sender, record, name, known->path, strlen(known->path));
		return true;
	}
	known = len <= KEEP_PATH_MAX ? malloc(sizeof(*known) + len) : NULL;
	if (!known)
		return false; /* sent as another file */
	memcpy(known->path, sender->path, sender->path_len);
	append_name(known->path, sender->path_len, name);
	known->inode = st->st_ino;
	known->next = *bucket;
	*bucket = known;
	return false;
}

static int put_symlink(struct sender *sender, int dir_fd, const char *name, const struct stat *st)
{
	char target[KEEP_PATH_MAX + 1];
	ssize_t len = readlinkat(dir_fd, name, target, sizeof(target));

	if (len < 0)
		return -errno;
	put_record(sender, make_record(KEEP_SYMLINK, st), name, target, (size_t)len);
	return 0;
}

static void put_node(struct sender *sender, const char *name, const struct stat *st)
{
	struct keep_record record = make_record(KEEP_NODE, st);

	record.mode = st->st_mode;
	if (S_ISCHR(st->st_mode) && st->st_rdev == 0)
		record = (struct keep_record){ .type = KEEP_WHITEOUT };
	put_record(sender, record, name, NULL, 0);
}

/* ---- directories ---- */

static int put_all(struct sender *sender, int dir_fd, unsigned depth);

static int put_dir(struct sender *sender, int parent_fd, const char *name, const struct stat *st,
		   unsigned depth)
{
	struct keep_record record = make_record(KEEP_DIR, st);
	int fd = openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	size_t old_len = sender->path_len;
	char opaque = 0;
	int ret;

	if (fd < 0)
		return fail(sender, name, errno);
	if (depth == KEEP_DEPTH_MAX || old_len + strlen(name) + 2 > KEEP_PATH_MAX) {
		close(fd);
		return fail(sender, name, ENAMETOOLONG);
	}
	if (fgetxattr(fd, "trusted.overlay.opaque", &opaque, 1) == 1 && opaque == 'y')
		record.flags = KEEP_OPAQUE;
	put_record(sender, record, name, NULL, 0);
	sender->path_len = append_name(sender->path, old_len, name);
	ret = put_all(sender, fd, depth + 1);
	sender->path_len = old_len;
	sender->path[old_len] = '\0';
	if (ret == 0)
		put_record(sender, make_record(KEEP_UP, st), "", NULL, 0);
	return ret;
}

static int put_entry(struct sender *sender, int dir_fd, const char *name, unsigned depth)
{
	struct stat st;
	int ret = 0;

	if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return fail(sender, name, errno);
	if (S_ISDIR(st.st_mode))
		return put_dir(sender, dir_fd, name, &st, depth);
	if (S_ISLNK(st.st_mode))
		ret = put_symlink(sender, dir_fd, name, &st);
	else if (!S_ISREG(st.st_mode))
		put_node(sender, name, &st);
	else if (st.st_nlink == 1 || !put_known(sender, name, &st))
		ret = put_file(sender, dir_fd, name, &st);
	if (ret < 0 && !sender->error)
		return fail(sender, name, -ret);
	return sender->error;
}

/* Takes DIR_FD over. */
static int put_all(struct sender *sender, int dir_fd, unsigned depth)
{
	DIR *dir = fdopendir(dir_fd);
	struct dirent *entry;
	int ret = 0;

	if (!dir) {
		ret = errno;
		close(dir_fd);
		return fail(sender, ".", ret);
	}
	while (ret == 0 && (errno = 0, entry = readdir(dir))) {
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			ret = put_entry(sender, dir_fd, entry->d_name, depth);
	}
	if (ret == 0) {
		ret = errno ? -errno : depth ? put_attributes(sender, dirfd(dir), KEEP_OF_DIR) : 0;
		if (ret < 0)
			ret = fail(sender, ".", -ret);
	}
	closedir(dir);
	return ret;
}

static void forget_known(struct sender *sender)
{
	for (unsigned i = 0; i < BUCKET_COUNT; i++) {
		while (sender->known[i]) {
			struct known *known = sender->known[i];

			sender->known[i] = known->next;
			free(known);
		}
	}
}

int keep_send(int port_fd, int upper_fd)
{
	struct sender *sender = calloc(1, sizeof(*sender));
	struct keep_record record = { .type = KEEP_BEGIN, .size = KEEP_MAGIC };
	int fd = fcntl(upper_fd, F_DUPFD_CLOEXEC, 3);
	int ret;

	if (!sender || fd < 0) {
		free(sender);
		if (fd >= 0)
			close(fd);
		return -ENOMEM;
	}
	sender->fd = port_fd;
	put_record(sender, record, "", NULL, 0);
	ret = put_all(sender, fd, 0);
	if (ret == 0) {
		record = (struct keep_record){ .type = KEEP_END, .size = sender->record_count };
		put_record(sender, record, "", NULL, 0);
		flush(sender);
		ret = sender->error;
	}
	forget_known(sender);
	free(sender);
	return ret;
}
