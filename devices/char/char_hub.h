/*
 * The machine's console: one destination on the host, fed by up to two guest ports (the serial
 * line ttyS0 and virtio's hvc0).
 *
 * The port that is the machine's console is shown. Until hvc0 says its first word the serial port
 * is shown in its place, for early messages; what hvc0 then repeats of them is left out, so that
 * each line is seen once. Both ports are searched for the kernel's panic line.
 */
#ifndef DEVICES_CHAR_CHAR_HUB_H
#define DEVICES_CHAR_CHAR_HUB_H

#include <stdbool.h>

#include "devices/char/char.h"
#include "vmm/err.h"
#include "vmm/loop.h"

struct char_hub;

enum char_to { CHAR_TO_TERMINAL, CHAR_TO_FILE, CHAR_TO_PTY, CHAR_TO_NONE };

struct char_hub_options {
	enum char_to to;
	const char *path;    /* CHAR_TO_FILE; outlives the hub */
	bool virtio_console; /* hvc0 is the machine's console, else ttyS0 */
	/* CHAR_TO_TERMINAL: where from and to; normally 0 and 1. */
	int in_fd;
	int out_fd;
	/* The person typed Ctrl-a x. Loop thread. NULL: not wanted, as are the others. */
	void (*quit)(void *opaque);
	/* The terminal or the pipe behind standard output was closed. Loop thread, once. */
	void (*closed)(void *opaque);
	/* The kernel's panic line was seen, once until char_hub_reset. Any thread that writes; must
	 * not call back into the hub and must not block. */
	void (*panicked)(void *opaque);
	void *opaque;
};

/*
 * Opens the destination; puts the terminal into raw mode. Call early, before guest memory is
 * mapped: a process is forked that gives the terminal back should the monitor die. Ignores SIGPIPE
 * from now on. Main thread. 0 or -errno, logged.
 */
int char_hub_create(struct char_hub **out, const struct char_hub_options *options) MUST_CHECK;
/* Writes out what is left and gives the terminal back. The loop has ended. NULL is allowed. */
void char_hub_destroy(struct char_hub *hub);

/* Begins to take input, and to write out later what cannot be written at once, on LOOP. Before the
 * loop runs. 0 or -errno, logged. */
int char_hub_attach(struct char_hub *hub, struct loop *loop) MUST_CHECK;

/* For the serial line's front end and for virtio-console's. Owned by the hub. */
struct char_port *char_hub_serial_port(struct char_hub *hub);
struct char_port *char_hub_virtio_port(struct char_hub *hub);

/* The machine was reset: the early console is shown again. vCPUs stopped; any thread. */
void char_hub_reset(struct char_hub *hub);
/* SIGWINCH arrived, or SIGCONT after a stop. Loop thread. */
void char_hub_resized(struct char_hub *hub);
void char_hub_continued(struct char_hub *hub);
/* Gives the terminal back early, before a last message. Any thread. */
void char_hub_restore_terminal(struct char_hub *hub);

/* True when the kernel's panic line was seen since the last reset. Any thread. */
bool char_hub_panicked(struct char_hub *hub);
/* After the panic line: the port that said it has come to Linux's last words, and said nothing
 * since. A log that someone looks at is followed by a prompt. Any thread. */
bool char_hub_panic_is_last(struct char_hub *hub);
/* It was no panic: the next such line counts anew. Any thread. */
void char_hub_forget_panic(struct char_hub *hub);
/* The last lines shown, oldest first, without control characters. FN must not call the hub. */
void char_hub_tail(struct char_hub *hub, void (*fn)(void *opaque, const char *line), void *opaque);

#endif
