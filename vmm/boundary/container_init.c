/*
 * The first process of a container: a static program that vmm carries inside itself and hands over
 * in memory, since nothing of the host is to be found in the container's root. It becomes the
 * parent of the command, as process 1 ignores the signals it has no handler for; it opens the
 * terminal inside the container, hands on signals, reaps, and reports how the command ended.
 *
 * argv: 0 itself, 1 number of the descriptor that leads to vmm, 2 flags (w: say so when ready, and
 * wait to be told to go on; t: a terminal for standard input and output; e: for standard error as
 * well), 3 user, 4 working directory, 5 TERM, 6 number of variables, then these, then the command.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vmm/boundary/container_filter.h"
#include "vmm/boundary/process_enter.h"

#define ARGC_MIN 8

struct init {
	int control_fd;
	int signal_fd;
	int tty_fd; /* -1: none */
	bool tty_is_stderr;
	pid_t command;
	struct process_spec spec;
};

static void die(struct init *init, const char *what)
{
	process_send(init->control_fd, PROCESS_FAILED, PROCESS_STATUS_FAILED, what);
	_exit(PROCESS_STATUS_FAILED);
}

static void send_terminal(struct init *init, int master_fd)
{
	struct process_message message = { .word = PROCESS_TERMINAL };
	struct iovec data = { &message, sizeof(message) };
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} control = { .header = { .cmsg_level = SOL_SOCKET,
				  .cmsg_type = SCM_RIGHTS,
				  .cmsg_len = CMSG_LEN(sizeof(int)) } };
	struct msghdr packet = { .msg_iov = &data,
				 .msg_iovlen = 1,
				 .msg_control = &control,
				 .msg_controllen = sizeof(control) };

	memcpy(CMSG_DATA(&control.header), &master_fd, sizeof(int));
	if (syscall(SYS_sendmsg, init->control_fd, &packet, MSG_NOSIGNAL) < 0)
		die(init, "cannot send the terminal");
}

/* Inside the container, so that its own /dev/pts knows the terminal by name. */
static void open_terminal(struct init *init)
{
	int master_fd = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
	int unlocked = 0;

	if (master_fd < 0)
		die(init, "cannot open /dev/ptmx");
	if (ioctl(master_fd, TIOCSPTLCK, &unlocked) < 0)
		die(init, "cannot unlock the terminal");
	init->tty_fd = ioctl(master_fd, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (init->tty_fd < 0)
		die(init, "cannot open the terminal");
	send_terminal(init, master_fd);
	close(master_fd);
}

static void wait_for_go(struct init *init)
{
	struct process_message message;

	process_send(init->control_fd, PROCESS_READY, 0, NULL);
	while (recv(init->control_fd, &message, sizeof(message), 0) == sizeof(message)) {
		if (message.word == PROCESS_GO)
			return;
	}
	_exit(PROCESS_STATUS_FAILED);
}

static void use_terminal(struct init *init)
{
	setsid();
	ioctl(init->tty_fd, TIOCSCTTY, 0);
	if (dup2(init->tty_fd, STDIN_FILENO) < 0 || dup2(init->tty_fd, STDOUT_FILENO) < 0 ||
	    (init->tty_is_stderr && dup2(init->tty_fd, STDERR_FILENO) < 0))
		die(init, "cannot use the terminal");
}

static void start_command(struct init *init)
{
	/* Not fork(), which has much to put in order that is not here. */
	init->command = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
	if (init->command < 0)
		die(init, "cannot start the command's process");
	if (init->command == 0) {
		if (init->tty_fd >= 0)
			use_terminal(init);
		_exit(process_enter(&init->spec, init->control_fd));
	}
	/* Nobody shall wait for the end of a stream that only this process holds open. */
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		close(fd);
	if (init->tty_fd >= 0)
		close(init->tty_fd);
}

static void reap(struct init *init)
{
	int status, code;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid != init->command)
			continue;
		process_send(init->control_fd, PROCESS_EXITED, status, NULL);
		code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
		_exit(code); /* and the kernel ends all else in here */
	}
}

static void on_signal(struct init *init)
{
	struct signalfd_siginfo info;

	while (read(init->signal_fd, &info, sizeof(info)) == sizeof(info)) {
		if (info.ssi_signo == SIGCHLD)
			reap(init);
		else
			kill(init->command, (int)info.ssi_signo);
	}
}

static void on_control(struct init *init)
{
	struct process_message message;
	ssize_t len = recv(init->control_fd, &message, sizeof(message), MSG_DONTWAIT);

	if (len < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (len != sizeof(message))
		_exit(PROCESS_STATUS_FAILED); /* vmm is gone */
	if (message.word == PROCESS_SIGNAL && message.value > 0 && message.value < 65)
		kill(init->command, message.value);
}

static void run(struct init *init)
{
	struct pollfd polled[] = { { .fd = init->signal_fd, .events = POLLIN },
				   { .fd = init->control_fd, .events = POLLIN } };

	for (;;) {
		if (poll(polled, 2, -1) < 0 && errno != EINTR)
			_exit(PROCESS_STATUS_FAILED);
		if (polled[0].revents)
			on_signal(init);
		if (polled[1].revents)
			on_control(init);
	}
}

static void read_arguments(struct init *init, int argc, char **argv)
{
	int env_count;

	if (argc < ARGC_MIN)
		_exit(PROCESS_STATUS_FAILED);
	init->control_fd = atoi(argv[1]);
	env_count = atoi(argv[6]);
	if (env_count < 0 || env_count > argc - ARGC_MIN)
		_exit(PROCESS_STATUS_FAILED);
	init->tty_is_stderr = strchr(argv[2], 'e') != NULL;
	init->spec = (struct process_spec){ .user = argv[3],
					    .workdir = argv[4],
					    .term = *argv[5] ? argv[5] : NULL,
					    .argv = argv + 7 + env_count };
}

int main(int argc, char **argv)
{
	struct init init = { .tty_fd = -1 };
	char *env[PROCESS_ENV_MAX + 1];
	size_t count = 0;
	sigset_t all;

	read_arguments(&init, argc, argv);
	for (char **variable = argv + 7; variable < init.spec.argv && count < PROCESS_ENV_MAX;)
		env[count++] = *variable++;
	env[count] = NULL;
	init.spec.env = env;
	process_close_others(init.control_fd);
	syscall(SYS_fcntl, init.control_fd, F_SETFD, FD_CLOEXEC);
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, NULL);
	init.signal_fd = signalfd(-1, &all, SFD_CLOEXEC | SFD_NONBLOCK);
	if (init.signal_fd < 0)
		die(&init, "cannot watch signals");
	if (strchr(argv[2], 't'))
		open_terminal(&init);
	if (strchr(argv[2], 'w'))
		wait_for_go(&init);
	/* Nobody in here may look into this process, which leads to vmm. */
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	if (container_filter_install() < 0)
		die(&init, "the kernel takes no filter of system calls");
	start_command(&init);
	run(&init);
	return 0;
}
