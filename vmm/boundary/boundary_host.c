/*
 * A command on the host itself, with another root and nothing else: no limits, no namespace but
 * that of the mounts. It stays in vmm's process group and has vmm's terminal. Orphans of the
 * command become vmm's children and are killed at the end; those of a vmm that was killed are found
 * by the name of their root's mount at the next start.
 */
#include <dirent.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "vmm/boundary/boundary.h"
#include "vmm/boundary/process.h"
#include "vmm/boundary/process_enter.h"
#include "vmm/boundary/process_ids.h"
#include "vmm/boundary/process_root.h"
#include "vmm/boundary/state.h"
#include "vmm/end.h"
#include "vmm/log.h"

struct host {
	const struct config *config;
	struct process process;
	struct process_root root;
	struct process_ids ids;
	struct state_dir state;
	struct state_entry entry;
	int go[2]; /* the child waits for a byte: mapped, and noted */
};

/* ---- what it cannot do ---- */

static int refuse(const char *option, const char *why)
{
	log_err("--%s: %s", option, why);
	return -EINVAL;
}

static int host_refuse(const struct config *config)
{
	static const char no_limits[] = "the host has no limits: it is for --as container or "
					"machine";

	if (config->kernel || config->cmdline)
		return refuse(config->kernel ? "kernel" : "cmdline",
			      "a command on the host has its kernel: it is for --as machine");
	if (config->disk_count)
		return refuse("disk", "is for --as machine: use --volume");
	if (config->stats)
		return refuse("stats", "counts are of --as machine");
	if (config->balloon == CONFIG_BALLOON_ON)
		return refuse("balloon", "what is freed the host has: it is for --as machine");
	if (config->memory_given || config->cpus_given)
		return refuse(config->memory_given ? "memory" : "cpus", no_limits);
	if (config->net_count != 1 || config->nets[0].kind != CONFIG_NET_HOST)
		return refuse("net", "the host has its own network only: write host, or use "
				     "--as container or machine");
	if (config->publish_count)
		return refuse("publish", "what the command listens on is there already; it is for "
					 "--as container or machine");
	return process_root_refuse(config);
}

/* ---- what a killed run left ---- */

/* Whether the root of process PID lies somewhere below the directory with the entry MARK of ours.
 */
static bool is_below(const char *pid, const char *mark)
{
	char path[300], up[64] = "";
	struct stat st;

	for (size_t len = 0; len + 4 < sizeof(up); len += 3) {
		memcpy(up + len, "/..", 4);
		snprintf(path, sizeof(path), "/proc/%.60s/root%s/%.40s", pid, up, mark);
		if (lstat(path, &st) == 0 && st.st_uid == geteuid())
			return true;
	}
	return false;
}

/*
 * Whoever has our overlay for its root, by the name that no other run gave to its own. The number
 * of a namespace would be another's by now: the kernel gives the lowest that is free. Who has a
 * directory for its root sees no mount.
 */
static void kill_marked(const char *mark)
{
	char wanted[64], path[300], mounts[4096];
	DIR *stream = opendir("/proc");
	struct dirent *item;

	snprintf(wanted, sizeof(wanted), " overlay %.40s ", mark);
	while (stream && (item = readdir(stream))) {
		auto_close int fd = -1;
		ssize_t len;

		if (item->d_name[0] < '0' || item->d_name[0] > '9')
			continue;
		snprintf(path, sizeof(path), "/proc/%s/mountinfo", item->d_name);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		/* The root is first. */
		len = fd < 0 ? 0 : read(fd, mounts, sizeof(mounts) - 1);
		mounts[len > 0 ? len : 0] = '\0';
		if (len > 0 ? strstr(mounts, wanted) != NULL : is_below(item->d_name, mark))
			kill((pid_t)strtol(item->d_name, NULL, 10), SIGKILL);
	}
	if (stream)
		closedir(stream);
}

static int sweep_entry(const char *text, void *opaque)
{
	char word[32], value[256];
	size_t at = 0;

	(void)opaque;
	while (state_next_line(text, &at, word, value)) {
		if (strcmp(word, "mounts") == 0)
			kill_marked(value);
	}
	return 0;
}

static int host_sweep(void)
{
	struct state_dir state;
	int ret = state_open(&state);

	if (ret == 0)
		ret = state_sweep(&state, "host", sweep_entry, NULL);
	state_close(&state);
	return ret;
}

/* ---- the child ---- */

static int enter_root(struct host *host)
{
	char text[4096], path[PATH_MAX + 64];
	const struct process_root_file file = { "resolv.conf", text };
	bool has_servers = process_root_read_resolv_conf(text, sizeof(text));
	int ret = process_root_mount(&host->root, host->ids.needed, &file, has_servers);

	if (ret == 0)
		ret = process_root_bind_host(&host->root);
	if (ret < 0)
		return ret;
	snprintf(path, sizeof(path), "%s/%s", host->root.base, host->root.mark);
	if (mkdir(path, 0700) < 0)
		return log_errno(errno, "make %s", path);
	if (chroot(host->root.path) < 0 || chdir("/") < 0)
		return log_errno(errno, "enter %s", host->root.path);
	return 0;
}

