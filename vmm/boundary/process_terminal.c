/*
 * Copies between the terminal that vmm was started on and the one that the command sees.
 */
#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>

#include "vmm/boundary/process.h"
#include "vmm/log.h"

void process_terminal_look(struct process_terminal *terminal)
{
	terminal->master_fd = -1;
	terminal->wanted = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
	terminal->is_stderr = isatty(STDERR_FILENO);
}

void process_terminal_start(struct process_terminal *terminal, int master_fd)
{
	struct termios raw;

	if (terminal->master_fd >= 0)
		close(terminal->master_fd);
	terminal->master_fd = master_fd;
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
		if (len < 0 && errno == EAGAIN)
			return;
		if (len < 0)
			break;
		terminal->input_at += (size_t)len;
	}
	terminal->input_at = terminal->input_len = 0;
}

static void write_output(const char *data, size_t len)
{
	while (len > 0) {
		ssize_t done = write(STDOUT_FILENO, data, len);

		if (done < 0 && errno == EAGAIN) {
			struct pollfd out = { .fd = STDOUT_FILENO, .events = POLLOUT };

			if (poll(&out, 1, -1) >= 0 || errno == EINTR)
				continue;
		}
		if (done < 0 && errno != EINTR)
			return; /* the terminal is gone; a signal tells */
		if (done > 0) {
			data += done;
			len -= (size_t)done;
		}
	}
}

bool process_terminal_copy_output(struct process_terminal *terminal)
{
	char data[4096];
	ssize_t len = read(terminal->master_fd, data, sizeof(data));

	if (len < 0 && (errno == EAGAIN || errno == EINTR))
		return true;
	if (len <= 0)
		return false;
	write_output(data, (size_t)len);
	return true;
}

void process_terminal_stop(struct process_terminal *terminal)
{
	struct pollfd master = { .fd = terminal->master_fd, .events = POLLIN };

	if (terminal->master_fd >= 0) {
		while (poll(&master, 1, 0) > 0 && (master.revents & POLLIN) &&
		       process_terminal_copy_output(terminal))
			;
		close(terminal->master_fd);
		terminal->master_fd = -1;
	}
	if (terminal->raw) {
		tcsetattr(STDIN_FILENO, TCSADRAIN, &terminal->saved);
		log_set_raw_terminal(false);
		terminal->raw = false;
	}
}
