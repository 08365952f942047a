/*
 * Raw mode and its end. Called by the console hub, on the main thread and the loop's.
 *
 * Who gives the terminal back: terminal_restore on every orderly way out. For the others (a crash,
 * SIGKILL) a guardian, a forked process that holds nothing but the terminal and the read end of a
 * pipe: when the write end closes without a word, the monitor is dead.
 */
#include "devices/char/terminal.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "vmm/log.h"

#define KEY_ESCAPE 0x01 /* Ctrl-a */

const char terminal_help[] = "\r\nCtrl-a x  end the machine at once\r\n"
			     "Ctrl-a h  this help\r\n"
			     "Ctrl-a Ctrl-a  send Ctrl-a\r\n";

void terminal_init(struct terminal *terminal, int fd)
{
	*terminal = (struct terminal){ .fd = -1, .guardian_fd = -1 };
	if (isatty(fd) && tcgetattr(fd, &terminal->saved) == 0)
		terminal->fd = fd;
}

static bool in_foreground(int fd)
{
	return tcgetpgrp(fd) == getpgrp();
}

/* Writes the mode even from the background, where it would otherwise stop the process. */
static void set_mode(int fd, const struct termios *mode)
{
	sigset_t block, old;

	sigemptyset(&block);
	sigaddset(&block, SIGTTOU);
	pthread_sigmask(SIG_BLOCK, &block, &old);
	while (tcsetattr(fd, TCSANOW, mode) < 0 && errno == EINTR)
		;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
}

static _Noreturn void guardian_run(const struct terminal *terminal, int pipe_fd)
{
	sigset_t all;
	char word;
	ssize_t len;

	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, NULL);
	prctl(PR_SET_NAME, "vmm-terminal");
	/* Nothing of the monitor may live on in here: no VM, no lock on a disk. */
	dup2(terminal->fd, 0);
	dup2(pipe_fd, 1);
	close_range(2, ~0u, 0);
	do {
		len = read(1, &word, 1);
	} while (len < 0 && errno == EINTR);
	if (len == 0) {
		while (tcsetattr(0, TCSANOW, &terminal->saved) < 0 && errno == EINTR)
			;
	}
	_exit(0);
}

static void guardian_start(struct terminal *terminal)
{
	int fds[2];
	pid_t pid;

	if (terminal->guardian > 0)
		return;
	if (pipe2(fds, O_CLOEXEC) < 0) {
		log_errno(errno, "guard the terminal");
		return;
	}
	pid = fork();
	if (pid == 0) {
		close(fds[1]);
		guardian_run(terminal, fds[0]);
	}
	close(fds[0]);
	if (pid < 0) {
		log_errno(errno, "guard the terminal");
		close(fds[1]);
		return;
	}
	terminal->guardian = pid;
	terminal->guardian_fd = fds[1];
}

bool terminal_enter_raw(struct terminal *terminal)
{
	struct termios mode;

	if (terminal->fd < 0 || !in_foreground(terminal->fd))
		return false;
	guardian_start(terminal);
	mode = terminal->saved;
	cfmakeraw(&mode);
	set_mode(terminal->fd, &mode);
	terminal->raw = true;
	log_set_raw_terminal(true);
	return true;
}

void terminal_restore(struct terminal *terminal)
{
	if (!terminal->raw)
		return;
	set_mode(terminal->fd, &terminal->saved);
	terminal->raw = false;
	log_set_raw_terminal(false);
}

void terminal_fini(struct terminal *terminal)
{
	terminal_restore(terminal);
	if (terminal->guardian > 0) {
		if (write(terminal->guardian_fd, "q", 1) < 0) {
			/* It is gone already. */
		}
		close(terminal->guardian_fd);
		while (waitpid(terminal->guardian, NULL, 0) < 0 && errno == EINTR)
			;
	}
	*terminal = (struct terminal){ .fd = -1, .guardian_fd = -1 };
}

bool terminal_get_size(const struct terminal *terminal, uint16_t *columns, uint16_t *rows)
{
	struct winsize size;

	if (terminal->fd < 0 || ioctl(terminal->fd, TIOCGWINSZ, &size) < 0)
		return false;
	*columns = size.ws_col;
	*rows = size.ws_row;
	return size.ws_col > 0 && size.ws_row > 0;
}

static enum terminal_key key_of(uint8_t byte)
{
	switch (byte) {
	case 'x':
	case 'X':
		return TERMINAL_KEY_QUIT;
	case 'h':
	case 'H':
	case '?':
		return TERMINAL_KEY_HELP;
	default:
		return TERMINAL_KEY_NONE;
	}
}

enum terminal_key terminal_keys_filter(struct terminal_keys *keys, uint8_t *data, size_t *len,
				       size_t *consumed)
{
	enum terminal_key key = TERMINAL_KEY_NONE;
	size_t kept = 0;
	size_t i = 0;

	while (i < *len && key == TERMINAL_KEY_NONE) {
		uint8_t byte = data[i++];

		if (!keys->escaped && byte == KEY_ESCAPE) {
			keys->escaped = true;
			continue;
		}
		if (!keys->escaped || byte == KEY_ESCAPE)
			data[kept++] = byte;
		else
			key = key_of(byte);
		keys->escaped = false;
	}
	*len = kept;
	*consumed = i;
	return key;
}
