/*
 * The life of a workload's command as the guest's end of the relay sees it: see relay_guest_run in
 * vmm/guest/relay_guest.h. One loop around poll(2): the control port, the end of children, and two
 * descriptors a stream.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vmm/guest/pump.h"
#include "vmm/guest/relay_guest.h"
#include "vmm/guest/relay_parse.h"
#include "vmm/guest/spawn.h"
#include "vmm/guest/text.h"

#define PUMPS_MAX 3
/* What a pipe from the command holds: a splice carries as much. */
#define PIPE_LEN 262144

struct run {
	struct relay_guest *relay;
	const struct workload *workload;
	struct relay_parser parser;
	struct pump pumps[PUMPS_MAX]; /* the first is the command's input */
	unsigned pump_count;
	int signal_fd;
	int terminal; /* the pseudo-terminal's master; -1: none */
	pid_t child;  /* 0: it has ended, with status */
	int status;
	bool hung_up;
	char *error;
	unsigned error_len;
};

static int run_fail(struct run *run, const char *what)
{
	int error = errno ? errno : EIO;

	text_join(run->error, run->error_len, what, ": ", strerror(error));
	return -error;
}

/* ---- the command's ends ---- */

static void set_nonblocking(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags >= 0)
		fcntl(fd, F_SETFL, flags | O_NONBLOCK);
}

static void close_streams(struct spawn_streams *streams)
{
	if (streams->in >= 0)
		close(streams->in);
	if (streams->out >= 0 && streams->out != streams->in)
		close(streams->out);
	if (streams->err >= 0 && streams->err != streams->in)
		close(streams->err);
}

/* A pump between one of the command's streams and a port. */
static int open_pipe(struct run *run, bool output, int port, int *command_end)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC) < 0)
		return run_fail(run, "make a pipe");
	*command_end = fds[output];
	set_nonblocking(fds[!output]);
	fcntl(fds[0], F_SETPIPE_SZ, PIPE_LEN);
	if (output)
		pump_init(&run->pumps[run->pump_count++], fds[0], port, true, false);
	else
		pump_init(&run->pumps[run->pump_count++], port, fds[1], false, true);
	return 0;
}

static int open_pipes(struct run *run, struct spawn_streams *streams)
{
	int ret = open_pipe(run, false, run->relay->in_fd, &streams->in);

	if (ret == 0)
		ret = open_pipe(run, true, run->relay->out_fd, &streams->out);
	if (ret == 0)
		ret = open_pipe(run, true, run->relay->err_fd, &streams->err);
	return ret;
}

static void set_size(struct run *run, uint16_t columns, uint16_t rows)
{
	struct winsize size = { .ws_col = columns, .ws_row = rows };

	if (run->terminal >= 0 && columns && rows)
		ioctl(run->terminal, TIOCSWINSZ, &size);
}

static int dup_terminal(const struct run *run)
{
	return fcntl(run->terminal, F_DUPFD_CLOEXEC, 3);
}

