/*
 * Lines of console output: the tail for reports, the panic line, recognition of a replayed log.
 * Called by the console hub under its lock, on the loop's and on vCPU threads.
 */
#include "devices/char/char_lines.h"

#include <string.h>

/* Unlike lines this short a longer one does not repeat by chance: it is looked for further on. */
#define REPLAY_DISTINCT_LEN 16
/* New lines in a row after which a replay has ended, and before one is known to have begun. */
#define REPLAY_MISSES_MAX   8
#define REPLAY_MISSES_FIRST 2

bool char_line_add(struct char_line *line, uint8_t byte)
{
	if (byte == '\r')
		return false;
	if (line->complete)
		line->len = 0;
	if (byte != '\n')
		line->text[line->len++] = (char)byte;
	line->text[line->len] = '\0';
	line->complete = byte == '\n' || line->len == CHAR_LINE_MAX;
	return line->complete;
}

bool char_line_take(struct char_line *line, const uint8_t *data, size_t len, size_t *taken)
{
	const uint8_t *end;

	/* Looking further would be in vain: no more finds room. */
	if (len > CHAR_LINE_MAX)
		len = CHAR_LINE_MAX;
	end = memchr(data, '\n', len);
	if (end)
		len = (size_t)(end - data);
	end = memchr(data, '\r', len);
	if (end)
		len = (size_t)(end - data);
	if (len == 0) {
		*taken = 1;
		return char_line_add(line, *data);
	}
	if (line->complete)
		line->len = 0;
	if (len > CHAR_LINE_MAX - (size_t)line->len)
		len = CHAR_LINE_MAX - (size_t)line->len;
	memcpy(line->text + line->len, data, len);
	line->len = (uint16_t)(line->len + len);
	line->text[line->len] = '\0';
	line->complete = line->len == CHAR_LINE_MAX;
	*taken = len;
	return line->complete;
}

/* Where the kernel says that it has panicked, or NULL. Called for every line: most have no K. */
static const char *find_panic(const struct char_line *line)
{
	static const char words[] = "Kernel panic - not syncing";
	const char *end = line->text + line->len;
	const char *at = line->text;

	while (end - at >= (ptrdiff_t)sizeof(words) - 1) {
		at = memchr(at, words[0], (size_t)(end - at) - (sizeof(words) - 2));
		if (!at || memcmp(at, words, sizeof(words) - 1) == 0)
			return at;
		at++;
	}
	return NULL;
}

bool char_line_is_panic(const struct char_line *line)
{
	const char *at = find_panic(line);

	/* At the line's start, or after the time stamp and caller of the kernel's own lines. */
	return at && (at == line->text || (line->text[0] == '[' && at[-1] == ' '));
}

bool char_line_ends_panic(const struct char_line *line)
{
	return strstr(line->text, "---[ end Kernel panic") || strstr(line->text, "Rebooting in ");
}

/* Length of an escape sequence at the start of TEXT (its first byte is ESC). */
static size_t escape_len(const char *text, size_t len)
{
	size_t i = 1;

	if (len > 1 && text[1] == '[') {
		for (i = 2; i < len && (text[i] < 0x40 || text[i] > 0x7e); i++)
			;
	}
	return i < len ? i + 1 : len;
}

/* TEXT without control characters and escape sequences; OUT has room for LEN bytes and a NUL. */
static void clean(char *out, const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];

		if (c == 0x1b)
			i += escape_len(text + i, len - i) - 1;
		else if ((c >= 0x20 && c != 0x7f) || c == '\t')
			*out++ = (char)c;
	}
	*out = '\0';
}

void char_tail_add(struct char_tail *tail, const struct char_line *line)
{
	memcpy(tail->text[tail->next], line->text, line->len);
	tail->len[tail->next] = line->len;
	tail->next = (tail->next + 1) % CHAR_TAIL_MAX;
	if (tail->count < CHAR_TAIL_MAX)
		tail->count++;
	tail->after_panic++;
	if (!tail->panic[0] && char_line_is_panic(line)) {
		clean(tail->panic, line->text, line->len);
		tail->after_panic = 0;
	}
}

void char_tail_forget_panic(struct char_tail *tail)
{
	tail->panic[0] = '\0';
}

void char_tail_each(const struct char_tail *tail, void (*fn)(void *opaque, const char *line),
		    void *opaque)
{
	unsigned first = (tail->next + CHAR_TAIL_MAX - tail->count) % CHAR_TAIL_MAX;

	if (tail->panic[0] && tail->after_panic >= CHAR_TAIL_MAX)
		fn(opaque, tail->panic);
	for (unsigned i = 0; i < tail->count; i++) {
		unsigned at = (first + i) % CHAR_TAIL_MAX;
		char text[CHAR_LINE_MAX + 1];

		clean(text, tail->text[at], tail->len[at]);
		fn(opaque, text);
	}
}

/* FNV-1a */
static uint64_t line_hash(const struct char_line *line)
{
	uint64_t hash = 0xcbf29ce484222325ull;

	for (unsigned i = 0; i < line->len; i++)
		hash = (hash ^ (uint8_t)line->text[i]) * 0x100000001b3ull;
	return hash;
}

void char_replay_remember(struct char_replay *replay, const struct char_line *line)
{
	if (replay->count < CHAR_SHOWN_MAX)
		replay->shown[replay->count++] = line_hash(line);
}

/* Index of the line in what was shown and has not come again, or count. */
static unsigned replay_find(const struct char_replay *replay, const struct char_line *line)
{
	uint64_t hash = line_hash(line);
	unsigned last = line->len >= REPLAY_DISTINCT_LEN ? replay->count : replay->next + 1;

	if (last > replay->count)
		last = replay->count;
	for (unsigned i = replay->next; i < last; i++) {
		if (replay->shown[i] == hash)
			return i;
	}
	return replay->count;
}

bool char_replay_repeats(struct char_replay *replay, const struct char_line *line)
{
	unsigned at;

	if (replay->over)
		return false;
	at = replay_find(replay, line);
	if (at < replay->count) {
		replay->next = at + 1;
		replay->matched = true;
		replay->misses = 0;
		replay->over = replay->next == replay->count;
		return true;
	}
	replay->misses++;
	if (replay->misses >= (replay->matched ? REPLAY_MISSES_MAX : REPLAY_MISSES_FIRST))
		replay->over = true;
	return false;
}
