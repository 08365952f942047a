/*
 * Work beside the start: its result, and what is said of its errors.
 */
#include "vmm/beside.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "vmm/log.h"

/* cmocka wants these first. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

struct said {
	int saved;
	int pipe[2];
	char text[512];
};

static int listen_to_stderr(void **state)
{
	static struct said said;

	memset(&said, 0, sizeof(said));
	*state = &said;
	said.saved = dup(STDERR_FILENO);
	if (pipe2(said.pipe, O_NONBLOCK) < 0 || said.saved < 0)
		return -1;
	return dup2(said.pipe[1], STDERR_FILENO) < 0 ? -1 : 0;
}

static int forget_stderr(void **state)
{
	struct said *said = *state;

	dup2(said->saved, STDERR_FILENO);
	close(said->saved);
	close(said->pipe[0]);
	close(said->pipe[1]);
	return 0;
}

/* What was said since the last call. */
static const char *what_was_said(struct said *said)
{
	ssize_t len = read(said->pipe[0], said->text, sizeof(said->text) - 1);

	said->text[len > 0 ? len : 0] = '\0';
	return said->text;
}

static int fail_twice(void *opaque)
{
	log_err("first of %s", (const char *)opaque);
	log_err("second of %s", (const char *)opaque);
	log_warn("warning of %s", (const char *)opaque);
	return -EIO;
}

static int count(void *opaque)
{
	++*(int *)opaque;
	return 7;
}

static void result_is_what_the_function_returned(void **state)
{
	struct beside none = { 0 }, beside;
	int calls = 0;

	(void)state;
	beside_start(&beside, count, &calls);
	assert_int_equal(beside_join(&beside), 7);
	assert_int_equal(beside_join(&beside), 7);
	assert_int_equal(calls, 1);
	assert_int_equal(beside_join(&none), 0);
}

static void first_error_is_shown_by_who_joins_once(void **state)
{
	struct said *said = *state;
	struct beside beside;

	beside_start(&beside, fail_twice, "two");
	while (!strstr(what_was_said(said), "warning: warning of two"))
		usleep(1000);
	assert_null(strstr(said->text, "first"));
	assert_int_equal(beside_join(&beside), -EIO);
	assert_string_equal(what_was_said(said), "vmm: first of two\n");
	assert_int_equal(beside_join(&beside), -EIO);
	assert_string_equal(what_was_said(said), "");
}

static void errors_of_what_was_abandoned_are_not_shown(void **state)
{
	struct said *said = *state;
	struct beside beside;

	beside_start(&beside, fail_twice, "many");
	beside_abandon(&beside);
	assert_string_equal(what_was_said(said), "vmm: warning: warning of many\n");
	assert_int_equal(beside_join(&beside), -EIO);
	assert_string_equal(what_was_said(said), "");
	log_err("own");
	assert_string_equal(what_was_said(said), "vmm: own\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(result_is_what_the_function_returned),
		cmocka_unit_test_setup_teardown(first_error_is_shown_by_who_joins_once,
						listen_to_stderr, forget_stderr),
		cmocka_unit_test_setup_teardown(errors_of_what_was_abandoned_are_not_shown,
						listen_to_stderr, forget_stderr),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
