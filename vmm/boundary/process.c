/*
 * Waits for a command on behalf of the person or program that started vmm. One poll(2) over the
 * signals, the child's words and, where there is one, the terminal.
 */
#include "vmm/boundary/process.h"

#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>

#include "vmm/boundary/boundary.h"
#include "vmm/boundary/process_enter.h"
#include "vmm/end.h"
#include "vmm/log.h"

static const int watched_signals[] = { SIGCHLD, SIGTERM, SIGINT,  SIGHUP,  SIGQUIT,
				       SIGUSR1, SIGUSR2, SIGCONT, SIGWINCH };

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* What nohup, or a shell for what it starts in the background, wants nobody to hear. */
static bool is_ignored(int number)
{
	struct sigaction old;

	return number != SIGCHLD && sigaction(number, NULL, &old) == 0 && old.sa_handler == SIG_IGN;
}

static int watch_signals(struct process *process)
{
	sigset_t mask;

	sigemptyset(&mask);
	for (size_t i = 0; i < ARRAY_SIZE(watched_signals); i++) {
		if (!is_ignored(watched_signals[i]))
			sigaddset(&mask, watched_signals[i]);
	}
	signal(SIGCHLD, SIG_DFL);
	sigprocmask(SIG_BLOCK, &mask, &process->old_mask);
	process->signal_fd = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
	return process->signal_fd < 0 ? log_errno(errno, "watch signals") : 0;
}

int process_open(struct process *process, const struct process_ops *ops,
		 const struct config *config, const struct timeline *timeline)
{
	int one = 1;
	int pair[2];
	int ret;

	*process = (struct process){ .ops = ops,
				     .config = config,
				     .control_fd = -1,
				     .child_control_fd = -1,
				     .signal_fd = -1 };
	process_terminal_look(&process->terminal);
	if (config->timeout_ms)
		process->deadline_ns = timeline->start_ns + config->timeout_ms * 1000000;
	ret = watch_signals(process);
	if (ret < 0)
		return ret;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return log_errno(errno, "make a socket pair");
	process->control_fd = pair[0];
	process->child_control_fd = pair[1];
	/* With each packet then comes the number that its sender has here. */
	setsockopt(pair[0], SOL_SOCKET, SO_PASSCRED, &one, sizeof(one));
	return 0;
}

void process_in_child(struct process *process)
{
	close(process->control_fd);
	close(process->signal_fd);
	process->control_fd = process->signal_fd = -1;
}

void process_close(struct process *process)
{
	process_terminal_stop(&process->terminal);
	if (process->control_fd >= 0)
		close(process->control_fd);
	if (process->child_control_fd >= 0)
		close(process->child_control_fd);
	if (process->signal_fd >= 0) {
		close(process->signal_fd);
		sigprocmask(SIG_SETMASK, &process->old_mask, NULL);
	}
}

/* ---- the child's words ---- */

struct packet {
	struct process_message message;
	pid_t pid;
	int fd; /* that came with it; -1 */
};

/* What else may come along is closed. */
static void read_control_data(struct msghdr *header, struct packet *packet)
{
	for (struct cmsghdr *item = CMSG_FIRSTHDR(header); item; item = CMSG_NXTHDR(header, item)) {
		struct ucred credentials;

		if (item->cmsg_level != SOL_SOCKET)
			continue;
		if (item->cmsg_type == SCM_CREDENTIALS) {
			memcpy(&credentials, CMSG_DATA(item), sizeof(credentials));
			packet->pid = credentials.pid;
		}
		if (item->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t at = CMSG_LEN(0); at + sizeof(int) <= item->cmsg_len;
		     at += sizeof(int)) {
			int fd;

			memcpy(&fd, (char *)item + at, sizeof(fd));
			if (packet->fd >= 0)
				close(packet->fd);
			packet->fd = fd;
		}
	}
}

/* 1 for a packet, 0 for none now, -errno when none comes any more. */
static int receive(struct process *process, struct packet *packet)
{
	struct iovec data = { &packet->message, sizeof(packet->message) };
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(struct ucred)) + CMSG_SPACE(4 * sizeof(int))];
	} control;
	struct msghdr header = { .msg_iov = &data,
				 .msg_iovlen = 1,
				 .msg_control = &control,
				 .msg_controllen = sizeof(control) };
	ssize_t len;

	/* A child that ends with a word of ours unread leaves this error before its last words. */
	do {
		len = recvmsg(process->control_fd, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	} while (len < 0 && errno == ECONNRESET);
	packet->pid = 0;
	packet->fd = -1;
	if (len < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	if (len == 0)
		return -EPIPE;
	read_control_data(&header, packet);
	packet->message.text[sizeof(packet->message.text) - 1] = '\0';
	if (len == sizeof(packet->message))
		return 1;
	if (packet->fd >= 0)
		close(packet->fd);
	return -EPROTO;
}

/* Text of the child's, for one line on a person's terminal. */
static void make_printable(char *text)
{
	for (; *text; text++) {
		if ((unsigned char)*text < ' ' || *text == 0x7f)
			*text = '?';
	}
}

static void on_failed(struct process *process, struct process_message *message)
{
	/* After the command's end only the taking down can fail, and that is the kernel's as well.
	 */
	if (process->failed || process->command_ended)
		return;
	make_printable(message->text);
	process->failed = true;
	process->failed_status = message->value >= PROCESS_STATUS_FAILED &&
						 message->value <= PROCESS_STATUS_NOT_FOUND
					 ? message->value
					 : EXIT_STATUS_HOST;
	log_err("%s%s%s", message->text, message->error ? ": " : "",
		message->error ? strerror(message->error) : "");
}

static void on_packet(struct process *process, struct packet *packet)
{
	struct process_message *message = &packet->message;

	switch (message->word) {
	case PROCESS_TERMINAL:
		if (packet->fd < 0 || !process->terminal.wanted)
			break;
		process_terminal_start(&process->terminal, packet->fd);
		packet->fd = -1;
		break;
	case PROCESS_READY:
		if (process->ops->ready && process->ops->ready(process, packet->pid) < 0) {
			process->failed = true;
			process->failed_status = EXIT_STATUS_HOST;
			process->ops->kill(process);
		} else {
			process_send(process->control_fd, PROCESS_GO, 0, NULL);
		}
		break;
	case PROCESS_FAILED:
		on_failed(process, message);
		break;
	case PROCESS_EXITED:
		process->command_ended = true;
		process->command_status = message->value;
		break;
	}
	if (packet->fd >= 0)
		close(packet->fd);
}

static void on_control(struct process *process)
{
	struct packet packet;
	int ret;

	while ((ret = receive(process, &packet)) > 0)
		on_packet(process, &packet);
	if (ret < 0) {
		close(process->control_fd);
		process->control_fd = -1;
	}
}

/* ---- signals ---- */

static void reap(struct process *process)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(process->reaps_all ? -1 : process->pid, &status, WNOHANG)) > 0) {
		if (pid != process->pid)
			continue;
		process->ended = true;
		process->child_status = status;
		if (!process->reaps_all)
			return;
	}
}

