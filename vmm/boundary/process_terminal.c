/*
 * Copies between the terminal that vmm was started on and the one that the command sees.
 */
#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>

#include "vmm/boundary/process.h"
#include "vmm/log.h"

/* A terminal that takes nothing for so long at the end is one that nobody reads. */
#define PATIENCE_MS 1000

void process_terminal_look(struct process_terminal *terminal)
{
	terminal->master_fd = terminal->out_fd = -1;
	terminal->wanted = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
	terminal->is_stderr = isatty(STDERR_FILENO);
}

void process_terminal_start(struct process_terminal *terminal, int master_fd)
{
	struct termios raw;

	if (terminal->master_fd >= 0)
		close(terminal->master_fd);
	terminal->master_fd = master_fd;
	/* Opened anew, since others share ours and the way in which it blocks. Where that is not
	 * allowed (after su) it is ours that may block. */
	if (terminal->out_fd < 0)
		terminal->out_fd =
			open("/proc/self/fd/1", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (terminal->out_fd < 0)
		terminal->out_fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	fcntl(master_fd, F_SETFL, O_RDWR | O_NONBLOCK);
	process_terminal_resize(terminal);
	if (terminal->raw || tcgetattr(STDIN_FILENO, &terminal->saved) < 0)
		return;
	raw = terminal->saved;
	cfmakeraw(&raw);
	if (tcsetattr(STDIN_FILENO, TCSADRAIN, &raw) == 0) {
		terminal->raw = true;
		log_set_raw_terminal(true);
	}
}

void process_terminal_resize(struct process_terminal *terminal)
{
	struct winsize size;

	if (terminal->master_fd >= 0 && ioctl(STDIN_FILENO, TIOCGWINSZ, &size) == 0)
		(void)ioctl(terminal->master_fd, TIOCSWINSZ, &size);
}

void process_terminal_read_input(struct process_terminal *terminal)
{
	ssize_t len = read(STDIN_FILENO, terminal->input, sizeof(terminal->input));

	if (len < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	terminal->input_ended = len <= 0;
	terminal->input_at = 0;
	terminal->input_len = len > 0 ? (size_t)len : 0;
	process_terminal_write_input(terminal);
}

void process_terminal_write_input(struct process_terminal *terminal)
{
	while (terminal->input_at < terminal->input_len) {
		ssize_t len = write(terminal->master_fd, terminal->input + terminal->input_at,
				    terminal->input_len - terminal->input_at);

		if (len < 0 && errno == EINTR)
			continue;
		if (len == 0 || (len < 0 && errno == EAGAIN))
			return;
		if (len < 0)
			break;
		terminal->input_at += (size_t)len;
	}
	terminal->input_at = terminal->input_len = 0;
}

void process_terminal_write_output(struct process_terminal *terminal)
{
	while (terminal->output_at < terminal->output_len) {
		ssize_t len = write(terminal->out_fd, terminal->output + terminal->output_at,
				    terminal->output_len - terminal->output_at);

		if (len < 0 && errno == EINTR)
			continue;
		if (len == 0 || (len < 0 && errno == EAGAIN))
			return;
		if (len < 0)
			break; /* the terminal is gone; a signal tells */
		terminal->output_at += (size_t)len;
	}
	terminal->output_at = terminal->output_len = 0;
}

bool process_terminal_copy_output(struct process_terminal *terminal)
{
	ssize_t len = read(terminal->master_fd, terminal->output, sizeof(terminal->output));

	if (len < 0 && (errno == EAGAIN || errno == EINTR))
		return true;
	if (len <= 0)
		return false;
	terminal->output_at = 0;
	terminal->output_len = (size_t)len;
	process_terminal_write_output(terminal);
	return true;
}

/* False when nobody takes what there is. */
static bool drain(struct process_terminal *terminal)
{
	struct pollfd master = { .fd = terminal->master_fd, .events = POLLIN };
	struct pollfd out = { .fd = terminal->out_fd, .events = POLLOUT };

	for (;;) {
		if (terminal->output_at < terminal->output_len) {
			if (poll(&out, 1, PATIENCE_MS) <= 0)
				return false;
			process_terminal_write_output(terminal);
		} else if (terminal->master_fd < 0 || poll(&master, 1, 0) <= 0 ||
			   !(master.revents & POLLIN) || !process_terminal_copy_output(terminal)) {
			return true;
		}
	}
}

void process_terminal_stop(struct process_terminal *terminal)
{
	bool drained = drain(terminal);

	if (terminal->master_fd >= 0)
		close(terminal->master_fd);
	if (terminal->out_fd >= 0)
		close(terminal->out_fd);
	terminal->master_fd = terminal->out_fd = -1;
	terminal->output_at = terminal->output_len = 0;
	if (terminal->raw) {
		tcsetattr(STDIN_FILENO, drained ? TCSADRAIN : TCSANOW, &terminal->saved);
		log_set_raw_terminal(false);
		terminal->raw = false;
	}
}
