/* What workloads print, and what reports make of hostile text; programs run and watched. */
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "vmm/compare/child.h"
#include "vmm/compare/command.h"
#include "vmm/compare/output.h"
#include "vmm/compare/report.h"

static double value_of(const struct output *output, const char *key)
{
	int at = output_find(output, key);

	return at < 0 ? -1 : output->items[at].value;
}

static void lines_become_values_and_texts(void **state)
{
	struct output output = { .count = 0 };

	(void)state;
	output_parse_lines(&output, "noise\nstart 12.5\nkernel 6.1.0-9 amd64\n\n x\nlast 3");
	assert_true(value_of(&output, "start") == 12.5);
	assert_true(value_of(&output, "last") == 3);
	assert_true(isnan(value_of(&output, "kernel")));
	assert_string_equal(output.items[output_find(&output, "kernel")].text, "6.1.0-9 amd64");
	assert_int_equal(output_find(&output, "noise"), -1);
}

static void strange_lines_are_made_harmless(void **state)
{
	struct output output = { .count = 0 };
	char many[OUTPUT_ITEMS_MAX * 8 + 64] = "", line[16];

	(void)state;
	output_parse_lines(&output, "a\033[2J <b>\x80\nb inf\nc nan\nd 1e999\n");
	assert_string_equal(output.items[0].key, "a?[2J");
	assert_string_equal(output.items[0].text, "<b>?");
	assert_true(isnan(value_of(&output, "b")));
	assert_true(isnan(value_of(&output, "c")));
	assert_true(isnan(value_of(&output, "d")));
	output.count = 0;
	for (unsigned i = 0; i < OUTPUT_ITEMS_MAX + 3; i++) {
		snprintf(line, sizeof(line), "k%u 1\n", i);
		strcat(many, line);
	}
	output_parse_lines(&output, many);
	assert_int_equal(output.count, OUTPUT_ITEMS_MAX);
}

static void steps_are_found_among_other_lines(void **state)
{
	struct output output = { .count = 0 };

	(void)state;
	output_parse_steps(
		&output,
		"vmm: main began at 17000 ns of the monotonic clock\n[    0.0] Linux 6.12\n"
		"vmm: step                                 took ms     at ms\n"
		"vmm: configuration                          0.032     0.032\n"
		"vmm: cgroup, network                        0.184     0.222\n"
		"garbage  1 2\nvmm: \nvmm: a\nvmm: b  x 3\n"
		"vmm: child                                  2.179     2.211\n");
	assert_true(value_of(&output, "stage_main") == 17000);
	assert_true(fabs(value_of(&output, "stage_entry") - 2211000) < 1);
	assert_string_equal(output.items[output_find(&output, "stage_steps")].text,
			    "configuration 0.03; cgroup, network 0.18; child 2.18");
	output.count = 0;
	output_parse_steps(&output, "vmm: step");
	assert_int_equal(output.count, 0);
}

static const char fio_json[] =
	"note: something\n{\"fio version\": \"fio-3.33\", \"global options\": {\"bs\": \"4k\"},"
	"\"jobs\": [{\"jobname\": \"random32\", \"job options\": {\"iodepth\": \"32\"},"
	"\"read\": {\"lat_ns\": {\"mean\": 64000.0}}, \"write\": {\"lat_ns\": {\"mean\": 0}}},"
	"{\"jobname\": \"fsync\", \"job options\": {\"bs\": \"1m\"}, \"read\": {},"
	"\"write\": {\"lat_ns\": {\"mean\": 2000}}, \"sync\": {\"lat_ns\": {\"mean\": 5000}}}]}\n";

static void fio_gives_times_and_speeds(void **state)
{
	struct output output = { .count = 0 };

	(void)state;
	assert_int_equal(output_parse_fio(&output, fio_json), 0);
	assert_true(value_of(&output, "random32_ns") == 64000);
	assert_true(value_of(&output, "random32_ops") == 500000);
	assert_true(value_of(&output, "random32_bytes") == 500000.0 * 4096);
	assert_true(value_of(&output, "fsync_sync_ns") == 5000);
	assert_true(value_of(&output, "fsync_bytes") == 500000.0 * 1048576);
	assert_int_equal(output_find(&output, "random32_sync_ns"), -1);
}

