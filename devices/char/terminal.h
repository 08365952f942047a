/*
 * The person's terminal: raw mode while the machine runs, given back as it was found however the
 * monitor ends, and the keys that are for the monitor rather than for the guest.
 */
#ifndef DEVICES_CHAR_TERMINAL_H
#define DEVICES_CHAR_TERMINAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <termios.h>

#include "vmm/err.h"

struct terminal {
	int fd; /* borrowed; -1: there is no terminal */
	bool raw;
	struct termios saved;
	pid_t guardian; /* 0: none */
	int guardian_fd;
};

/* Looks at FD (normally standard input); anything but a terminal makes all else do nothing. */
void terminal_init(struct terminal *terminal, int fd);

/*
 * Raw mode, if this process is in the terminal's foreground: otherwise the terminal is not ours and
 * is left alone (call again when continued). A small process of our own, started the first time,
 * gives the terminal back when the monitor dies without a chance to do so. Main thread, best before
 * guest memory is mapped. True when the terminal is in raw mode.
 */
bool terminal_enter_raw(struct terminal *terminal);
/* Gives the terminal back. Any thread, again and again. */
void terminal_restore(struct terminal *terminal);
void terminal_fini(struct terminal *terminal);

/* Size in characters; false when it is not known. Any thread. */
bool terminal_get_size(const struct terminal *terminal, uint16_t *columns, uint16_t *rows);

enum terminal_key {
	TERMINAL_KEY_NONE,
	TERMINAL_KEY_QUIT, /* Ctrl-a x */
	TERMINAL_KEY_HELP, /* Ctrl-a h, Ctrl-a ? */
};

/* State of the escape. Zero-initialise. */
struct terminal_keys {
	bool escaped;
};

/*
 * Takes the monitor's keys out of *LEN typed bytes, in place; Ctrl-a twice leaves one Ctrl-a.
 * *CONSUMED bytes were looked at: it stops behind the first key that it returns, so that what was
 * typed before it is dealt with first.
 */
enum terminal_key terminal_keys_filter(struct terminal_keys *keys, uint8_t *data, size_t *len,
				       size_t *consumed);

/* What Ctrl-a h shows, lines ended by CR LF. */
extern const char terminal_help[];

#endif
