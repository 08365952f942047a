/*
 * A command in a container: the parent's part. It makes what lies outside (control group, network),
 * starts the child that liblxc runs in (container_lxc.c), serves it, and takes all away again.
 */
#include "vmm/boundary/container.h"

#include <linux/sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "vmm/boundary/boundary.h"
#include "vmm/boundary/process_enter.h"
#include "vmm/end.h"
#include "vmm/log.h"

enum config_net_kind container_net_kind(const struct config *config)
{
	return config->net_count ? config->nets[0].kind : CONFIG_NET_NONE;
}

/* ---- what a container cannot do ---- */

static int refuse(const char *option, const char *why)
{
	log_err("--%s: %s", option, why);
	return -EINVAL;
}

static int refuse_network(const struct config *config)
{
	enum config_net_kind kind = container_net_kind(config);

	if (config->net_count > 1)
		return refuse("net", "a container has one network: several are for --as machine");
	if (kind == CONFIG_NET_TAP || kind == CONFIG_NET_FD)
		return refuse("net", "a tap is for --as machine: write bridge, user, host or none");
	if (kind == CONFIG_NET_BRIDGE && geteuid() != 0)
		return refuse("net bridge", "needs root: as an ordinary user write user");
	if (config->publish_count && kind != CONFIG_NET_BRIDGE && kind != CONFIG_NET_USER)
		return refuse("publish", "needs --net bridge or user");
	return 0;
}

static int container_refuse(const struct config *config)
{
	static const char machine_only[] = "a container runs on the host's kernel: it is for "
					   "--as machine";
	int ret = 0;

	if (config->kernel)
		ret = refuse("kernel", machine_only);
	else if (config->cmdline)
		ret = refuse("cmdline", machine_only);
	else if (config->disk_count)
		ret = refuse("disk", "a container has none: use --volume, or --as machine");
	else if (config->stats)
		ret = refuse("stats", "counts are of --as machine");
	else if (config->balloon == CONFIG_BALLOON_ON)
		ret = refuse("balloon", "what a container frees the host has: it is for "
					"--as machine");
	if (ret == 0)
		ret = refuse_network(config);
	return ret == 0 ? process_root_refuse(config) : ret;
}

/* ---- what a killed run left ---- */

static int sweep_entry(const char *text, void *opaque)
{
	const struct state_dir *state = opaque;
	char word[32], value[256];
	bool bridge = false;
	size_t at = 0;
	int ret = 0;

	while (state_next_line(text, &at, word, value)) {
		if (strcmp(word, "cgroup") == 0 && container_cgroup_remove_path(value) < 0)
			ret = -EBUSY;
		if (strcmp(word, "pipe") == 0 && !strchr(value, '/'))
			unlinkat(state->fd, value, 0);
		bridge |= strcmp(word, "address") == 0;
	}
	if (bridge) {
		auto_close int lock_fd = state_lock_all(state);

		(void)lock_fd; /* held to the end of the block */
		container_bridge_remove(state, text);
	}
	return ret;
}

static int container_sweep(void)
{
	struct state_dir state;
	int ret = state_open(&state);

	if (ret == 0)
		ret = state_sweep(&state, "container", sweep_entry, &state);
	state_close(&state);
	return ret;
}

/* ---- the child ---- */

static int wait_for_ids(int fd)
{
	char byte;

	return read(fd, &byte, 1) == 1 ? 0 : -EPIPE;
}

static int run_child(struct container *container, pid_t parent, int ids_fd, int own_ids_fd)
{
	process_in_child(&container->process);
	if (container->entry.fd >= 0)
		close(container->entry.fd); /* and with it the lock's last holder is the parent */
	if (own_ids_fd >= 0)
		close(own_ids_fd);
	if (container->ids.needed && wait_for_ids(ids_fd) < 0)
		return PROCESS_STATUS_FAILED;
	/* The parent's death is the container's. It may have come before this was said. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		return PROCESS_STATUS_FAILED;
	/* Signals of the terminal come by way of the parent. */
	setsid();
	if (!container->cgroup.unified && container_cgroup_enter(&container->cgroup) < 0)
		return PROCESS_STATUS_FAILED;
	return container_lxc_run(container);
}

/* A fork with new namespaces, into the cgroup at once where the kernel can. -errno, logged. */
static pid_t make_child(struct container *container)
{
	struct clone_args args = { .flags = CLONE_NEWNS, .exit_signal = SIGCHLD };
	long pid;

	if (container->ids.needed)
		args.flags |= CLONE_NEWUSER;
	if (container->cgroup.unified_fd >= 0) {
		args.flags |= CLONE_INTO_CGROUP;
		args.cgroup = (unsigned)container->cgroup.unified_fd;
	}
	fflush(NULL);
	pid = syscall(SYS_clone3, &args, sizeof(args));
	if (pid < 0 && container->ids.all) {
		log_debug("no user namespace: %s", strerror(errno));
		container->ids = (struct process_ids){ .needed = false };
		args.flags &= ~(unsigned)CLONE_NEWUSER;
		pid = syscall(SYS_clone3, &args, sizeof(args));
	}
	if (pid < 0 && errno == EPERM && container->ids.needed)
		return log_errno(EPERM,
				 "make a user namespace: see that kernel.unprivileged_userns_"
				 "clone and user.max_user_namespaces allow it, or be root");
	return pid < 0 ? log_errno(errno, "start the container's process") : (pid_t)pid;
}

