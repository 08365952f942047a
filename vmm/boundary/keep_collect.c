/*
 * Records into files. See keep_collect.h.
 *
 * One directory is open at a time, the one that records are about; its path is made of checked
 * names. Directories are opened by that path alone, beneath the top and through no link, whatever
 * the guest has had made there. A file is closed, and gets its attributes, when the next record
 * that is not about its content comes; a directory when it is left.
 */
#include "vmm/boundary/keep_collect.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>

#include "vmm/boundary/keep_parse.h"

#define PIECE_LEN KEEP_VALUE_MAX
/* What an attribute costs a guest's memory besides its name and value at least. */
#define ATTRIBUTE_LEN_MIN 40

struct collector {
	int in_fd;
	int top_fd; /* borrowed */
	int dir_fd;
	int file_fd;		 /* -1: no file is open */
	struct keep_record file; /* its attributes */
	const struct keep_limits *limits;
	struct keep_result *result;
	uint64_t record_count;
	uint64_t entry_count;
	uint64_t byte_count;
	unsigned depth;
	bool leaving; /* the directory: nothing but its attributes follows */
	size_t path_len;
	char path[KEEP_PATH_MAX + 1]; /* of dir_fd; "" at the top */
	char name[KEEP_NAME_MAX + 1]; /* of this record */
	char attribute[KEEP_NAME_MAX + 1];
	char payload[KEEP_PATH_MAX + 1];
	uint8_t piece[PIECE_LEN];
};

/* ---- errors: the first one stays ---- */

static void make_printable(char *text)
{
	for (; *text; text++) {
		if (*text < ' ' || *text > '~')
			*text = '?';
	}
}

static int PRINTF_LIKE(2, 3) fail(struct collector *c, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(c->result->why, sizeof(c->result->why), fmt, args);
	va_end(args);
	make_printable(c->result->why);
	return -EIO;
}

static int fail_lie(struct collector *c, const char *what)
{
	return fail(c, "what the machine sent makes no sense (%s)", what);
}

static int fail_much(struct collector *c)
{
	return fail(c, "it is more than the machine's memory could hold");
}

/* Something of the host's. */
static int fail_errno(struct collector *c, const char *what)
{
	int error = errno;

	return fail(c, "%s %.100s%s%.60s: %s", what, c->path, c->path_len ? "/" : "", c->name,
		    strerror(error));
}

/* ---- the stream ---- */

/* Exactly LEN bytes; 0 at the end of the stream, within a record or not. */
static int read_all(struct collector *c, void *out, size_t len)
{
	size_t done = 0;

	while (done < len) {
		ssize_t part = read(c->in_fd, (char *)out + done, len - done);

		if (part < 0 && errno == EINTR)
			continue;
		if (part < 0)
			return fail_errno(c, "read what the machine sends:");
		if (part == 0)
			return 0;
		done += (size_t)part;
	}
	return 1;
}

static void discard_rest(struct collector *c)
{
	ssize_t part;

	do {
		part = read(c->in_fd, c->piece, sizeof(c->piece));
	} while (part > 0 || (part < 0 && errno == EINTR));
}

/* ---- attributes ---- */

/* Bits that give a program's user another's rights are the host's to give. */
static mode_t choose_mode(struct collector *c, const struct keep_record *record, bool dir)
{
	mode_t mode = record->mode & 07777;

	if (!dir && mode & (S_ISUID | S_ISGID)) {
		c->result->identity_count++;
		mode &= ~(mode_t)(S_ISUID | S_ISGID);
	}
	if (!c->limits->as_root)
		mode |= dir ? S_IRWXU : S_IRUSR;
	return mode;
}

static void get_times(const struct keep_record *record, struct timespec times[2])
{
	times[0] = (struct timespec){ .tv_nsec = UTIME_NOW };
	times[1] = (struct timespec){ .tv_sec = record->mtime_sec, .tv_nsec = record->mtime_nsec };
}

static int set_attributes(struct collector *c, int fd, const struct keep_record *record, bool dir)
{
	struct timespec times[2];

	get_times(record, times);
	/* The owner first: a change of it takes bits away. */
	if ((c->limits->as_root && fchown(fd, record->uid, record->gid) < 0) ||
	    fchmod(fd, choose_mode(c, record, dir)) < 0 || futimens(fd, times) < 0)
		return fail_errno(c, "set owner, mode and time of");
	return 0;
}

