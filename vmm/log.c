/*
 * Messages on stderr. Any thread; each message is one write(2).
 */
#include "vmm/log.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static atomic_int log_level = LOG_LEVEL_INFO;
static atomic_bool log_raw_terminal;
static _Thread_local struct log_held *log_holder;

void log_set_level(enum log_level level)
{
	atomic_store_explicit(&log_level, (int)level, memory_order_relaxed);
}

bool log_enabled(enum log_level level)
{
	return (int)level <= atomic_load_explicit(&log_level, memory_order_relaxed);
}

void log_set_raw_terminal(bool raw)
{
	atomic_store_explicit(&log_raw_terminal, raw, memory_order_relaxed);
}

/* vsnprintf that always leaves a valid string and says how many bytes it holds. */
static size_t log_format(char *buf, size_t room, const char *fmt, va_list args)
{
	int len = vsnprintf(buf, room, fmt, args);

	if (len < 0)
		return 0;
	return (size_t)len < room ? (size_t)len : room - 1;
}

void log_hold(struct log_held *held)
{
	log_holder = held;
}

static void log_put(const char *line, size_t len)
{
	while (write(STDERR_FILENO, line, len) < 0 && errno == EINTR)
		;
}

void log_release(struct log_held *held)
{
	if (held->len)
		log_put(held->line, held->len);
	held->len = 0;
}

static void log_write(enum log_level level, const char *fmt, va_list args, const char *tail)
{
	static const char *const prefix[] = {
		[LOG_LEVEL_ERR] = "vmm: ",
		[LOG_LEVEL_WARN] = "vmm: warning: ",
		[LOG_LEVEL_INFO] = "vmm: ",
		[LOG_LEVEL_DEBUG] = "vmm: ",
	};
	int saved_errno = errno;
	char line[LOG_LINE_MAX];
	const size_t room = sizeof(line) - 2; /* the line's end always fits */
	size_t len = (size_t)snprintf(line, room, "%s", prefix[level]);

	len += log_format(line + len, room - len, fmt, args);
	if (tail)
		len += strlen(strncat(line + len, tail, room - len - 1));
	if (atomic_load_explicit(&log_raw_terminal, memory_order_relaxed))
		line[len++] = '\r';
	line[len++] = '\n';
	if (!log_holder || level != LOG_LEVEL_ERR) {
		log_put(line, len);
	} else if (!log_holder->len) {
		memcpy(log_holder->line, line, len);
		log_holder->len = len;
	}
	errno = saved_errno;
}

void log_message(enum log_level level, const char *fmt, ...)
{
	va_list args;

	if (!log_enabled(level))
		return;
	va_start(args, fmt);
	log_write(level, fmt, args, NULL);
	va_end(args);
}

/* Whatever it was that failed: what helps. */
static const char *cure_of(int err)
{
	if (err == EMFILE)
		return " (raise the limit: ulimit -n 1024)";
	if (err == ENFILE)
		return " (raise the host's limit: sysctl fs.file-max)";
	return "";
}

int log_errno(int err, const char *fmt, ...)
{
	char tail[128];
	va_list args;

	err = err < 0 ? -err : err;
	snprintf(tail, sizeof(tail), ": %s%s",
		 strerrordesc_np(err) ? strerrordesc_np(err) : "error", cure_of(err));
	va_start(args, fmt);
	log_write(LOG_LEVEL_ERR, fmt, args, tail);
	va_end(args);
	return -err;
}

static uint64_t log_now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* One for all limits: it is held for a few instructions, and only when a guest misbehaves. */
static pthread_mutex_t limit_lock = PTHREAD_MUTEX_INITIALIZER;

void log_guest(struct log_limit *limit, const char *fmt, ...)
{
	uint64_t now = log_now_ms();
	char tail[64] = "";
	va_list args;
	bool shown;

	pthread_mutex_lock(&limit_lock);
	if (!limit->window_start_ms || now - limit->window_start_ms >= LOG_LIMIT_WINDOW_MS) {
		if (limit->suppressed)
			snprintf(tail, sizeof(tail), " (%u more like it were left out)",
				 limit->suppressed);
		*limit = (struct log_limit){ .window_start_ms = now };
	}
	shown = limit->count < LOG_LIMIT_BURST;
	if (shown)
		limit->count++;
	else
		limit->suppressed++;
	pthread_mutex_unlock(&limit_lock);
	if (!shown)
		return;
	va_start(args, fmt);
	log_write(LOG_LEVEL_WARN, fmt, args, tail[0] ? tail : NULL);
	va_end(args);
}
