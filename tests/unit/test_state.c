/*
 * Files of living and dead runs. Each name says what must happen.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "vmm/boundary/state.h"

static int open_temporary(struct state_dir *dir)
{
	char path[] = "/tmp/vmm-test-state.XXXXXX";

	assert_non_null(mkdtemp(path));
	snprintf(dir->path, sizeof(dir->path), "%s", path);
	dir->fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return dir->fd;
}

static void remove_temporary(struct state_dir *dir)
{
	state_close(dir);
	assert_int_equal(rmdir(dir->path), 0);
}

static int count(const char *text, void *opaque)
{
	assert_string_equal(text, "cgroup /a\naddress 10.77.0.2\n");
	++*(unsigned *)opaque;
	return 0;
}

static void count_each(const char *text, void *opaque)
{
	(void)count(text, opaque);
}

static void note_two(struct state_entry *entry)
{
	*entry = (struct state_entry){ .fd = -1 };
	assert_true(state_note(entry, "cgroup", "/a"));
	assert_true(state_note(entry, "address", "10.77.0.2"));
}

static void a_living_run_is_not_swept(void **state)
{
	struct state_dir dir;
	struct state_entry entry;
	unsigned swept = 0, seen = 0;

	(void)state;
	assert_true(open_temporary(&dir) >= 0);
	note_two(&entry);
	assert_int_equal(state_entry_create(&dir, &entry, "container"), 0);
	assert_int_equal(state_sweep(&dir, "container", count, &swept), 0);
	assert_int_equal(swept, 0);
	state_each(&dir, "container", count_each, &seen);
	assert_int_equal(seen, 1);
	state_each_living(&dir, "container", count_each, &seen);
	assert_int_equal(seen, 2);
	state_entry_remove(&dir, &entry);
	remove_temporary(&dir);
}

static void a_dead_run_is_swept_once(void **state)
{
	struct state_dir dir;
	unsigned swept = 0, seen = 0;
	int status;
	pid_t pid;

	(void)state;
	assert_true(open_temporary(&dir) >= 0);
	pid = fork();
	if (pid == 0) {
		struct state_entry entry;

		note_two(&entry);
		_exit(state_entry_create(&dir, &entry, "container") < 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	state_each_living(&dir, "container", count_each, &seen);
	assert_int_equal(seen, 0);
	state_each(&dir, "container", count_each, &seen);
	assert_int_equal(seen, 1);
	assert_int_equal(state_sweep(&dir, "host", count, &swept), 0);
	assert_int_equal(swept, 0);
	assert_int_equal(state_sweep(&dir, "container", count, &swept), 0);
	assert_int_equal(swept, 1);
	assert_int_equal(state_sweep(&dir, "container", count, &swept), 0);
	assert_int_equal(swept, 1);
	remove_temporary(&dir);
}

static void lines_that_are_none_are_skipped(void **state)
{
	static const char text[] = "\nword\n value\nword \na b c\n"
				   "a-word-that-is-longer-than-thirty-two x\nlast one";
	char word[32], value[256];
	size_t at = 0;

	(void)state;
	assert_true(state_next_line(text, &at, word, value));
	assert_string_equal(word, "a");
	assert_string_equal(value, "b c");
	assert_true(state_next_line(text, &at, word, value));
	assert_string_equal(word, "last");
	assert_string_equal(value, "one");
	assert_false(state_next_line(text, &at, word, value));
}

static void what_does_not_fit_is_not_noted(void **state)
{
	struct state_entry entry = { .fd = -1 };
	char value[201];
	unsigned noted = 0;

	(void)state;
	memset(value, 'x', 200);
	value[200] = '\0';
	while (state_note(&entry, "w", value))
		noted++;
	assert_true(noted > 10);
	assert_int_equal(strlen(entry.text), noted * 203);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_living_run_is_not_swept),
		cmocka_unit_test(a_dead_run_is_swept_once),
		cmocka_unit_test(lines_that_are_none_are_skipped),
		cmocka_unit_test(what_does_not_fit_is_not_noted),
	};

	return cmocka_run_group_tests_name("state", tests, NULL, NULL);
}