static int run_child(struct host *host, pid_t parent)
{
	const struct config *config = host->config;
	struct process_spec spec = { .user = config->user,
				     .workdir = config->workdir,
				     .term = isatty(STDIN_FILENO) ? getenv("TERM") : NULL,
				     .env = config->env,
				     .argv = config->command };
	char byte;

	process_in_child(&host->process);
	close(host->go[1]);
	if (read(host->go[0], &byte, 1) != 1 || enter_root(host) < 0)
		return PROCESS_STATUS_FAILED;
	if (getppid() != parent)
		return PROCESS_STATUS_FAILED;
	process_close_others(host->process.child_control_fd);
	return process_enter(&spec, host->process.child_control_fd);
}

static int start_child(struct host *host)
{
	struct clone_args args = { .flags = CLONE_NEWNS, .exit_signal = SIGCHLD };
	pid_t parent = getpid();
	int ret = 0;
	long pid;

	if (host->ids.needed)
		args.flags |= CLONE_NEWUSER;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, host->go) < 0)
		return log_errno(errno, "make a socket pair");
	fflush(NULL);
	pid = syscall(SYS_clone3, &args, sizeof(args));
	if (pid < 0)
		ret = log_errno(errno, "start the command's process%s",
				host->ids.needed ? ": are user namespaces allowed?" : "");
	if (pid == 0)
		_exit(run_child(host, parent));
	close(host->go[0]);
	if (ret == 0)
		host->process.pid = (pid_t)pid;
	if (ret == 0 && host->ids.needed)
		ret = process_ids_map(&host->ids, (pid_t)pid);
	if (ret == 0 && send(host->go[1], "g", 1, MSG_NOSIGNAL) < 0)
		ret = -errno;
	close(host->go[1]);
	return ret;
}

/* ---- serving it ---- */

static void forward(struct process *process, int number)
{
	if (process->pid > 0)
		kill(process->pid, number);
}

/* Every child of this process: the command, and orphans that have become ours. */
static unsigned kill_children(void)
{
	char path[64], text[4096];
	unsigned count = 0;
	char *at = text;
	ssize_t len;
	int fd;

	snprintf(path, sizeof(path), "/proc/self/task/%d/children", (int)getpid());
	fd = open(path, O_RDONLY | O_CLOEXEC);
	len = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	if (fd >= 0)
		close(fd);
	text[len > 0 ? len : 0] = '\0';
	for (long pid; (pid = strtol(at, &at, 10)) > 0; count++)
		kill((pid_t)pid, SIGKILL);
	return count;
}

static void kill_all(struct process *process)
{
	(void)process;
	kill_children();
}

/* Each death may leave further orphans to us. */
static void end_children(void)
{
	int status;

	while (kill_children() > 0) {
		while (waitpid(-1, &status, 0) < 0 && errno == EINTR)
			;
	}
}

static const struct process_ops host_process_ops = { .forward = forward, .kill = kill_all };

static int host_open(struct host *host, const struct timeline *timeline)
{
	int ret = process_open(&host->process, &host_process_ops, host->config, timeline);

	host->process.owner = host;
	host->process.reaps_all = true;
	host->process.terminal.wanted = false; /* it has ours */
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	process_ids_find(&host->ids);
	if (ret == 0)
		ret = process_root_open(&host->root, host->config, "/run");
	if (ret == 0)
		ret = state_open(&host->state);
	if (ret < 0)
		return ret;
	snprintf(host->root.mark, sizeof(host->root.mark), "vmm-%d-%llx", (int)getpid(),
		 (unsigned long long)timeline->start_ns);
	state_note(&host->entry, "mounts", host->root.mark);
	return state_entry_create(&host->state, &host->entry, "host");
}

static int host_run(const struct config *config, struct timeline *timeline)
{
	struct host *host = calloc(1, sizeof(*host));
	int status = EXIT_STATUS_HOST;
	int ret;

	if (!host) {
		log_errno(ENOMEM, "run a command");
		return status;
	}
	host->config = config;
	host->entry.fd = host->state.fd = -1;
	ret = host_open(host, timeline);
	/* Not once there is a child: which of the two goes on first is the scheduler's to say. */
	timeline_mark(timeline, "child");
	timeline_log(timeline);
	if (ret == 0)
		ret = start_child(host);
	if (ret == 0)
		status = process_serve(&host->process);
	end_children();
	state_entry_remove(&host->state, &host->entry);
	process_root_close(&host->root);
	state_close(&host->state);
	process_close(&host->process);
	free(host);
	return status;
}

const struct boundary_ops boundary_host = {
	.name = "host",
	.refuse = host_refuse,
	.run = host_run,
	.sweep = host_sweep,
};
