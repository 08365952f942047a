/*
 * Limits by control groups: one directory of ours on the unified hierarchy (cgroup v2), or one for
 * each controller where those have hierarchies of their own (v1), as in systemd's hybrid layout.
 * Root's lie at the top, as other container programs' do; an ordinary user's in the nearest
 * directory above the own one that was delegated to him.
 */
#include <fcntl.h>
#include <linux/magic.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>

#include "vmm/boundary/container.h"
#include "vmm/log.h"

#define MOUNT_POINT "/sys/fs/cgroup"
/* Against programs that do nothing but fork. */
#define PIDS_MAX "16384"

static const char no_cure[] =
	"as an ordinary user start vmm by systemd-run --user --scope -p Delegate=yes, or be root";

static bool has_type(const char *path, long type)
{
	struct statfs fs;

	return statfs(path, &fs) == 0 && (long)fs.f_type == type;
}

/* 0 or -errno. */
static int write_file(const char *dir, const char *name, const char *text)
{
	auto_close int fd = -1;
	char path[512];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		return -errno;
	return 0;
}

static bool read_file(const char *dir, const char *name, char *text, size_t len)
{
	auto_close int fd = -1;
	char path[512];
	ssize_t got;

	snprintf(path, sizeof(path), "%s%s%s", dir, name ? "/" : "", name ? name : "");
	fd = open(path, O_RDONLY | O_CLOEXEC);
	got = fd < 0 ? -1 : read(fd, text, len - 1);
	text[got > 0 ? got : 0] = '\0';
	return got > 0;
}

static bool has_word(const char *text, const char *word)
{
	size_t len = strlen(word);

	for (const char *at = text; (at = strstr(at, word)); at += len) {
		if ((at == text || at[-1] == ' ') &&
		    (at[len] == ' ' || at[len] == '\n' || !at[len]))
			return true;
	}
	return false;
}

/* ---- where ---- */

static void add_dir(struct container *container, const char *controllers, const char *parent)
{
	struct container_cgroup *cgroup = &container->cgroup;
	unsigned index = cgroup->dir_count;
	char *path;

	if (index >= CONTAINER_CGROUPS_MAX)
		return;
	path = cgroup->dirs[index].path;
	if ((size_t)snprintf(path, sizeof(cgroup->dirs[0].path), "%s/vmm-%d", parent,
			     (int)getpid()) >= sizeof(cgroup->dirs[0].path) ||
	    !state_note(&container->entry, "cgroup", path))
		return;
	cgroup->dirs[index].controllers = controllers;
	cgroup->dir_count++;
}

/* Whether children of PARENT have what CONFIG's limits need; root may make it so. */
static bool has_controllers(const char *parent, const struct config *config)
{
	char enabled[256];
	bool memory, cpu;

	if (!read_file(parent, "cgroup.subtree_control", enabled, sizeof(enabled)))
		enabled[0] = '\0';
	memory = !config->memory_given || has_word(enabled, "memory");
	cpu = !config->cpus_given || has_word(enabled, "cpu");
	if (!memory)
		memory = write_file(parent, "cgroup.subtree_control", "+memory") == 0;
	if (!cpu)
		cpu = write_file(parent, "cgroup.subtree_control", "+cpu") == 0;
	return memory && cpu;
}

static bool is_delegated(const char *dir)
{
	char path[512];

	snprintf(path, sizeof(path), "%s/cgroup.procs", dir);
	return access(dir, W_OK) == 0 && access(path, W_OK) == 0;
}

/* The directory that ours shall be in; false when there is none. */
static bool find_parent(const char *mount_point, const struct config *config, char *parent,
			size_t len)
{
	char text[4096];
	const char *own;
	char *end;

	snprintf(parent, len, "%s", mount_point);
	if (geteuid() == 0)
		return is_delegated(parent) && has_controllers(parent, config);
	if (!read_file("/proc/self/cgroup", NULL, text, sizeof(text)))
		return false;
	own = strstr(text, "0::/");
	if (!own)
		return false;
	own += 3;
	if ((size_t)snprintf(parent, len, "%s%.*s", mount_point, (int)strcspn(own, "\n"), own) >=
	    len)
		return false;
	while ((end = strrchr(parent, '/')) && (size_t)(end - parent) > strlen(mount_point)) {
		*end = '\0';
		if (is_delegated(parent) && has_controllers(parent, config))
			return true;
	}
	return false;
}

