/*
 * Console bytes seen as lines: the last ones for a panic report, the kernel's panic line, and lines
 * that were shown once and must not be shown again. Pure: no descriptors, no locks.
 */
#ifndef DEVICES_CHAR_CHAR_LINES_H
#define DEVICES_CHAR_CHAR_LINES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CHAR_LINE_MAX  512  /* longer lines count as several */
#define CHAR_TAIL_MAX  40   /* lines kept for a report */
#define CHAR_SHOWN_MAX 4096 /* lines remembered to recognise a replay */

/* Bytes becoming lines; CR is left out. Zero-initialise. */
struct char_line {
	char text[CHAR_LINE_MAX + 1];
	uint16_t len;
	bool complete; /* the next byte begins a new line */
};

/*
 * Adds one byte. True when that completes a line: text is then terminated by NUL and len is its
 * length; the next call begins a new one.
 */
bool char_line_add(struct char_line *line, uint8_t byte);
/*
 * Adds some of the LEN (at least 1) bytes of DATA, how many goes to *TAKEN: as many as can be added
 * at once, and none after one that completes a line. True when one did.
 */
bool char_line_take(struct char_line *line, const uint8_t *data, size_t len, size_t *taken);

/* True for the line with which Linux announces that it has panicked. */
bool char_line_is_panic(const struct char_line *line);

/* True for the lines that are Linux's very last after a panic. */
bool char_line_ends_panic(const struct char_line *line);

/* The last CHAR_TAIL_MAX lines, and the panic line though more came after it. Zero-initialise. */
struct char_tail {
	char text[CHAR_TAIL_MAX][CHAR_LINE_MAX]; /* as it came */
	uint16_t len[CHAR_TAIL_MAX];
	unsigned next;
	unsigned count;
	char panic[CHAR_LINE_MAX + 1]; /* empty: none yet */
	unsigned after_panic;	       /* lines since then */
};

/* Keeps a copy. */
void char_tail_add(struct char_tail *tail, const struct char_line *line);
/* The panic line was one of a log that someone looked at, or of the boot before. */
void char_tail_forget_panic(struct char_tail *tail);
/* Calls FN with each line, oldest first: at most CHAR_TAIL_MAX and the panic line before them.
 * Control characters and escape sequences are left out. */
void char_tail_each(const struct char_tail *tail, void (*fn)(void *opaque, const char *line),
		    void *opaque);

/*
 * A console that registers late replays the kernel's whole log. What was already shown from another
 * port is recognised line by line, in order, so that each line is seen once. Zero-initialise.
 */
struct char_replay {
	uint64_t shown[CHAR_SHOWN_MAX]; /* hashes, in order */
	unsigned count;
	unsigned next;	 /* the earliest line that may come again */
	unsigned misses; /* lines in a row that were new */
	bool matched;	 /* at least one line was a repetition */
	bool over;	 /* everything from now on is new */
};

/* LINE was shown from the early port. */
void char_replay_remember(struct char_replay *replay, const struct char_line *line);
/* True when LINE, from the late port, was shown before. */
bool char_replay_repeats(struct char_replay *replay, const struct char_line *line);

#endif
