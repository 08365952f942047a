/*
 * User-mode network: pasta, of the package passt, joins the container's network namespace and
 * carries its packets through sockets of the user who started vmm.
 *
 * pasta changes its credentials and so loses a death signal. It therefore runs below a process that
 * keeps its own and is the first of a process-id namespace: when vmm dies, so does that, and with
 * it pasta. An ordinary user makes that namespace within the container's user namespace.
 */
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "vmm/boundary/container.h"
#include "vmm/boundary/process_enter.h"
#include "vmm/log.h"

#define WORDS_MAX (16 + 2 * CONFIG_PUBLISH_MAX)

struct words {
	const char *argv[WORDS_MAX + 1];
	size_t count;
	char netns[64], userns[64], netns_fd[64], ready[PATH_MAX];
	char ports[CONFIG_PUBLISH_MAX][80];
};

static void add(struct words *words, const char *word)
{
	if (words->count < WORDS_MAX)
		words->argv[words->count++] = word;
}

static bool publishes(const struct config *config, bool udp)
{
	for (unsigned i = 0; i < config->publish_count; i++) {
		if (config->publish[i].udp == udp)
			return true;
	}
	return false;
}

static void add_ports(struct words *words, const struct config *config)
{
	for (unsigned i = 0; i < config->publish_count; i++) {
		const struct config_publish *publish = &config->publish[i];

		snprintf(words->ports[i], sizeof(words->ports[i]), "%s%s%u:%u",
			 publish->host_addr ? publish->host_addr : "",
			 publish->host_addr ? "/" : "", publish->host_port, publish->guest_port);
		add(words, publish->udp ? "-u" : "-t");
		add(words, words->ports[i]);
	}
	/* Without these words pasta forwards whatever is listened on. */
	for (unsigned udp = 0; udp < 2; udp++) {
		if (publishes(config, udp))
			continue;
		add(words, udp ? "-u" : "-t");
		add(words, "none");
	}
	add(words, "-T");
	add(words, "none");
	add(words, "-U");
	add(words, "none");
}

static void make_words(struct words *words, const struct container *container, pid_t pid)
{
	snprintf(words->netns, sizeof(words->netns), "/proc/%d/ns/net", (int)pid);
	snprintf(words->userns, sizeof(words->userns), "/proc/%d/ns/user", (int)pid);
	add(words, "pasta");
	add(words, "--config-net");
	add(words, "--quiet");
	add(words, "--foreground");
	add(words, "--netns-only");
	if (!container->ids.needed || container->ids.all) {
		add(words, "--runas"); /* the namespace is root's */
		add(words, "0");
	}
	add(words, "--pid");
	add(words, words->ready);
	add_ports(words, container->config);
	add(words, "--no-netns-quit"); /* which would wait for a file to vanish */
	add(words, "--netns");
	add(words, words->netns_fd);
}

/* ---- in the children ---- */

static int run_pasta(const struct words *words)
{
	int status = 0;
	pid_t pid = fork();

	if (pid == 0) {
		int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);

		dup2(null_fd, STDIN_FILENO);
		dup2(null_fd, STDOUT_FILENO);
		execvp(words->argv[0], (char *const *)words->argv);
		_exit(errno == ENOENT ? PROCESS_STATUS_NOT_FOUND : PROCESS_STATUS_FAILED);
	}
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return pid < 0 || !WIFEXITED(status) ? PROCESS_STATUS_FAILED : WEXITSTATUS(status);
}

static int enter_user_namespace(const struct words *words)
{
	auto_close int fd = open(words->userns, O_RDONLY | O_CLOEXEC);

	return fd < 0 || setns(fd, CLONE_NEWUSER) < 0 ? -errno : 0;
}

/*
 * pasta has given up the right to look at the container's processes when it opens the namespace,
 * and newer ones have closed the descriptors that they were given. It opens this process's, which
 * is as powerless by then.
 */
static int open_network_namespace(struct words *words)
{
	int fd = open(words->netns, O_RDONLY | O_CLOEXEC);

	snprintf(words->netns_fd, sizeof(words->netns_fd), "/proc/%d/fd/%d", (int)getpid(), fd);
	return fd < 0 ? -errno : 0;
}

