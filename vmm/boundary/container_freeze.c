/*
 * vmm freeze and vmm thaw: a container that another vmm runs is found by its name among the files
 * of living runs, and its control group stops or continues it. Main thread.
 */
#include <stdio.h>
#include <string.h>

#include "vmm/boundary/container.h"
#include "vmm/log.h"

struct search {
	const char *name;
	unsigned count;
	char text[STATE_TEXT_MAX];
};

static void look_at(const char *text, void *opaque)
{
	struct search *search = opaque;
	char word[32], value[256];
	size_t at = 0;

	while (state_next_line(text, &at, word, value)) {
		if (strcmp(word, "name") != 0 || strcmp(value, search->name) != 0)
			continue;
		search->count++;
		snprintf(search->text, sizeof(search->text), "%s", text);
		return;
	}
}

/* With hierarchies beside each other only one of them can. */
static int freeze_cgroups(const char *text, bool frozen)
{
	char word[32], value[256];
	int ret = -ENOENT;
	size_t at = 0;

	while (ret == -ENOENT && state_next_line(text, &at, word, value)) {
		if (strcmp(word, "cgroup") == 0)
			ret = container_cgroup_freeze(value, frozen);
	}
	return ret;
}

static int find_and_freeze(const struct state_dir *dir, struct search *search, bool frozen)
{
	const char *verb = frozen ? "freeze" : "thaw";
	int ret;

	state_each_living(dir, "container", look_at, search);
	if (search->count == 0) {
		log_err("%s %s: no container of yours has this name: it is what vmm run --as "
			"container --name gave; machines, and commands on the host, cannot be "
			"frozen",
			verb, search->name);
		return -ESRCH;
	}
	if (search->count > 1) {
		log_err("%s %s: %u containers have this name: give each its own by --name", verb,
			search->name, search->count);
		return -EEXIST;
	}
	ret = freeze_cgroups(search->text, frozen);
	if (ret == -ENOENT)
		log_err("%s %s: it has no control group that could: that wants cgroup v2, and an "
			"ordinary user starts it by systemd-run --user --scope -p Delegate=yes",
			verb, search->name);
	else if (ret == -ETIMEDOUT)
		log_err("%s %s: a process in it is within a call of the kernel: it stops when that "
			"returns",
			verb, search->name);
	else if (ret < 0)
		log_errno(ret, "%s %s", verb, search->name);
	return ret;
}

int container_freeze(const char *name, bool frozen)
{
	struct search search = { .name = name };
	struct state_dir dir;
	int ret = state_open(&dir);

	if (ret == 0)
		ret = find_and_freeze(&dir, &search, frozen);
	state_close(&dir);
	return ret;
}
