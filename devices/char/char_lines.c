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

bool char_line_is_panic(const struct char_line *line)
{
	static const char words[] = "Kernel panic - not syncing";
	const char *at = memmem(line->text, line->len, words, sizeof(words) - 1);

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

void char_tail_add(struct char_tail *tail, const struct char_line *line)
{
	char *out = tail->text[tail->next];
	size_t used = 0;

	for (size_t i = 0; i < line->len; i++) {
		unsigned char c = (unsigned char)line->text[i];

		if (c == 0x1b)
			i += escape_len(line->text + i, line->len - i) - 1;
		else if ((c >= 0x20 && c != 0x7f) || c == '\t')
			out[used++] = (char)c;
	}
	out[used] = '\0';
	tail->next = (tail->next + 1) % CHAR_TAIL_MAX;
	if (tail->count < CHAR_TAIL_MAX)
		tail->count++;
	tail->after_panic++;
	if (!tail->panic[0] && char_line_is_panic(line)) {
		memcpy(tail->panic, out, used + 1);
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
	for (unsigned i = 0; i < tail->count; i++)
		fn(opaque, tail->text[(first + i) % CHAR_TAIL_MAX]);
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