static void on_signals(struct process *process)
{
	struct signalfd_siginfo info;

	while (read(process->signal_fd, &info, sizeof(info)) == sizeof(info)) {
		if (info.ssi_signo == SIGCHLD) {
			reap(process);
		} else if ((info.ssi_signo == SIGWINCH && process->terminal.wanted) ||
			   (info.ssi_signo == SIGCONT && process->terminal.raw)) {
			process_terminal_resize(&process->terminal);
		} else if (info.ssi_code <= 0 || process->terminal.master_fd >= 0 ||
			   !process->reaps_all) {
			process->ops->forward(process, (int)info.ssi_signo);
		}
		/* Else the terminal's driver sent it to the command as well. */
	}
}

/* ---- the loop ---- */

static int time_left_ms(const struct process *process)
{
	uint64_t now;

	if (!process->deadline_ns || process->timed_out)
		return -1;
	now = now_ns();
	if (now >= process->deadline_ns)
		return 0;
	/* Rounded up, so that the next look finds it reached. */
	now = (process->deadline_ns - now + 999999) / 1000000;
	return now > 3600000 ? 3600000 : (int)now;
}

static void serve_terminal(struct process *process, const struct pollfd *input,
			   const struct pollfd *master, const struct pollfd *output)
{
	struct process_terminal *terminal = &process->terminal;

	if (output->revents)
		process_terminal_write_output(terminal);
	if (terminal->master_fd < 0)
		return;
	if (input->revents)
		process_terminal_read_input(terminal);
	if (master->revents & POLLOUT)
		process_terminal_write_input(terminal);
	/* Nobody is there any more for what was typed. */
	if (master->revents & POLLHUP)
		terminal->input_at = terminal->input_len = 0;
	if (terminal->output_at == terminal->output_len &&
	    (master->revents & (POLLIN | POLLHUP | POLLERR)) &&
	    !process_terminal_copy_output(terminal)) {
		close(terminal->master_fd);
		terminal->master_fd = -1;
	}
}

static void serve_once(struct process *process)
{
	struct process_terminal *terminal = &process->terminal;
	bool typed = terminal->input_at < terminal->input_len;
	bool relay = terminal->master_fd >= 0;
	bool waits = terminal->output_at < terminal->output_len;
	struct pollfd polled[] = {
		{ .fd = process->signal_fd, .events = POLLIN },
		{ .fd = process->control_fd, .events = POLLIN },
		{ .fd = relay && !typed && !terminal->input_ended ? STDIN_FILENO : -1,
		  .events = POLLIN },
		/* Its end is told in any case, so not while there is nothing to be done. */
		{ .fd = relay && (typed || !waits) ? terminal->master_fd : -1,
		  .events = (short)((waits ? 0 : POLLIN) | (typed ? POLLOUT : 0)) },
		{ .fd = waits ? terminal->out_fd : -1, .events = POLLOUT },
	};

	if (poll(polled, ARRAY_SIZE(polled), time_left_ms(process)) < 0)
		return; /* EINTR */
	if (polled[1].revents)
		on_control(process);
	if (polled[0].revents)
		on_signals(process);
	serve_terminal(process, &polled[2], &polled[3], &polled[4]);
	if (time_left_ms(process) == 0) {
		process->timed_out = true;
		process->ops->kill(process);
	}
}

static int exit_status_of(int status)
{
	return WIFSIGNALED(status) ? BOUNDARY_STATUS_SIGNAL + WTERMSIG(status)
				   : WEXITSTATUS(status);
}

int process_serve(struct process *process)
{
	/* The child's end: its closing tells. */
	if (process->child_control_fd >= 0)
		close(process->child_control_fd);
	process->child_control_fd = -1;
	while (!process->ended)
		serve_once(process);
	if (process->control_fd >= 0)
		on_control(process); /* its last words */
	process_terminal_stop(&process->terminal);
	if (process->timed_out) {
		log_err("time limit of %.3g s reached", (double)process->config->timeout_ms / 1e3);
		return EXIT_STATUS_TIMEOUT;
	}
	if (process->failed)
		return process->failed_status;
	return exit_status_of(process->command_ended ? process->command_status
						     : process->child_status);
}