static int open_terminal(struct run *run, struct spawn_streams *streams)
{
	int unlock = 0, slave;

	run->terminal = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
	if (run->terminal < 0 || ioctl(run->terminal, TIOCSPTLCK, &unlock) < 0)
		return run_fail(run, "open a pseudo-terminal");
	slave = ioctl(run->terminal, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (slave < 0)
		return run_fail(run, "open a pseudo-terminal");
	*streams = (struct spawn_streams){ slave, slave, slave };
	set_size(run, run->workload->columns, run->workload->rows);
	if (geteuid() == 0 && fchown(slave, run->workload->uid, run->workload->gid) < 0)
		return run_fail(run, "give the terminal to the user");
	pump_init(&run->pumps[0], run->relay->in_fd, dup_terminal(run), false, true);
	pump_init(&run->pumps[1], dup_terminal(run), run->relay->out_fd, false, false);
	run->pump_count = 2;
	return 0;
}

/* ---- the control port ---- */

static void on_message(struct run *run, const struct relay_message *message)
{
	switch (message->type) {
	case RELAY_SIGNAL:
		if (run->child > 0)
			kill(-run->child, (int)relay_get32(message->payload));
		break;
	case RELAY_RESIZE:
		set_size(run, relay_get16(message->payload), relay_get16(message->payload + 2));
		break;
	default:
		break;
	}
}

/* False when the monitor is gone or talks nonsense: then nobody listens any more. */
static bool on_control(struct run *run)
{
	uint8_t bytes[RELAY_MESSAGE_MAX];
	struct relay_message message;
	ssize_t len = read(run->relay->control_fd, bytes, sizeof(bytes));
	size_t at = 0, used;
	int ret = 1;

	if (len < 0)
		return errno == EAGAIN || errno == EINTR;
	while (ret > 0) {
		ret = relay_parse(&run->parser, bytes + at, (size_t)len - at, &used, &message);
		at += used;
		if (ret > 0)
			on_message(run, &message);
	}
	return len > 0 && ret == 0;
}

/* ---- the end of processes ---- */

/* The command is gone: so is, in a machine of its own, all that it left behind. */
static void on_command_end(struct run *run, int status)
{
	pid_t group = run->child;

	run->status = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
	run->child = 0;
	kill(getpid() == 1 ? -1 : -group, SIGKILL);
	pump_end(&run->pumps[0]);
}

static void reap(struct run *run)
{
	struct signalfd_siginfo info;
	int status;
	pid_t pid;

	while (read(run->signal_fd, &info, sizeof(info)) > 0)
		;
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		if (pid == run->child)
			on_command_end(run, status);
}

/* ---- the loop ---- */

static bool run_goes_on(const struct run *run)
{
	if (run->child > 0)
		return true;
	for (unsigned i = 0; i < run->pump_count; i++)
		if (!run->pumps[i].ended)
			return true;
	return false;
}

/* The person's terminal is gone. */
static void hang_up_terminal(struct run *run)
{
	if (run->terminal < 0 || run->hung_up || !run->pumps[0].ended || run->child <= 0)
		return;
	run->hung_up = true;
	kill(-run->child, SIGHUP);
	kill(-run->child, SIGCONT);
}

static int run_loop(struct run *run)
{
	int control_fd = run->relay->control_fd;

	while (run_goes_on(run)) {
		struct pollfd fds[2 + 2 * PUMPS_MAX] = {
			{ .fd = control_fd, .events = POLLIN },
			{ .fd = run->signal_fd, .events = POLLIN },
		};

		for (unsigned i = 0; i < run->pump_count; i++)
			pump_poll(&run->pumps[i], &fds[2 + 2 * i]);
		if (poll(fds, 2 + 2 * run->pump_count, -1) < 0) {
			if (errno == EINTR)
				continue;
			return run_fail(run, "wait for the command");
		}
		if (fds[0].revents && !on_control(run))
			control_fd = -1;
		for (unsigned i = 0; i < run->pump_count; i++)
			pump_step(&run->pumps[i], &fds[2 + 2 * i]);
		if (fds[1].revents)
			reap(run);
		hang_up_terminal(run);
	}
	return run->status;
}

static int run_start(struct run *run)
{
	struct spawn_streams streams = { -1, -1, -1 };
	pid_t pid;
	int ret;

	ret = run->workload->terminal ? open_terminal(run, &streams) : open_pipes(run, &streams);
	if (ret < 0)
		return ret;
	relay_guest_ready(run->relay);
	pid = spawn_command(run->workload, &streams);
	close_streams(&streams);
	if (pid < 0) {
		errno = -pid;
		return run_fail(run, "start a process");
	}
	run->child = pid;
	return 0;
}

int relay_guest_run(struct relay_guest *relay, const struct workload *workload, char *error,
		    unsigned error_len)
{
	struct run run = {
		.relay = relay,
		.workload = workload,
		.terminal = -1,
		.error = error,
		.error_len = error_len,
	};
	sigset_t mask, old;
	int ret;

	relay_parser_init(&run.parser, RELAY_TO_GUEST);
	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&mask);
	sigaddset(&mask, SIGCHLD);
	sigprocmask(SIG_BLOCK, &mask, &old);
	run.signal_fd = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
	if (run.signal_fd < 0)
		return run_fail(&run, "watch for children");
	relay_guest_note_memory(relay, false);
	ret = run_start(&run);
	if (ret == 0)
		ret = run_loop(&run);
	for (unsigned i = 0; i < run.pump_count; i++)
		pump_end(&run.pumps[i]);
	if (run.terminal >= 0)
		close(run.terminal);
	close(run.signal_fd);
	sigprocmask(SIG_SETMASK, &old, NULL);
	if (ret == 128 + SIGKILL)
		relay_guest_note_memory(relay, true);
	return ret;
}
