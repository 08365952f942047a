/*
 * Messages for the person at the terminal or the journal. Everything goes to stderr, one line a
 * message, in one write(2), so that lines of several threads never mix. Thread-safe.
 */
#ifndef VMM_LOG_H
#define VMM_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/err.h"

enum log_level {
	LOG_LEVEL_ERR,	 /* something that was asked for cannot be done */
	LOG_LEVEL_WARN,	 /* it goes on, but not as a user would expect */
	LOG_LEVEL_INFO,	 /* shown by default; rare */
	LOG_LEVEL_DEBUG, /* -v: steps, with the time since the start */
};

/* Sets what is shown; messages above LEVEL are dropped. Call before threads are started. */
void log_set_level(enum log_level level);

/* True when messages of LEVEL are shown: for work that only a message needs. */
bool log_enabled(enum log_level level);

/*
 * While the terminal is in raw mode a line must end in CR LF; the console switches this on and off.
 * Any thread.
 */
void log_set_raw_terminal(bool raw);

void log_message(enum log_level level, const char *fmt, ...) PRINTF_LIKE(2, 3);

/*
 * Logs FMT followed by ": " and the text of ERR (a positive or negative errno) and returns -|ERR|,
 * so that a failing call reads: return log_errno(errno, "open %s", path); An error that has the
 * same cure whatever failed (too many open files) is followed by it.
 */
int log_errno(int err, const char *fmt, ...) PRINTF_LIKE(2, 3);

/*
 * A thread that works beside another does not speak for itself: between log_hold(HELD) and
 * log_hold(NULL) its first error goes into HELD, zeroed, and its others nowhere. log_release shows
 * it, if there is one, on whatever thread.
 */
#define LOG_LINE_MAX 1024

struct log_held {
	char line[LOG_LINE_MAX];
	size_t len;
};

void log_hold(struct log_held *held);
void log_release(struct log_held *held);

#define log_err(...)   log_message(LOG_LEVEL_ERR, __VA_ARGS__)
#define log_warn(...)  log_message(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_info(...)  log_message(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_message(LOG_LEVEL_DEBUG, __VA_ARGS__)

/*
 * Rate limit for what a guest can provoke: at most LOG_LIMIT_BURST lines in LOG_LIMIT_WINDOW_MS per
 * struct; the number suppressed is said with the next line. Zero-initialise. One a device.
 */
#define LOG_LIMIT_BURST	    5
#define LOG_LIMIT_WINDOW_MS 10000

struct log_limit {
	uint64_t window_start_ms;
	uint32_t count;
	uint32_t suppressed;
};

/* A warning about a guest's behaviour, rate-limited by LIMIT. Any thread. */
void log_guest(struct log_limit *limit, const char *fmt, ...) PRINTF_LIKE(2, 3);

#endif