/* No capabilities, and open to processes that have no more than that: entering another user
 * namespace closes a process to these. */
static int give_up_rights(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = { { 0 } };

	if (syscall(SYS_capset, &header, none) < 0 || prctl(PR_SET_DUMPABLE, 1) < 0)
		return -errno;
	return 0;
}

/* Waits until the other end of the pipe is closed. */
static void wait_for_close(int fd)
{
	char byte;

	while (read(fd, &byte, 1) < 0 && errno == EINTR)
		;
}

static int run_keeper(struct words *words, bool in_user_ns, pid_t parent)
{
	struct clone_args args = { .flags = CLONE_NEWPID, .exit_signal = SIGCHLD };
	int ready[2];
	sigset_t none;
	int status = 0;
	long pid;

	if ((in_user_ns && enter_user_namespace(words) < 0) || open_network_namespace(words) < 0)
		return PROCESS_STATUS_FAILED;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		return PROCESS_STATUS_FAILED;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	setsid();
	if (pipe2(ready, O_CLOEXEC) < 0)
		return PROCESS_STATUS_FAILED;
	pid = syscall(SYS_clone3, &args, sizeof(args));
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(ready[1]);
		wait_for_close(ready[0]);
		_exit(run_pasta(words));
	}
	if (give_up_rights() < 0)
		return PROCESS_STATUS_FAILED;
	close(ready[1]);
	while (pid > 0 && waitpid((pid_t)pid, &status, 0) < 0 && errno == EINTR)
		;
	return pid < 0 || !WIFEXITED(status) ? PROCESS_STATUS_FAILED : WEXITSTATUS(status);
}

/* ---- in the parent ---- */

static int report(struct container *container, int status)
{
	container->pasta = 0;
	if (WIFEXITED(status) && WEXITSTATUS(status) == PROCESS_STATUS_NOT_FOUND)
		log_err("--net user needs pasta: apt-get install passt");
	else if (access("/dev/net/tun", R_OK | W_OK) < 0)
		log_err("--net user: pasta needs /dev/net/tun, which this user may not open: chmod "
			"666 "
			"/dev/net/tun as root");
	else
		log_err("--net user: pasta did not make the network: see its words above, if any, "
			"and whether a published port is taken");
	return -ENETUNREACH;
}

/* pasta writes its number to the pipe when the network is there. */
static int wait_until_ready(struct container *container, int fd)
{
	struct pollfd polled = { .fd = fd, .events = POLLIN };
	int status;

	for (;;) {
		if (poll(&polled, 1, 50) > 0 && (polled.revents & POLLIN))
			return 0;
		if (waitpid(container->pasta, &status, WNOHANG) == container->pasta)
			return report(container, status);
	}
}

void container_pasta_name_pipe(char name[64])
{
	snprintf(name, 64, "pipe-%d", (int)getpid());
}

int container_pasta_start(struct container *container, pid_t pid)
{
	struct words words = { .count = 0 };
	pid_t parent = getpid();
	auto_close int fd = -1;
	char name[64];
	int ret = 0;

	container_pasta_name_pipe(name);
	snprintf(words.ready, sizeof(words.ready), "%s/%s", container->state.path, name);
	if (mkfifoat(container->state.fd, name, 0600) < 0 ||
	    (fd = openat(container->state.fd, name, O_RDONLY | O_NONBLOCK | O_CLOEXEC)) < 0)
		return log_errno(errno, "make %s", words.ready);
	make_words(&words, container, pid);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	fflush(NULL);
	container->pasta = fork();
	if (container->pasta == 0)
		_exit(run_keeper(&words, container->ids.needed, parent));
	if (container->pasta < 0)
		ret = log_errno(errno, "start pasta");
	if (ret == 0)
		ret = wait_until_ready(container, fd);
	unlinkat(container->state.fd, name, 0);
	return ret;
}

void container_pasta_stop(struct container *container)
{
	int status;

	if (container->pasta <= 0)
		return;
	/* Its death is that of the rest, which then is ours to wait for: all are gone afterwards.
	 */
	kill(container->pasta, SIGKILL);
	while (waitpid(-1, &status, 0) >= 0 || errno == EINTR)
		;
	container->pasta = 0;
}