/* Of what is not opened, just made, in a directory that is nobody else's. */
static int set_name_attributes(struct collector *c, const struct keep_record *record, bool link)
{
	struct timespec times[2];

	get_times(record, times);
	if ((c->limits->as_root &&
	     fchownat(c->dir_fd, c->name, record->uid, record->gid, AT_SYMLINK_NOFOLLOW) < 0) ||
	    (!link && fchmodat(c->dir_fd, c->name, choose_mode(c, record, false), 0) < 0) ||
	    utimensat(c->dir_fd, c->name, times, AT_SYMLINK_NOFOLLOW) < 0)
		return fail_errno(c, "set owner, mode and time of");
	return 0;
}

static int finish_file(struct collector *c)
{
	int ret;

	if (c->file_fd < 0)
		return 0;
	ret = set_attributes(c, c->file_fd, &c->file, false);
	if (close(c->file_fd) < 0 && ret == 0)
		ret = fail_errno(c, "write");
	c->file_fd = -1;
	return ret;
}

static int set_attribute(struct collector *c, int fd, size_t len)
{
	int ret = fsetxattr(fd, c->attribute, c->piece, len, 0);

	/* An access list that came before may have taken the right from its owner. */
	if (ret < 0 && errno == EACCES && fchmod(fd, S_IRWXU) == 0)
		ret = fsetxattr(fd, c->attribute, c->piece, len, 0);
	if (ret == 0)
		return 1;
	if (errno == EIO)
		return fail_errno(c, "set an attribute of");
	if (c->result->refused_count++ == 0) {
		snprintf(c->result->refused, sizeof(c->result->refused),
			 "%.60s of %.100s%s%.60s: %s", c->attribute, c->path,
			 c->path_len && *c->name ? "/" : "", c->name, strerror(errno));
		make_printable(c->result->refused);
	}
	return 1;
}

/* 0 at the end of the stream. */
static int on_attribute(struct collector *c, const struct keep_record *record)
{
	bool of_dir = record->flags & KEEP_OF_DIR;
	int ret = of_dir ? finish_file(c) : 0;

	if (ret == 0)
		ret = read_all(c, c->attribute, record->name_len);
	c->attribute[record->name_len] = '\0';
	if (ret > 0)
		ret = read_all(c, c->piece, record->payload_len);
	if (ret <= 0)
		return ret;
	if ((of_dir ? c->depth == 0 : c->file_fd < 0) || strlen(c->attribute) != record->name_len ||
	    !keep_is_attribute(c->attribute))
		return fail_lie(c, "an attribute that nothing has");
	c->byte_count += ATTRIBUTE_LEN_MIN + record->name_len + record->payload_len;
	if (c->byte_count > c->limits->bytes_max)
		return fail_much(c);
	if (of_dir) {
		c->leaving = true;
		c->name[0] = '\0';
	}
	if (strcmp(c->attribute, KEEP_CAPABILITY) == 0) {
		/* As a set-user-ID bit, and counted with it. */
		c->result->identity_count += !(c->file.mode & (S_ISUID | S_ISGID));
		return 1;
	}
	return set_attribute(c, of_dir ? c->dir_fd : c->file_fd, record->payload_len);
}

/* ---- directories ---- */

/* -errno when it is not there. */
static int open_below(const struct collector *c, const char *path)
{
	struct open_how how = { .flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC,
				.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS |
					   RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV };
	int fd = (int)syscall(SYS_openat2, c->top_fd, *path ? path : ".", &how, sizeof(how));

	return fd < 0 ? -errno : fd;
}

/* Makes the directory of the path the one that records are about. */
static int move_to_path(struct collector *c)
{
	int fd = open_below(c, c->path);

	if (fd < 0) {
		errno = -fd;
		return fail_errno(c, "open");
	}
	close(c->dir_fd);
	c->dir_fd = fd;
	return 0;
}