static void what_is_not_fio_is_refused(void **state)
{
	static const char *const bad[] = { "", "{", "[]", "{}", "{\"jobs\": 3}", "{\"jobs\": []}" };
	struct output output = { .count = 0 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(output_parse_fio(&output, bad[i]), -EINVAL);
	assert_int_equal(output_parse_fio(&output, "{\"jobs\": [3, {\"jobname\": 4}]}"), 0);
	assert_int_equal(output.count, 0);
}

static void markup_is_escaped(void **state)
{
	char *text = NULL;
	size_t len;
	FILE *file = open_memstream(&text, &len);

	(void)state;
	report_escape(file, "<b onclick='x' a=\"y\">&\033");
	fclose(file);
	assert_string_equal(text, "&lt;b onclick=&#39;x&#39; a=&quot;y&quot;&gt;&amp; ");
	free(text);
}

static void every_text_of_a_page_is_escaped(void **state)
{
	struct compare *compare = calloc(1, sizeof(*compare));
	char path[] = "/tmp/compare.XXXXXX", *page = calloc(1, 1 << 20);
	int fd = mkstemp(path);

	(void)state;
	assert_int_equal(compare_add_column(compare, "host"), 0);
	for (size_t i = 0; i < compare_row_count; i++) {
		compare->selected[i] = true;
		compare->cells[i][0].reason = compare_text("<script>1");
		compare->cells[i][0].text = compare_text("<script>2");
	}
	compare_fact(compare, "<script>3", "<script>%d", 4);
	compare->commands = calloc(1, sizeof(char *));
	compare->commands[0] = compare_text("<script>5");
	compare->command_count = 1;
	assert_int_equal(report_html(compare, path), 0);
	assert_true(read(fd, page, (1 << 20) - 1) > 10000);
	assert_null(strstr(page, "<script"));
	for (char digit = '1'; digit <= '5'; digit++) {
		char word[] = "&lt;script&gt;0";

		word[sizeof(word) - 2] = digit;
		assert_non_null(strstr(page, word));
	}
	close(fd);
	unlink(path);
	free(page);
	compare_fini(compare);
	free(compare);
}

static void child_streams_and_status_come_back(void **state)
{
	char *words[] = { "sh", "-c", "echo first; echo a >&2; echo vmm: last >&2; exit 7", NULL };
	struct child child;
	char *complaint;

	(void)state;
	assert_int_equal(child_start(&child, words), 0);
	assert_int_equal(child_wait_text(&child, "first", 20000), 0);
	assert_int_equal(child_wait_end(&child, 20000), 0);
	assert_int_equal(child.status, 7);
	assert_true(child.first_byte_ns >= child.start_ns && child.end_ns >= child.first_byte_ns);
	assert_string_equal(child.out, "first\n");
	complaint = child_complaint(&child);
	assert_string_equal(complaint, "last");
	free(complaint);
	child_fini(&child);
}

static void child_whose_guest_panicked_says_why(void **state)
{
	char *words[] = {
		"sh", "-c",
		"echo 'vmm: it panicked; its last lines:' >&2; echo '[ 1.0] idle' >&2; "
		"echo '[ 2.0] Kernel panic - not syncing: why' >&2; echo '[ 2.1] more' >&2",
		NULL
	};
	struct child child;
	char *complaint;

	(void)state;
	assert_int_equal(child_start(&child, words), 0);
	assert_int_equal(child_wait_end(&child, 20000), 0);
	complaint = child_complaint(&child);
	assert_string_equal(complaint,
			    "it panicked; its last lines: Kernel panic - not syncing: why");
	free(complaint);
	child_fini(&child);
}

static void child_that_hangs_is_ended(void **state)
{
	char *words[] = { "sh", "-c", "exec sleep 1000", NULL };
	struct child child;
	pid_t pid;

	(void)state;
	assert_int_equal(child_start(&child, words), 0);
	pid = child.pid;
	assert_int_equal(child_wait_text(&child, "", 50), -ETIMEDOUT);
	child_fini(&child);
	assert_int_equal(kill(pid, 0), -1);
}

static void child_that_works_too_long_is_not_waited_for(void **state)
{
	char *words[] = { "sh", "-c", "while :; do :; done", NULL };
	struct child child;
	uint64_t began;

	(void)state;
	assert_int_equal(child_start(&child, words), 0);
	began = child_now_ns();
	child_limit_work(&child, 1500000000u, 1000);
	assert_int_equal(child_wait_end(&child, 600000), -ETIMEDOUT);
	assert_true(child_now_ns() - began < 300000000000u);
	child_fini(&child);
}

/* The kernel's sum over processors may step back a little. */
static void work_that_was_less_before_is_no_end_of_waiting(void **state)
{
	char *words[] = { "sleep", "1.3", NULL };
	struct child child;

	(void)state;
	assert_int_equal(child_start(&child, words), 0);
	child_limit_work(&child, 600000000000u, 1000);
	child.work_began_ns += 600000000000u;
	assert_int_equal(child_wait_end(&child, 60000), 0);
	assert_int_equal(child.status, 0);
	child_fini(&child);
}

static void limits_hold_for_work_and_for_the_clock_outside(void **state)
{
	struct child child = { .work_began_ns = 50, .outside_began_s = 1000, .outside_max_s = 60 };

	(void)state;
	assert_false(child_beyond_limit(&child, UINT64_MAX, UINT64_MAX));
	child.work_max_ns = 100;
	assert_false(child_beyond_limit(&child, 150, 1060));
	assert_true(child_beyond_limit(&child, 151, 1000));
	assert_true(child_beyond_limit(&child, 50, 1061));
	/* Where there is no such clock. */
	child.outside_began_s = 0;
	assert_false(child_beyond_limit(&child, 50, 0));
}

static void child_that_is_not_there_says_so(void **state)
{
	char *words[] = { "/no/such/program", NULL };
	struct child child;
	char *complaint;

	(void)state;
	assert_int_equal(child_start(&child, words), -ENOENT);
	complaint = child_complaint(&child);
	assert_string_equal(complaint, "/no/such/program: No such file or directory");
	free(complaint);
	child_fini(&child);
}

static void child_output_without_end_does_not_fill_memory(void **state)
{
	char *words[] = { "sh", "-c", "head -c 3000000 /dev/zero | tr '\\0' x; exit 3", NULL };
	struct child child;

	(void)state;
	assert_int_equal(child_start(&child, words), 0);
	assert_int_equal(child_wait_end(&child, 20000), 0);
	assert_int_equal(child.status, 3);
	assert_int_equal(child.out_len, CHILD_OUT_MAX);
	child_fini(&child);
}

static void peers_are_command_lines(void **state)
{
	struct compare *compare = calloc(1, sizeof(*compare));
	struct compare_command command;
	char *reason, *text;

	(void)state;
	compare->program = "vmm";
	compare->root = compare_text("/a root");
	compare->scratch = compare_text("/tmp");
	assert_int_equal(compare_add_column(compare, "host"), 0);
	assert_int_equal(compare_add_column(compare, "container"), 0);
	assert_int_equal(compare_add_column(compare, "host"), -EINVAL);
	assert_int_equal(compare_add_column(compare, "moon"), -EINVAL);
	assert_int_equal(compare_command_make(compare, &compare->columns[1], &compare_tasks[0],
					      &command, &reason),
			 0);
	text = compare_command_text(&command);
	assert_string_equal(text, "vmm run --as container --rootfs '/a root' --net none -- "
				  "vmm-load wait");
	free(text);
	compare_command_fini(&command);
	compare_fini(compare);
	free(compare);
}

static const struct compare_task *task_named(const char *name)
{
	for (size_t i = 0; i < compare_task_count; i++)
		if (strcmp(compare_tasks[i].name, name) == 0)
			return &compare_tasks[i];
	return NULL;
}

static void machines_get_a_tap_only_where_there_is_one(void **state)
{
	struct compare *compare = calloc(1, sizeof(*compare));
	const struct compare_task *task = task_named("net-nat");
	struct compare_command command;
	char *reason, *text;

	(void)state;
	compare->program = "vmm";
	compare->root = compare_text("/root");
	compare->scratch = compare_text("/tmp");
	assert_int_equal(compare_add_column(compare, "machine"), 0);
	assert_int_equal(
		compare_command_make(compare, &compare->columns[0], task, &command, &reason),
		-EOPNOTSUPP);
	assert_non_null(strstr(reason, "a tap could not be made"));
	free(reason);
	compare_command_fini(&command);
	compare->has_tap = true;
	assert_int_equal(
		compare_command_make(compare, &compare->columns[0], task, &command, &reason), 0);
	text = compare_command_text(&command);
	assert_non_null(strstr(text, " --net tap=vmm-compare,ip="));
	free(text);
	compare_command_fini(&command);
	compare_fini(compare);
	free(compare);
}

static void limits_are_for_what_has_limits(void **state)
{
	struct compare *compare = calloc(1, sizeof(*compare));
	static const char *const names[] = { "machine", "container", "host" };

	(void)state;
	compare->program = "vmm";
	compare->root = compare_text("/root");
	compare->scratch = compare_text("/tmp");
	for (unsigned i = 0; i < 3; i++) {
		struct compare_command command;
		char *reason, *text;

		assert_int_equal(compare_add_column(compare, names[i]), 0);
		assert_int_equal(compare_command_make(compare, &compare->columns[i],
						      task_named("idle"), &command, &reason),
				 0);
		text = compare_command_text(&command);
		assert_int_equal(strstr(text, " --memory 128M ") != NULL, i < 2);
		free(text);
		compare_command_fini(&command);
	}
	compare_fini(compare);
	free(compare);
}

static void a_software_kvm_is_told_with_its_cure(void **state)
{
	struct child child = { 0 };
	char *complaint;

	(void)state;
	strcpy(child.err, "vmm: warning: this /dev/kvm interprets the guest's kernel (0.4 million "
			  "instructions/s in ring 0): no stock kernel runs on it\n"
			  "vmm: vCPU 0: KVM cannot go on\nrip 0\n");
	complaint = child_complaint(&child);
	assert_string_equal(complaint,
			    "this /dev/kvm interprets the guest's kernel: --lab measures "
			    "on an emulated host");
	free(complaint);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_software_kvm_is_told_with_its_cure),
		cmocka_unit_test(lines_become_values_and_texts),
		cmocka_unit_test(strange_lines_are_made_harmless),
		cmocka_unit_test(steps_are_found_among_other_lines),
		cmocka_unit_test(fio_gives_times_and_speeds),
		cmocka_unit_test(what_is_not_fio_is_refused),
		cmocka_unit_test(markup_is_escaped),
		cmocka_unit_test(every_text_of_a_page_is_escaped),
		cmocka_unit_test(child_streams_and_status_come_back),
		cmocka_unit_test(child_whose_guest_panicked_says_why),
		cmocka_unit_test(child_that_hangs_is_ended),
		cmocka_unit_test(child_that_works_too_long_is_not_waited_for),
		cmocka_unit_test(work_that_was_less_before_is_no_end_of_waiting),
		cmocka_unit_test(limits_hold_for_work_and_for_the_clock_outside),
		cmocka_unit_test(child_that_is_not_there_says_so),
		cmocka_unit_test(child_output_without_end_does_not_fill_memory),
		cmocka_unit_test(peers_are_command_lines),
		cmocka_unit_test(machines_get_a_tap_only_where_there_is_one),
		cmocka_unit_test(limits_are_for_what_has_limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
