/*
 * Files that say who is alive by being locked: a lock goes with the process, however it dies. A
 * file appears by linkat(2) once it is locked and filled, so that a sweeper never sees an unlocked
 * one of a living run.
 */
#include "vmm/boundary/state.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "vmm/log.h"

static int open_private(struct state_dir *dir)
{
	struct stat st;

	if (mkdir(dir->path, 0700) < 0 && errno != EEXIST)
		return log_errno(errno, "make %s", dir->path);
	dir->fd = open(dir->path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (dir->fd < 0 || fstat(dir->fd, &st) < 0)
		return log_errno(errno, "open %s", dir->path);
	if (st.st_uid == geteuid() && (st.st_mode & 022) == 0)
		return 0;
	log_err("%s: is not ours alone: remove it", dir->path);
	return -EPERM;
}

int state_open(struct state_dir *dir)
{
	const char *runtime = getenv("XDG_RUNTIME_DIR");
	struct stat st;

	dir->fd = -1;
	if (geteuid() == 0)
		snprintf(dir->path, sizeof(dir->path), "/run/vmm");
	else if (runtime && runtime[0] == '/' && strlen(runtime) < sizeof(dir->path) - 8 &&
		 stat(runtime, &st) == 0 && st.st_uid == geteuid())
		snprintf(dir->path, sizeof(dir->path), "%s/vmm", runtime);
	else
		snprintf(dir->path, sizeof(dir->path), "/tmp/vmm-%u", geteuid());
	return open_private(dir);
}

void state_close(struct state_dir *dir)
{
	if (dir->fd >= 0)
		close(dir->fd);
	dir->fd = -1;
}

static int write_all(int fd, const char *text)
{
	size_t len = strlen(text);

	while (len > 0) {
		ssize_t done = write(fd, text, len);

		if (done < 0 && errno != EINTR)
			return -errno;
		if (done > 0) {
			text += done;
			len -= (size_t)done;
		}
	}
	return 0;
}

int state_entry_create(const struct state_dir *dir, struct state_entry *entry, const char *kind)
{
	char path[40];
	int ret;

	snprintf(entry->name, sizeof(entry->name), "%s-%d", kind, (int)getpid());
	entry->fd = openat(dir->fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (entry->fd < 0)
		return log_errno(errno, "make a file in %s", dir->path);
	ret = flock(entry->fd, LOCK_EX | LOCK_NB) < 0 ? -errno : write_all(entry->fd, entry->text);
	if (ret == 0) {
		snprintf(path, sizeof(path), "/proc/self/fd/%d", entry->fd);
		if (linkat(AT_FDCWD, path, dir->fd, entry->name, AT_SYMLINK_FOLLOW) < 0)
			ret = -errno;
	}
	if (ret == 0)
		return 0;
	close(entry->fd);
	entry->fd = -1;
	return log_errno(ret, "note this run in %s/%s", dir->path, entry->name);
}

void state_entry_remove(const struct state_dir *dir, struct state_entry *entry)
{
	if (entry->fd < 0)
		return;
	unlinkat(dir->fd, entry->name, 0);
	close(entry->fd);
	entry->fd = -1;
}

bool state_note(struct state_entry *entry, const char *word, const char *value)
{
	size_t len = strlen(entry->text);
	int added = snprintf(entry->text + len, sizeof(entry->text) - len, "%s %s\n", word, value);

	if (added > 0 && (size_t)added < sizeof(entry->text) - len)
		return true;
	entry->text[len] = '\0';
	return false;
}

bool state_next_line(const char *text, size_t *at, char word[32], char value[256])
{
	while (text[*at]) {
		const char *line = text + *at;
		size_t len = strcspn(line, "\n");
		size_t word_len = strcspn(line, " \n");

		*at += len + (line[len] == '\n');
		if (word_len >= len || word_len == 0 || word_len >= 32 || len - word_len - 1 == 0 ||
		    len - word_len - 1 >= 256)
			continue;
		memcpy(word, line, word_len);
		word[word_len] = '\0';
		memcpy(value, line + word_len + 1, len - word_len - 1);
		value[len - word_len - 1] = '\0';
		return true;
	}
	return false;
}

static void read_text(int fd, char text[STATE_TEXT_MAX])
{
	ssize_t len = pread(fd, text, STATE_TEXT_MAX - 1, 0);

	text[len > 0 ? len : 0] = '\0';
}

static bool is_kind(const char *name, const char *kind)
{
	size_t len = strlen(kind);

	return strncmp(name, kind, len) == 0 && name[len] == '-';
}

static DIR *list(const struct state_dir *dir)
{
	int fd = openat(dir->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *stream = fd < 0 ? NULL : fdopendir(fd);

	if (!stream && fd >= 0)
		close(fd);
	return stream;
}

int state_sweep(const struct state_dir *dir, const char *kind,
		int (*fn)(const char *text, void *opaque), void *opaque)
{
	char text[STATE_TEXT_MAX];
	DIR *stream = list(dir);
	struct dirent *item;

	if (!stream)
		return log_errno(errno, "list %s", dir->path);
	while ((item = readdir(stream))) {
		auto_close int fd = -1;

		if (!is_kind(item->d_name, kind))
			continue;
		fd = openat(dir->fd, item->d_name, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
		if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0)
			continue; /* gone, or alive */
		read_text(fd, text);
		log_debug("sweeping up after %s", item->d_name);
		if (fn(text, opaque) == 0)
			unlinkat(dir->fd, item->d_name, 0);
	}
	closedir(stream);
	return 0;
}

static void each(const struct state_dir *dir, const char *kind, bool living,
		 void (*fn)(const char *text, void *opaque), void *opaque)
{
	char text[STATE_TEXT_MAX];
	DIR *stream = list(dir);
	struct dirent *item;

	while (stream && (item = readdir(stream))) {
		auto_close int fd = -1;

		if (!is_kind(item->d_name, kind))
			continue;
		fd = openat(dir->fd, item->d_name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
		if (fd < 0 || (living && flock(fd, LOCK_SH | LOCK_NB) == 0))
			continue;
		read_text(fd, text);
		fn(text, opaque);
	}
	if (stream)
		closedir(stream);
}

void state_each(const struct state_dir *dir, const char *kind,
		void (*fn)(const char *text, void *opaque), void *opaque)
{
	each(dir, kind, false, fn, opaque);
}

void state_each_living(const struct state_dir *dir, const char *kind,
		       void (*fn)(const char *text, void *opaque), void *opaque)
{
	each(dir, kind, true, fn, opaque);
}

int state_lock_all(const struct state_dir *dir)
{
	int fd = openat(dir->fd, "lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	int ret;

	if (fd < 0)
		return log_errno(errno, "open %s/lock", dir->path);
	do {
		ret = flock(fd, LOCK_EX);
	} while (ret < 0 && errno == EINTR);
	if (ret == 0)
		return fd;
	ret = -errno;
	close(fd);
	return log_errno(ret, "lock %s/lock", dir->path);
}