static int on_dir(struct collector *c, const struct keep_record *record)
{
	size_t name_len = record->name_len;
	int ret;

	if (c->depth == KEEP_DEPTH_MAX || c->path_len + 1 + name_len > KEEP_PATH_MAX)
		return fail(c, "directories are nested too deeply to be kept");
	if (mkdirat(c->dir_fd, c->name, S_IRWXU) < 0)
		return fail_errno(c, "make");
	if (c->path_len)
		c->path[c->path_len++] = '/';
	memcpy(c->path + c->path_len, c->name, name_len + 1);
	c->path_len += name_len;
	c->depth++;
	c->name[0] = '\0';
	ret = move_to_path(c);
	if (ret == 0 && record->flags & KEEP_OPAQUE &&
	    fsetxattr(c->dir_fd, KEEP_OPAQUE_NAME, "y", 1, 0) < 0)
		return fail_errno(c, "mark as hiding what is below:");
	return ret;
}

static int on_up(struct collector *c, const struct keep_record *record)
{
	char *slash = strrchr(c->path, '/');
	int ret;

	if (c->depth == 0)
		return fail_lie(c, "it leaves the top");
	ret = set_attributes(c, c->dir_fd, record, true);
	if (ret < 0)
		return ret;
	c->path_len = slash ? (size_t)(slash - c->path) : 0;
	c->path[c->path_len] = '\0';
	c->depth--;
	c->leaving = false;
	return move_to_path(c);
}

/* ---- everything else ---- */

static int on_file(struct collector *c, const struct keep_record *record)
{
	c->file_fd =
		openat(c->dir_fd, c->name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
		       S_IRUSR | S_IWUSR);
	if (c->file_fd < 0)
		return fail_errno(c, "make");
	c->file = *record;
	if (ftruncate(c->file_fd, (off_t)record->size) < 0)
		return fail_errno(c, "make");
	return 0;
}

static int write_piece(struct collector *c, size_t len, off_t at)
{
	size_t done = 0;

	while (done < len) {
		ssize_t part = pwrite(c->file_fd, c->piece + done, len - done, at + (off_t)done);

		if (part < 0 && errno == EINTR)
			continue;
		if (part <= 0)
			return fail_errno(c, "write");
		done += (size_t)part;
	}
	return 0;
}

/* The payload, by pieces. 0 at the end of the stream. */
static int on_data(struct collector *c, const struct keep_record *record)
{
	uint64_t at = record->size;
	size_t left = record->payload_len;

	if (c->file_fd < 0 || at + left > c->file.size)
		return fail_lie(c, "content without a file, or beyond its end");
	c->byte_count += left;
	if (c->byte_count > c->limits->bytes_max)
		return fail_much(c);
	while (left > 0) {
		size_t part = left < PIECE_LEN ? left : PIECE_LEN;
		int ret = read_all(c, c->piece, part);

		if (ret > 0 && write_piece(c, part, (off_t)at) < 0)
			ret = -EIO;
		if (ret <= 0)
			return ret;
		at += part;
		left -= part;
	}
	return 1;
}

static int on_symlink(struct collector *c, const struct keep_record *record)
{
	if (memchr(c->payload, '\0', record->payload_len))
		return fail_lie(c, "a link to a name that cannot be");
	if (symlinkat(c->payload, c->dir_fd, c->name) < 0)
		return fail_errno(c, "make");
	return set_name_attributes(c, record, true);
}

static int on_link(struct collector *c, const struct keep_record *record)
{
	auto_close int from_fd = -1;
	char *slash, *name = c->payload;

	if (!keep_is_path(c->payload, record->payload_len))
		return fail_lie(c, "a name that leads elsewhere");
	slash = strrchr(c->payload, '/');
	if (slash) {
		*slash = '\0';
		name = slash + 1;
	}
	from_fd = open_below(c, slash ? c->payload : "");
	if (from_fd < 0)
		return fail_lie(c, "another name of what is not there");
	if (linkat(from_fd, name, c->dir_fd, c->name, 0) < 0)
		return fail_errno(c, "give another name");
	return 0;
}