static void plan_v1(struct container *container)
{
	static const struct {
		const char *controllers, *path;
	} hierarchies[] = { { "memory", MOUNT_POINT "/memory" },
			    { "cpu", MOUNT_POINT "/cpu" },
			    { "pids", MOUNT_POINT "/pids" } };
	const struct config *config = container->config;

	for (size_t i = 0; i < ARRAY_SIZE(hierarchies); i++) {
		bool needed = (i == 0 && config->memory_given) || (i == 1 && config->cpus_given) ||
			      (i == 2 && container->cgroup.wanted);

		if (needed && has_type(hierarchies[i].path, CGROUP_SUPER_MAGIC) &&
		    access(hierarchies[i].path, W_OK) == 0)
			add_dir(container, hierarchies[i].controllers, hierarchies[i].path);
	}
	if (has_type(MOUNT_POINT "/unified", CGROUP2_SUPER_MAGIC) &&
	    access(MOUNT_POINT "/unified", W_OK) == 0)
		add_dir(container, "", MOUNT_POINT "/unified");
}

static bool limits(const struct container_cgroup *cgroup, const char *controller)
{
	for (unsigned i = 0; i < cgroup->dir_count; i++) {
		if (has_word(cgroup->dirs[i].controllers, controller))
			return true;
	}
	return false;
}

int container_cgroup_plan(struct container *container)
{
	const struct config *config = container->config;
	struct container_cgroup *cgroup = &container->cgroup;
	char parent[380];

	cgroup->unified_fd = -1;
	cgroup->wanted = config->memory_given || config->cpus_given;
	if (has_type(MOUNT_POINT, CGROUP2_SUPER_MAGIC)) {
		cgroup->unified = true;
		if (find_parent(MOUNT_POINT, config, parent, sizeof(parent)))
			add_dir(container, "memory cpu pids", parent);
	} else {
		plan_v1(container);
	}
	if ((config->memory_given && !limits(cgroup, "memory")) ||
	    (config->cpus_given && !limits(cgroup, "cpu"))) {
		log_err("--%s: no control group that could limit it is ours: %s",
			config->memory_given ? "memory" : "cpus", no_cure);
		return -EPERM;
	}
	return 0;
}

/* ---- making them ---- */

struct setting {
	const char *controller;
	const char *name;
	char value[48];
	bool optional;
};

static int apply(const char *dir, const char *controllers, const struct setting *setting)
{
	int ret;

	if (!setting->value[0] || !has_word(controllers, setting->controller))
		return 0;
	ret = write_file(dir, setting->name, setting->value);
	if (ret == 0 || setting->optional)
		return 0;
	return log_errno(ret, "limit %s: write %s/%s", setting->controller, dir, setting->name);
}

static int set_limits(const struct config *config, const char *dir, const char *controllers,
		      bool unified)
{
	struct setting v2[] = {
		{ .controller = "memory", .name = "memory.max" },
		{ .controller = "memory", .name = "memory.swap.max", .optional = true },
		{ .controller = "cpu", .name = "cpu.max" },
		{ .controller = "pids", .name = "pids.max", .value = PIDS_MAX, .optional = true },
	};
	struct setting v1[] = {
		{ .controller = "memory", .name = "memory.limit_in_bytes" },
		{ .controller = "memory", .name = "memory.memsw.limit_in_bytes", .optional = true },
		{ .controller = "cpu", .name = "cpu.cfs_quota_us" },
		{ .controller = "pids", .name = "pids.max", .value = PIDS_MAX, .optional = true },
	};
	struct setting *settings = unified ? v2 : v1;
	int ret = 0;

	if (config->memory_given) {
		snprintf(settings[0].value, sizeof(settings[0].value), "%llu",
			 (unsigned long long)config->memory_len);
		/* Swap beside memory there, both together here. */
		snprintf(settings[1].value, sizeof(settings[1].value), "%s",
			 unified ? "0" : settings[0].value);
	}
	/* Of periods of a tenth of a second, which is the kernel's default. */
	if (config->cpus_given)
		snprintf(settings[2].value, sizeof(settings[2].value), unified ? "%u 100000" : "%u",
			 config->cpus * 100000);
	for (size_t i = 0; ret == 0 && i < ARRAY_SIZE(v2); i++)
		ret = apply(dir, controllers, &settings[i]);
	return ret;
}

