/*
 * Console lines: the tail, the panic line, replays. Each name says what must happen.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "devices/char/char_lines.h"

static void fill(struct char_line *line, const char *text)
{
	bool complete = false;

	for (const char *c = text; *c; c++)
		complete = char_line_add(line, (uint8_t)*c);
	if (!complete)
		assert_true(char_line_add(line, '\n'));
}

static void line_ends_at_newline_without_cr(void **state)
{
	struct char_line line = { 0 };

	(void)state;
	assert_false(char_line_add(&line, 'a'));
	assert_false(char_line_add(&line, '\r'));
	assert_true(char_line_add(&line, '\n'));
	assert_string_equal(line.text, "a");
	assert_true(char_line_add(&line, '\n'));
	assert_string_equal(line.text, "");
}

static void long_line_becomes_several(void **state)
{
	struct char_line line = { 0 };
	unsigned lines = 0;

	(void)state;
	for (unsigned i = 0; i < 3 * CHAR_LINE_MAX; i++)
		lines += char_line_add(&line, 'x');
	assert_int_equal(lines, 3);
	assert_int_equal(line.len, CHAR_LINE_MAX);
}

static void panic_line_is_recognised_with_and_without_a_time_stamp(void **state)
{
	struct char_line line = { 0 };

	(void)state;
	fill(&line, "[    1.234567] Kernel panic - not syncing: VFS: Unable to mount root fs");
	assert_true(char_line_is_panic(&line));
	fill(&line, "Kernel panic - not syncing: x");
	assert_true(char_line_is_panic(&line));
	fill(&line, "[    1.2][    T1] Kernel panic - not syncing: x");
	assert_true(char_line_is_panic(&line));
	fill(&line, "grep: Kernel panic - not syncing");
	assert_false(char_line_is_panic(&line));
	fill(&line, "Kernel panic");
	assert_false(char_line_is_panic(&line));
}

struct collected {
	char text[4096];
	unsigned count;
};

static void collect(void *opaque, const char *line)
{
	struct collected *all = opaque;

	strncat(all->text, line, sizeof(all->text) - strlen(all->text) - 2);
	strcat(all->text, "|");
	all->count++;
}

static void tail_keeps_the_last_lines_in_order(void **state)
{
	static struct char_tail tail;
	struct char_line line = { 0 };
	struct collected all = { 0 };
	char text[16];

	(void)state;
	for (unsigned i = 0; i < CHAR_TAIL_MAX + 3; i++) {
		snprintf(text, sizeof(text), "%u", i);
		fill(&line, text);
		char_tail_add(&tail, &line);
	}
	char_tail_each(&tail, collect, &all);
	assert_int_equal(all.count, CHAR_TAIL_MAX);
	assert_memory_equal(all.text, "3|4|5|", 6);
}

static void tail_keeps_the_panic_line_when_a_long_trace_follows(void **state)
{
	static struct char_tail tail;
	struct char_line line = { 0 };
	struct collected all = { 0 };

	(void)state;
	fill(&line, "[    1.0] Kernel panic - not syncing: why");
	char_tail_add(&tail, &line);
	fill(&line, "trace");
	for (unsigned i = 0; i < CHAR_TAIL_MAX - 1; i++)
		char_tail_add(&tail, &line);
	char_tail_each(&tail, collect, &all);
	assert_int_equal(all.count, CHAR_TAIL_MAX);
	fill(&line, "[    1.1] ---[ end Kernel panic - not syncing: why ]---");
	char_tail_add(&tail, &line);
	memset(&all, 0, sizeof(all));
	char_tail_each(&tail, collect, &all);
	assert_int_equal(all.count, CHAR_TAIL_MAX + 1);
	assert_ptr_equal(strstr(all.text, "[    1.0] Kernel panic - not syncing: why|trace|"),
			 all.text);
	char_tail_forget_panic(&tail);
	memset(&all, 0, sizeof(all));
	char_tail_each(&tail, collect, &all);
	assert_int_equal(all.count, CHAR_TAIL_MAX);
}

static void tail_leaves_out_escape_sequences(void **state)
{
	static struct char_tail tail;
	struct char_line line = { 0 };
	struct collected all = { 0 };

	(void)state;
	fill(&line, "\x1b[1;31mred\x1b[0m\a\tend\x1b");
	char_tail_add(&tail, &line);
	fill(&line, "\x1b[12;");
	char_tail_add(&tail, &line);
	char_tail_each(&tail, collect, &all);
	assert_string_equal(all.text, "red\tend||");
}

static void remember(struct char_replay *replay, const char *text)
{
	struct char_line line = { 0 };

	fill(&line, text);
	char_replay_remember(replay, &line);
}

static bool repeats(struct char_replay *replay, const char *text)
{
	struct char_line line = { 0 };

	fill(&line, text);
	return char_replay_repeats(replay, &line);
}

static void replay_is_recognised_and_ends(void **state)
{
	static struct char_replay replay;

	(void)state;
	remember(&replay, "[    0.000000] Linux version 6.1");
	remember(&replay, "");
	remember(&replay, "a line of the early user space");
	remember(&replay, "[    0.100000] Memory: 500M available");
	assert_true(repeats(&replay, "[    0.000000] Linux version 6.1"));
	assert_true(repeats(&replay, ""));
	assert_true(repeats(&replay, "[    0.100000] Memory: 500M available"));
	assert_true(replay.over);
	assert_false(repeats(&replay, "[    0.100000] Memory: 500M available"));
}

static void output_that_is_no_replay_is_never_left_out(void **state)
{
	static struct char_replay replay;

	(void)state;
	remember(&replay, "[    0.000000] Linux version 6.1");
	assert_false(repeats(&replay, "[    0.500000] printk: console [hvc0] enabled"));
	assert_false(repeats(&replay, "[    0.500000] printk: bootconsole [uart0] disabled"));
	assert_false(repeats(&replay, "[    0.000000] Linux version 6.1"));
}

static void replay_goes_on_after_a_line_the_early_port_missed(void **state)
{
	static struct char_replay replay;

	(void)state;
	remember(&replay, "[    0.000000] Linux version 6.1");
	remember(&replay, "[    0.200000] second line of the log");
	assert_true(repeats(&replay, "[    0.000000] Linux version 6.1"));
	assert_false(repeats(&replay, "[    0.100000] not seen on the serial line"));
	assert_true(repeats(&replay, "[    0.200000] second line of the log"));
}

static void short_lines_do_not_repeat_by_chance(void **state)
{
	static struct char_replay replay;

	(void)state;
	remember(&replay, "[    0.000000] Linux version 6.1");
	remember(&replay, "[    0.200000] second line of the log");
	remember(&replay, "# ");
	assert_true(repeats(&replay, "[    0.000000] Linux version 6.1"));
	assert_false(repeats(&replay, "# "));
}

/* The same lines whether bytes come one by one or in pieces of any length. */
static void lines_taken_in_pieces_are_those_taken_by_bytes(void **state)
{
	static uint8_t data[8192];
	uint32_t seed = 1;

	(void)state;
	for (unsigned i = 0; i < sizeof(data); i++) {
		seed = seed * 1664525 + 1013904223;
		data[i] = (uint8_t) "ab\r\nKx\0y"[seed >> 29];
		/* And a stretch without an end. */
		if (i > 3000 && i < 5000)
			data[i] = 'z';
	}
	for (size_t max = 1; max < 2000; max = max * 3 + 1) {
		struct char_line bytes = { 0 }, pieces = { 0 };
		size_t at = 0;

		while (at < sizeof(data)) {
			size_t len = sizeof(data) - at < max ? sizeof(data) - at : max;
			size_t taken;
			bool complete = char_line_take(&pieces, data + at, len, &taken);

			assert_in_range(taken, 1, len);
			for (size_t i = 0; i < taken; i++)
				assert_int_equal(char_line_add(&bytes, data[at + i]),
						 complete && i == taken - 1);
			assert_int_equal(bytes.len, pieces.len);
			assert_int_equal(bytes.complete, pieces.complete);
			assert_memory_equal(bytes.text, pieces.text, bytes.len + 1u);
			at += taken;
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(line_ends_at_newline_without_cr),
		cmocka_unit_test(long_line_becomes_several),
		cmocka_unit_test(lines_taken_in_pieces_are_those_taken_by_bytes),
		cmocka_unit_test(panic_line_is_recognised_with_and_without_a_time_stamp),
		cmocka_unit_test(tail_keeps_the_last_lines_in_order),
		cmocka_unit_test(tail_keeps_the_panic_line_when_a_long_trace_follows),
		cmocka_unit_test(tail_leaves_out_escape_sequences),
		cmocka_unit_test(replay_is_recognised_and_ends),
		cmocka_unit_test(output_that_is_no_replay_is_never_left_out),
		cmocka_unit_test(replay_goes_on_after_a_line_the_early_port_missed),
		cmocka_unit_test(short_lines_do_not_repeat_by_chance),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
