/*
 * Finds and maps subordinate ids (subuid(5), user_namespaces(7)).
 */
#include "vmm/boundary/process_ids.h"

#include <fcntl.h>
#include <linux/sched.h>
#include <pwd.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "vmm/log.h"

extern char **environ;

static bool read_number(const char *text, size_t len, uint32_t *number)
{
	uint64_t value = 0;

	if (len == 0 || len > 10)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (text[i] < '0' || text[i] > '9')
			return false;
		value = value * 10 + (uint64_t)(text[i] - '0');
	}
	*number = (uint32_t)value;
	return value <= UINT32_MAX;
}

/* One line, without its end. */
static bool parse_line(const char *line, size_t len, const char *name, uint32_t id,
		       struct process_id_range *range)
{
	const char *first = memchr(line, ':', len);
	const char *end = line + len;
	const char *count;
	uint32_t owner;
	size_t owner_len;

	if (!first)
		return false;
	owner_len = (size_t)(first++ - line);
	count = memchr(first, ':', (size_t)(end - first));
	if (!count)
		return false;
	if (!(name && owner_len == strlen(name) && memcmp(line, name, owner_len) == 0) &&
	    !(read_number(line, owner_len, &owner) && owner == id))
		return false;
	return read_number(first, (size_t)(count - first), &range->first) &&
	       read_number(count + 1, (size_t)(end - count - 1), &range->count) &&
	       range->count > 0 && range->first > 0 &&
	       (uint64_t)range->first + range->count <= UINT32_MAX;
}

bool process_ids_parse(const char *text, size_t len, const char *name, uint32_t id,
		       struct process_id_range *range)
{
	const char *end = text + len;

	while (text < end) {
		const char *stop = memchr(text, '\n', (size_t)(end - text));
		size_t line_len = (size_t)((stop ? stop : end) - text);

		if (parse_line(text, line_len, name, id, range))
			return true;
		text += line_len + 1;
	}
	*range = (struct process_id_range){ 0 };
	return false;
}

static void find_range(const char *path, const char *name, uint32_t id,
		       struct process_id_range *range)
{
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	char text[65536];
	ssize_t len = fd >= 0 ? read(fd, text, sizeof(text)) : -1;

	if (len > 0)
		process_ids_parse(text, (size_t)len, name, id, range);
}

void process_ids_find(struct process_ids *ids)
{
	const struct passwd *entry;

	*ids = (struct process_ids){ .needed = geteuid() != 0 };
	if (!ids->needed)
		return;
	entry = getpwuid(geteuid());
	find_range("/etc/subuid", entry ? entry->pw_name : NULL, geteuid(), &ids->uids);
	find_range("/etc/subgid", entry ? entry->pw_name : NULL, geteuid(), &ids->gids);
}

void process_ids_take_all(struct process_ids *ids)
{
	static const struct process_id_range all = { .first = 0, .count = UINT32_MAX };

	*ids = (struct process_ids){ .needed = true, .all = true, .uids = all, .gids = all };
}

static int run_program(char *const argv[])
{
	int status;
	pid_t pid;
	int ret = posix_spawnp(&pid, argv[0], NULL, NULL, argv, environ);

	if (ret)
		return -ret;
	while (waitpid(pid, &status, 0) < 0) {
		if (errno != EINTR)
			return -errno;
	}
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EPERM;
}

static int run_mapper(const char *program, pid_t pid, uint32_t own,
		      const struct process_id_range *range)
{
	char pid_text[16], own_text[16], first_text[16], count_text[16];
	char *argv[] = { (char *)program, pid_text,   (char *)"0", own_text, (char *)"1",
			 (char *)"1",	  first_text, count_text,  NULL };
	int ret;

	snprintf(pid_text, sizeof(pid_text), "%d", (int)pid);
	snprintf(own_text, sizeof(own_text), "%u", own);
	snprintf(first_text, sizeof(first_text), "%u", range->first);
	snprintf(count_text, sizeof(count_text), "%u", range->count);
	ret = run_program(argv);
	return ret < 0 ? log_errno(ret, "%s: install uidmap, and see that /etc/sub%cid is in order",
				   program, program[3])
		       : 0;
}

static int write_file(pid_t pid, const char *name, const char *text)
{
	auto_close int fd = -1;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		return log_errno(errno, "write %s", path);
	return 0;
}

/* Only ourselves, as root. */
static int map_self(pid_t pid)
{
	char text[32];
	int ret;

	log_debug("no ids of our own in /etc/subuid and /etc/subgid: only root is there");
	snprintf(text, sizeof(text), "0 %u 1", geteuid());
	ret = write_file(pid, "uid_map", text);
	if (ret == 0)
		ret = write_file(pid, "setgroups", "deny");
	snprintf(text, sizeof(text), "0 %u 1", getegid());
	return ret == 0 ? write_file(pid, "gid_map", text) : ret;
}

int process_ids_map(const struct process_ids *ids, pid_t pid)
{
	int ret;

	if (ids->all) {
		ret = write_file(pid, "uid_map", "0 0 4294967295");
		return ret == 0 ? write_file(pid, "gid_map", "0 0 4294967295") : ret;
	}
	if (!ids->uids.count || !ids->gids.count)
		return map_self(pid);
	ret = run_mapper("newuidmap", pid, geteuid(), &ids->uids);
	return ret == 0 ? run_mapper("newgidmap", pid, getegid(), &ids->gids) : ret;
}

/* The child's part: waits for its ids, works, and says what came of it: an exit status has no room.
 */
static int work_for(int (*work)(void *opaque), void *opaque, int fd)
{
	char go;
	int ret;

	if (read(fd, &go, 1) != 1)
		return 1;
	ret = work(opaque);
	return write(fd, &ret, sizeof(ret)) == sizeof(ret) ? 0 : 1;
}

int process_ids_run(int (*work)(void *opaque), void *opaque)
{
	struct clone_args args = { .flags = CLONE_NEWUSER | CLONE_FILES, .exit_signal = SIGCHLD };
	int ret = -EPERM, said, pair[2];
	struct process_ids ids;
	pid_t pid;

	process_ids_find(&ids);
	if (!ids.uids.count || !ids.gids.count)
		return work(opaque);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return log_errno(errno, "make a socket pair");
	pid = (pid_t)syscall(SYS_clone3, &args, sizeof(args));
	if (pid == 0)
		_exit(work_for(work, opaque, pair[1]));
	if (pid < 0)
		log_errno(errno, "make a user namespace");
	else if (process_ids_map(&ids, pid) == 0 && send(pair[0], "g", 1, MSG_NOSIGNAL) < 0)
		log_errno(errno, "start a child");
	/* Where nothing was sent the child's wait ends so. The descriptors are the child's, too. */
	shutdown(pair[0], SHUT_WR);
	while (pid > 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	if (recv(pair[0], &said, sizeof(said), MSG_DONTWAIT) == sizeof(said))
		ret = said;
	close(pair[0]);
	close(pair[1]);
	return ret;
}
