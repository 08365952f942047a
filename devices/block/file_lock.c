/*
 * Locks on disk images. Setup, main thread.
 *
 * Who holds an open-file-description lock F_OFD_GETLK does not say; /proc/<pid>/fdinfo/<fd> shows
 * the locks of each open file (proc(5)), and is looked through once a lock was refused.
 */
#include "devices/block/file_lock.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "vmm/log.h"

/* Whether the file that FDINFO describes has a lock on the file MARK ("major:minor:inode"). */
static bool has_lock(const char *fdinfo, const char *mark)
{
	char line[256];
	bool found = false;
	FILE *file = fopen(fdinfo, "re");

	if (!file)
		return false;
	while (!found && fgets(line, sizeof(line), file))
		found = strncmp(line, "lock:", 5) == 0 && strstr(line, mark);
	fclose(file);
	return found;
}

static bool process_has_lock(const char *pid, const char *mark)
{
	char path[640];
	struct dirent *entry;
	bool found = false;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%s/fdinfo", pid);
	dir = opendir(path);
	if (!dir)
		return false;
	while (!found && (entry = readdir(dir))) {
		snprintf(path, sizeof(path), "/proc/%s/fdinfo/%s", pid, entry->d_name);
		found = isdigit((unsigned char)entry->d_name[0]) && has_lock(path, mark);
	}
	closedir(dir);
	return found;
}

static void process_name(const char *pid, char *name, size_t room)
{
	char path[300];
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%s/comm", pid);
	name[0] = '\0';
	file = fopen(path, "re");
	if (!file)
		return;
	if (fgets(name, (int)room, file))
		name[strcspn(name, "\n")] = '\0';
	fclose(file);
}

/*
 * "process 17 (name)" into WHO, or "this machine itself" when nobody else has it, or "another
 * process".
 */
static void find_holder(int fd, char *who, size_t room)
{
	struct stat st;
	struct dirent *entry;
	char mark[64], name[32];
	DIR *dir;

	snprintf(who, room, "another process");
	if (fstat(fd, &st) < 0)
		return;
	snprintf(mark, sizeof(mark), " %02x:%02x:%llu ", major(st.st_dev), minor(st.st_dev),
		 (unsigned long long)st.st_ino);
	dir = opendir("/proc");
	if (!dir)
		return;
	while ((entry = readdir(dir))) {
		if (!isdigit((unsigned char)entry->d_name[0]) ||
		    !process_has_lock(entry->d_name, mark))
			continue;
		if (atoi(entry->d_name) == getpid()) {
			snprintf(who, room, "this machine itself");
			continue;
		}
		process_name(entry->d_name, name, sizeof(name));
		snprintf(who, room, "process %.12s (%s)", entry->d_name, name);
		break;
	}
	closedir(dir);
}

int file_lock_take(int fd, const char *path, bool write)
{
	struct flock lock = {
		.l_type = write ? F_WRLCK : F_RDLCK,
		.l_whence = SEEK_SET,
	};
	char who[80];

	if (fcntl(fd, F_OFD_SETLK, &lock) == 0)
		return 0;
	if (errno != EAGAIN && errno != EACCES) {
		log_warn("%s cannot be locked (%s): take care that no other machine writes to it",
			 path, strerror(errno));
		return 0;
	}
	find_holder(fd, who, sizeof(who));
	if (write)
		log_err("%s is in use by %s: stop that first, or use ,ro or ,overlay in both", path,
			who);
	else
		log_err("%s is being written to by %s: stop that first", path, who);
	return -EBUSY;
}
