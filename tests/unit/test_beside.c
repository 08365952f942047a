/*
 * Work beside the start: its result, and what is said of its errors.
 */
#include "vmm/beside.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
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
	struct beside_job never = { 0 }, job;
	struct beside beside;
	int calls = 0;

	(void)state;
	beside_init(&beside);
	beside_do(&beside, &job, count, &calls);
	assert_int_equal(beside_join(&beside, &job), 7);
	assert_int_equal(beside_join(&beside, &job), 7);
	assert_int_equal(calls, 1);
	assert_int_equal(beside_join(&beside, &never), 0);
	beside_abandon(&beside, &never);
	beside_fini(&beside);
}

static int note_order(void *opaque)
{
	char *text = *(char **)opaque;

	*(char **)opaque = text + 1;
	*text = (char)(*text + 1);
	return *text;
}

static void jobs_are_done_one_after_another_in_their_order(void **state)
{
	struct beside_job jobs[3];
	struct beside beside;
	char text[] = "adg", *at = text;

	(void)state;
	beside_init(&beside);
	for (unsigned i = 0; i < 3; i++)
		beside_do(&beside, &jobs[i], note_order, &at);
	assert_int_equal(beside_join(&beside, &jobs[2]), 'h');
	assert_string_equal(text, "beh");
	assert_int_equal(beside_join(&beside, &jobs[0]), 'b');
	beside_abandon(&beside, &jobs[1]);
	beside_fini(&beside);
}

/* As on a host with one. */
static void jobs_are_done_at_once_where_there_is_no_other_cpu(void **state)
{
	struct beside_job job;
	struct beside beside;
	cpu_set_t all, one;
	int calls = 0;

	(void)state;
	assert_int_equal(sched_getaffinity(0, sizeof(all), &all), 0);
	CPU_ZERO(&one);
	CPU_SET((size_t)sched_getcpu(), &one);
	assert_int_equal(sched_setaffinity(0, sizeof(one), &one), 0);
	beside_init(&beside);
	beside_do(&beside, &job, count, &calls);
	assert_int_equal(calls, 1);
	assert_int_equal(beside_join(&beside, &job), 7);
	beside_fini(&beside);
	sched_setaffinity(0, sizeof(all), &all);
}

static void first_error_is_shown_by_who_joins_once(void **state)
{
	struct said *said = *state;
	struct beside beside;
	struct beside_job job;

	beside_init(&beside);
	beside_do(&beside, &job, fail_twice, "two");
	while (!strstr(what_was_said(said), "warning: warning of two"))
		usleep(1000);
	assert_null(strstr(said->text, "first"));
	assert_int_equal(beside_join(&beside, &job), -EIO);
	assert_string_equal(what_was_said(said), "vmm: first of two\n");
	assert_int_equal(beside_join(&beside, &job), -EIO);
	assert_string_equal(what_was_said(said), "");
	beside_fini(&beside);
}

static void errors_of_what_was_abandoned_are_not_shown(void **state)
{
	struct said *said = *state;
	struct beside beside;
	struct beside_job job;

	beside_init(&beside);
	beside_do(&beside, &job, fail_twice, "many");
	beside_abandon(&beside, &job);
	assert_string_equal(what_was_said(said), "vmm: warning: warning of many\n");
	assert_int_equal(beside_join(&beside, &job), -EIO);
	assert_string_equal(what_was_said(said), "");
	log_err("own");
	assert_string_equal(what_was_said(said), "vmm: own\n");
	beside_fini(&beside);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(result_is_what_the_function_returned),
		cmocka_unit_test(jobs_are_done_one_after_another_in_their_order),
		cmocka_unit_test(jobs_are_done_at_once_where_there_is_no_other_cpu),
		cmocka_unit_test_setup_teardown(first_error_is_shown_by_who_joins_once,
						listen_to_stderr, forget_stderr),
		cmocka_unit_test_setup_teardown(errors_of_what_was_abandoned_are_not_shown,
						listen_to_stderr, forget_stderr),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