int container_cgroup_make(struct container *container)
{
	struct container_cgroup *cgroup = &container->cgroup;

	for (unsigned i = 0; i < cgroup->dir_count; i++) {
		const char *path = cgroup->dirs[i].path;
		bool unified = cgroup->unified || !cgroup->dirs[i].controllers[0];
		int ret;

		if (mkdir(path, 0755) < 0 && cgroup->wanted)
			return log_errno(errno, "make the control group %s", path);
		cgroup->dirs[i].made = true;
		ret = set_limits(container->config, path, cgroup->dirs[i].controllers, unified);
		if (ret < 0)
			return ret;
		if (unified)
			cgroup->unified_fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	}
	return 0;
}

int container_cgroup_enter(const struct container_cgroup *cgroup)
{
	for (unsigned i = 0; i < cgroup->dir_count; i++) {
		int ret;

		if (!cgroup->dirs[i].controllers[0])
			continue; /* there by clone3 */
		ret = write_file(cgroup->dirs[i].path, "cgroup.procs", "0");
		if (ret < 0)
			return log_errno(ret, "enter the control group %s", cgroup->dirs[i].path);
	}
	return 0;
}

/* ---- while it runs ---- */

bool container_cgroup_hit_memory_limit(const struct container_cgroup *cgroup)
{
	char text[512];
	const char *found;

	for (unsigned i = 0; i < cgroup->dir_count; i++) {
		if (!cgroup->dirs[i].made || !has_word(cgroup->dirs[i].controllers, "memory"))
			continue;
		if (!read_file(cgroup->dirs[i].path,
			       cgroup->unified ? "memory.events" : "memory.oom_control", text,
			       sizeof(text)))
			continue;
		found = strstr(text, "oom_kill ");
		if (found && strtoul(found + strlen("oom_kill "), NULL, 10) > 0)
			return true;
	}
	return false;
}

int container_cgroup_freeze(const char *path, bool frozen)
{
	static const struct timespec pause = { .tv_nsec = 2000000 };
	char text[256];
	int ret = write_file(path, "cgroup.freeze", frozen ? "1" : "0");

	for (unsigned try = 0; ret == 0 && try < 2500; try++) {
		if (read_file(path, "cgroup.events", text, sizeof(text)) &&
		    strstr(text, frozen ? "frozen 1" : "frozen 0"))
			return 0;
		nanosleep(&pause, NULL);
	}
	return ret < 0 ? ret : -ETIMEDOUT;
}

/* ---- removing them ---- */

static void kill_members(const char *path)
{
	char text[4096];
	char *at = text;

	if (write_file(path, "cgroup.kill", "1") == 0)
		return;
	if (!read_file(path, "cgroup.procs", text, sizeof(text)))
		return;
	for (long pid; (pid = strtol(at, &at, 10)) > 0;)
		kill((pid_t)pid, SIGKILL);
}

/* What dies is there for a moment still. */
int container_cgroup_remove_path(const char *path)
{
	static const struct timespec pause = { .tv_nsec = 2000000 };

	if (strncmp(path, MOUNT_POINT "/", strlen(MOUNT_POINT "/")) != 0)
		return 0; /* never ours */
	for (unsigned try = 0; try < 1000; try++) {
		if (rmdir(path) == 0 || errno == ENOENT)
			return 0;
		if (errno != EBUSY)
			break;
		if (try % 50 == 1)
			kill_members(path);
		if (try > 0)
			nanosleep(&pause, NULL);
	}
	return log_errno(errno, "remove the control group %s", path);
}

void container_cgroup_remove(struct container_cgroup *cgroup)
{
	for (unsigned i = 0; i < cgroup->dir_count; i++) {
		if (cgroup->dirs[i].made)
			container_cgroup_remove_path(cgroup->dirs[i].path);
		cgroup->dirs[i].made = false;
	}
	if (cgroup->unified_fd >= 0)
		close(cgroup->unified_fd);
	cgroup->unified_fd = -1;
}