static int start_child(struct container *container)
{
	pid_t parent = getpid();
	int pair[2] = { -1, -1 };
	int ret = 0;
	pid_t pid;

	if (container->ids.needed && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return log_errno(errno, "make a socket pair");
	pid = make_child(container);
	if (pid == 0)
		_exit(run_child(container, parent, pair[1], pair[0]));
	if (pid > 0)
		container->process.pid = pid;
	if (pid > 0 && container->ids.needed)
		ret = process_ids_map(&container->ids, pid);
	if (pair[0] >= 0) {
		if (ret == 0 && pid > 0 && send(pair[0], "g", 1, MSG_NOSIGNAL) < 0)
			ret = -errno;
		close(pair[0]);
		close(pair[1]);
	}
	return pid < 0 ? (int)pid : ret;
}

/* ---- serving it ---- */

static void forward(struct process *process, int number)
{
	process_send(process->control_fd, PROCESS_SIGNAL, number, NULL);
}

static void kill_all(struct process *process)
{
	/* By its death signal the container's first process, and with that all of them. */
	if (process->pid > 0)
		kill(process->pid, SIGKILL);
}

static int on_ready(struct process *process, pid_t pid)
{
	struct container *container = process->owner;

	if (container_net_kind(container->config) != CONFIG_NET_USER)
		return 0;
	return container_pasta_start(container, pid);
}

static const struct process_ops container_process_ops = { .forward = forward,
							  .ready = on_ready,
							  .kill = kill_all };

/* ---- the whole ---- */

/* First noted, then made: so that the next start finds what a killed one had begun. */
static int make_outside(struct container *container)
{
	enum config_net_kind net = container_net_kind(container->config);
	bool bridge = net == CONFIG_NET_BRIDGE;
	auto_close int lock_fd = -1;
	char pipe_name[64];
	int ret = container_cgroup_plan(container);

	/* For container_freeze.c. A line's end in it would begin another word. */
	if (!strchr(container->config->name, '\n') &&
	    !state_note(&container->entry, "name", container->config->name))
		ret = -ENOSPC;
	container_pasta_name_pipe(pipe_name);
	if (ret == 0 && net == CONFIG_NET_USER && !state_note(&container->entry, "pipe", pipe_name))
		ret = -ENOSPC;

	if (ret == 0 && bridge) {
		lock_fd = state_lock_all(&container->state);
		ret = lock_fd < 0 ? lock_fd : container_bridge_plan(container);
	}
	if (ret < 0)
		return ret;
	ret = state_entry_create(&container->state, &container->entry, "container");
	if (ret == 0)
		ret = container_cgroup_make(container);
	if (ret == 0 && bridge)
		ret = container_bridge_make(container);
	return ret;
}

static int container_open(struct container *container, const struct timeline *timeline)
{
	const struct config *config = container->config;
	int ret = process_open(&container->process, &container_process_ops, config, timeline);

	container->process.owner = container;
	process_ids_find(&container->ids);
	/* Not with a bridge, where liblxc makes an interface of the host's. */
	if (!container->ids.needed && container_net_kind(config) != CONFIG_NET_BRIDGE)
		process_ids_take_all(&container->ids);
	if (ret == 0)
		ret = process_root_open(&container->root, config, "/run");
	container->root.confined = true;
	if (ret == 0)
		ret = state_open(&container->state);
	return ret == 0 ? make_outside(container) : ret;
}

static void container_close(struct container *container)
{
	container_pasta_stop(container);
	container_cgroup_remove(&container->cgroup);
	if (container->bridge.used) {
		auto_close int lock_fd = state_lock_all(&container->state);

		(void)lock_fd; /* held to the end of the block */
		container_bridge_remove(&container->state, container->entry.text);
		state_entry_remove(&container->state, &container->entry);
	}
	state_entry_remove(&container->state, &container->entry);
	process_root_close(&container->root);
	state_close(&container->state);
	process_close(&container->process);
}

/* The child may be there although what followed failed. */
static void end_child(struct container *container)
{
	int status;

	if (container->process.pid <= 0 || container->process.ended)
		return;
	kill(container->process.pid, SIGKILL);
	while (waitpid(container->process.pid, &status, 0) < 0 && errno == EINTR)
		;
}

static int container_run(const struct config *config, struct timeline *timeline)
{
	struct container *container = calloc(1, sizeof(*container));
	int status = EXIT_STATUS_HOST;
	int ret;

	if (!container) {
		log_errno(ENOMEM, "make a container");
		return status;
	}
	container->config = config;
	container->entry.fd = container->cgroup.unified_fd = container->state.fd = -1;
	ret = container_open(container, timeline);
	timeline_mark(timeline, "cgroup, network");
	if (ret == 0)
		ret = start_child(container);
	timeline_mark(timeline, "child");
	timeline_log(timeline);
	if (ret == 0)
		status = process_serve(&container->process);
	end_child(container);
	if (ret == 0 && !container->process.timed_out && status == 128 + SIGKILL &&
	    container_cgroup_hit_memory_limit(&container->cgroup))
		log_err("killed: the memory limit of %llu MiB is reached; raise --memory",
			(unsigned long long)(config->memory_len >> 20));
	container_close(container);
	free(container);
	return status;
}

const struct boundary_ops boundary_container = {
	.name = "container",
	.refuse = container_refuse,
	.run = container_run,
	.sweep = container_sweep,
	.freeze = container_freeze,
};