static int on_node(struct collector *c, const struct keep_record *record)
{
	if (S_ISCHR(record->mode) || S_ISBLK(record->mode)) {
		c->result->device_count++;
		return 0;
	}
	if (mknodat(c->dir_fd, c->name, (record->mode & S_IFMT) | S_IRUSR, 0) < 0)
		return fail_errno(c, "make");
	return set_name_attributes(c, record, false);
}

static int on_whiteout(struct collector *c)
{
	if (mknodat(c->dir_fd, c->name, S_IFCHR, 0) < 0)
		return fail_errno(c, "mark as deleted:");
	return 0;
}

static int on_end(struct collector *c, const struct keep_record *record)
{
	if (c->depth > 0 || record->size != c->record_count)
		return fail_lie(c, "it ends too early");
	c->result->complete = true;
	return 0;
}

static int on_entry(struct collector *c, const struct keep_record *record)
{
	switch (record->type) {
	case KEEP_DIR:
		return on_dir(c, record);
	case KEEP_UP:
		return on_up(c, record);
	case KEEP_FILE:
		return on_file(c, record);
	case KEEP_SYMLINK:
		return on_symlink(c, record);
	case KEEP_LINK:
		return on_link(c, record);
	case KEEP_NODE:
		return on_node(c, record);
	case KEEP_WHITEOUT:
		return on_whiteout(c);
	case KEEP_END:
		return on_end(c, record);
	case KEEP_FAILED:
		return fail(c, "the machine could not read %s", c->payload);
	default:
		return fail_lie(c, "it begins twice");
	}
}

/* Name and payload, where they are short. */
static int read_texts(struct collector *c, const struct keep_record *record)
{
	int ret = read_all(c, c->name, record->name_len);

	c->name[record->name_len] = '\0';
	if (ret <= 0)
		return ret;
	if (record->name_len && !keep_is_name(c->name, record->name_len)) {
		c->name[0] = '\0';
		return fail_lie(c, "a name that leads elsewhere");
	}
	ret = read_all(c, c->payload, record->payload_len);
	c->payload[record->payload_len] = '\0';
	return ret;
}

/* 1: there is more to come. 0: the end, of one kind or the other. */
static int on_record(struct collector *c)
{
	uint8_t header[KEEP_HEADER_LEN];
	struct keep_record record;
	const char *why;
	int ret = read_all(c, header, sizeof(header));

	if (ret <= 0)
		return ret;
	why = keep_parse(&record, header);
	if (why)
		return fail_lie(c, why);
	if ((record.type == KEEP_BEGIN) == c->result->begun)
		return fail_lie(c, "no beginning, or two");
	c->result->begun = true;
	ret = 1;
	if (record.type == KEEP_DATA) {
		ret = on_data(c, &record);
	} else if (record.type == KEEP_ATTRIBUTE) {
		ret = on_attribute(c, &record);
	} else if (record.type != KEEP_BEGIN) {
		if (record.name_len && ++c->entry_count > c->limits->entries_max)
			return fail(c, "it is more files than the machine's memory could hold");
		if (record.name_len && c->leaving)
			return fail_lie(c, "more in a directory that it leaves");
		ret = finish_file(c);
		if (ret == 0)
			ret = read_texts(c, &record);
		if (ret > 0 && on_entry(c, &record) < 0)
			ret = -EIO;
	}
	c->record_count++;
	return ret > 0 && c->result->complete ? 0 : ret;
}

void keep_collect(int in_fd, int dir_fd, const struct keep_limits *limits,
		  struct keep_result *result)
{
	struct collector *c = calloc(1, sizeof(*c));

	*result = (struct keep_result){ 0 };
	if (!c) {
		snprintf(result->why, sizeof(result->why), "%s", strerror(ENOMEM));
		return;
	}
	*c = (struct collector){
		.in_fd = in_fd, .top_fd = dir_fd, .file_fd = -1, .limits = limits, .result = result
	};
	c->dir_fd = open_below(c, "");
	if (c->dir_fd < 0)
		snprintf(result->why, sizeof(result->why), "%s", strerror(-c->dir_fd));
	while (c->dir_fd >= 0 && on_record(c) > 0)
		;
	if (c->file_fd >= 0)
		close(c->file_fd);
	if (c->dir_fd >= 0)
		close(c->dir_fd);
	discard_rest(c);
	free(c);
}
