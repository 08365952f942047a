/*
 * What is shown of the machine's two console ports: the serial line until hvc0 says its first word,
 * then hvc0 without what the kernel says a second time there. Both are searched for the kernel's
 * panic line. What is shown goes into a sink.
 *
 * No lock, no descriptor, no thread: the console hub calls everything here under its lock.
 */
#ifndef DEVICES_CHAR_CHAR_SHOW_H
#define DEVICES_CHAR_CHAR_SHOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "devices/char/char_lines.h"
#include "devices/char/char_sink.h"

/* Zero-initialise, then set the first two. */
struct char_show {
	struct char_sink *sink; /* borrowed */
	bool virtio_console;	/* hvc0 is the machine's console, else the serial line */

	struct char_line serial; /* of everything the port said */
	struct char_line virtio;
	bool virtio_up; /* hvc0 has spoken: the serial port is not shown any more */
	bool panicked;
	const struct char_line *panic_port; /* that said so */
	struct char_tail tail;
	struct char_replay replay;
	char held[CHAR_LINE_MAX + 2]; /* hvc0's line that may be a repetition */
	size_t held_len;
	uint64_t held_since_ns;
};

/* Whether the serial port is the one that is shown. */
bool char_show_is_serial(const struct char_show *show);

/*
 * A port said DATA. How much of it was taken, less than LEN when the sink has no more room; all of
 * what is not shown. *PANIC becomes true when the panic line was in it, for the first time.
 */
size_t char_show_serial(struct char_show *show, const uint8_t *data, size_t len, bool *panic);
size_t char_show_virtio(struct char_show *show, const uint8_t *data, size_t len, bool *panic);

/* Shows what was held back. */
void char_show_release(struct char_show *show);
/* The same, and nothing is held back any more, when it was for WAIT_NS. */
void char_show_release_old(struct char_show *show, uint64_t now_ns, uint64_t wait_ns);

/* The machine was reset: the early console is shown again. */
void char_show_reset(struct char_show *show);
/* It was no panic: the next such line counts anew. */
void char_show_forget_panic(struct char_show *show);
/* After the panic line: the port that said it has come to Linux's last words. */
bool char_show_panic_is_last(const struct char_show *show);

#endif
