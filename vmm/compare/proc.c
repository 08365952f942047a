/* See proc.h. Processes come and go while we look: one that is gone counts for nothing. */
#include "vmm/compare/proc.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

/* Reads a small file into TEXT. Its length, or -errno. */
static int read_file(char *text, size_t room, const char *fmt, int a, int b)
{
	char path[80];
	ssize_t len;
	int fd;

	/* cppcheck-suppress wrongPrintfScanfArgNum */
	snprintf(path, sizeof(path), fmt, a, b);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	len = read(fd, text, room - 1);
	if (len < 0)
		len = -errno;
	else
		text[len] = '\0';
	close(fd);
	return (int)len;
}

struct proc_pair {
	pid_t pid;
	pid_t parent;
};

static unsigned read_pairs(struct proc_pair *pairs, unsigned max)
{
	DIR *dir = opendir("/proc");
	struct dirent *entry;
	unsigned count = 0;
	char text[512];

	while (dir && count < max && (entry = readdir(dir))) {
		int pid = atoi(entry->d_name), parent;
		const char *after;

		if (pid <= 0 || read_file(text, sizeof(text), "/proc/%d/stat", pid, 0) <= 0)
			continue;
		after = strrchr(text, ')');
		if (!after || sscanf(after, ") %*c %d", &parent) != 1)
			continue;
		pairs[count++] = (struct proc_pair){ .pid = pid, .parent = parent };
	}
	if (dir)
		closedir(dir);
	return count;
}

static bool holds(const struct proc_list *list, pid_t pid)
{
	for (unsigned i = 0; i < list->count; i++)
		if (list->pids[i] == pid)
			return true;
	return false;
}

void proc_below(struct proc_list *list, pid_t root)
{
	struct proc_pair *pairs = calloc(8192, sizeof(*pairs));
	unsigned count = pairs ? read_pairs(pairs, 8192) : 0, before;

	list->count = 1;
	list->pids[0] = root;
	/* A parent may stand after its child in /proc. */
	do {
		before = list->count;
		for (unsigned i = 0; i < count && list->count < PROC_PIDS_MAX; i++)
			if (holds(list, pairs[i].parent) && !holds(list, pairs[i].pid))
				list->pids[list->count++] = pairs[i].pid;
	} while (list->count != before);
	free(pairs);
}

int proc_pss(const struct proc_list *list, uint64_t *pss)
{
	char text[2048];

	*pss = 0;
	for (unsigned i = 0; i < list->count; i++) {
		int len = read_file(text, sizeof(text), "/proc/%d/smaps_rollup", list->pids[i], 0);
		unsigned long long kib;
		const char *at;

		if (len == -EACCES || len == -EPERM)
			return -EACCES;
		at = len > 0 ? strstr(text, "\nPss:") : NULL;
		if (at && sscanf(at, " Pss: %llu", &kib) == 1)
			*pss += kib * 1024;
	}
	return 0;
}

static uint64_t busy_of(pid_t pid)
{
	char path[32], text[128];
	struct dirent *entry;
	uint64_t sum = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	dir = opendir(path);
	while (dir && (entry = readdir(dir))) {
		int thread = atoi(entry->d_name);

		if (thread > 0 && read_file(text, sizeof(text), "/proc/%d/task/%d/schedstat",
					    (int)pid, thread) > 0)
			sum += strtoull(text, NULL, 10);
	}
	if (dir)
		closedir(dir);
	return sum;
}

uint64_t proc_busy_ns(const struct proc_list *list)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < list->count; i++)
		sum += busy_of(list->pids[i]);
	return sum;
}

bool proc_has(const struct proc_list *list, const char *name)
{
	char text[64];

	for (unsigned i = 0; i < list->count; i++) {
		int len = read_file(text, sizeof(text), "/proc/%d/comm", list->pids[i], 0);

		if (len > 0 && strncmp(text, name, strlen(name)) == 0)
			return true;
	}
	return false;
}

uint64_t proc_available(void)
{
	unsigned long long kib;
	const char *at;
	char text[4096];

	if (read_file(text, sizeof(text), "/proc/meminfo", 0, 0) <= 0)
		return 0;
	at = strstr(text, "MemAvailable:");
	return at && sscanf(at, "MemAvailable: %llu", &kib) == 1 ? kib * 1024 : 0;
}

uint64_t proc_host_busy_ns(void)
{
	/* user, nice, system, idle, iowait, irq, softirq */
	unsigned long long t[7] = { 0 };
	char text[4096];

	if (read_file(text, sizeof(text), "/proc/stat", 0, 0) <= 0 ||
	    sscanf(text, "cpu %llu %llu %llu %llu %llu %llu %llu", &t[0], &t[1], &t[2], &t[3],
		   &t[4], &t[5], &t[6]) != 7)
		return 0;
	return (t[0] + t[1] + t[2] + t[5] + t[6]) * (1000000000u / (uint64_t)sysconf(_SC_CLK_TCK));
}

uint64_t proc_outside_s(void)
{
	char text[32];

	if (read_file(text, sizeof(text), "/sys/class/rtc/rtc0/since_epoch", 0, 0) <= 0)
		return 0;
	return strtoull(text, NULL, 10);
}
