/* A command in a root directory: what is taken, what is refused, and that none of it leaks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/support/parse_words.h"
#include "vmm/config.h"
#include "vmm/config_devices.h"
#include "vmm/config_finish.h"
#include "vmm/config_options.h"
#include "vmm/log.h"

static void all_after_two_dashes_is_the_command(void **state)
{
	struct config config;

	(void)state;
	assert_int_equal(
		parse(&config, "--rootfs", "/", "--", "sh", "-c", "", "--", "--cpus", NULL), 0);
	assert_int_equal(config.command_count, 5);
	assert_string_equal(config.command[0], "sh");
	assert_string_equal(config.command[2], "");
	assert_string_equal(config.command[3], "--");
	assert_string_equal(config.command[4], "--cpus");
	assert_null(config.command[5]);
	config_fini(&config);
	assert_int_equal(parse(&config, "--rootfs", "/", "--", NULL), -EINVAL);
	config_fini(&config);
	assert_int_equal(parse(&config, "--rootfs", "/", "--", "", NULL), -EINVAL);
	config_fini(&config);
}

static void the_command_line_replaces_the_command_of_a_file(void **state)
{
	static const char text[] = "{\"command\": [\"a\", \"b\"], \"rootfs\": \"/\"}";
	struct config_reader reader = { 0 };
	struct config config;

	(void)state;
	config_init(&config);
	reader.config = &config;
	assert_int_equal(config_json_parse(&reader, "test", text, strlen(text)), 0);
	assert_int_equal(config.command_count, 2);
	config_option_own(&reader, &config_command, 0);
	assert_int_equal(config.command_count, 0);
	assert_null(config.command);
	config_fini(&config);
}

static void long_lists_keep_every_word_up_to_a_bound(void **state)
{
	struct config_error err;
	struct config config;

	(void)state;
	config_init(&config);
	for (unsigned i = 0; i < CONFIG_WORDS_MAX; i++) {
		char text[16];

		snprintf(text, sizeof(text), "w%u", i);
		assert_int_equal(config_list_command.add(&config, text, &err), 0);
	}
	assert_int_equal(config_list_command.add(&config, "x", &err), -EINVAL);
	assert_string_equal(config.command[4095], "w4095");
	assert_string_equal(config.command[17], "w17");
	assert_null(config.command[CONFIG_WORDS_MAX]);
	config_fini(&config);
}

static void a_variable_named_again_is_replaced(void **state)
{
	struct config config;

	(void)state;
	assert_int_equal(parse(&config, "--env=A=1", "--env=AB=2", "--env=A=", "--env=AB", NULL),
			 0);
	assert_int_equal(config.env_count, 2);
	assert_string_equal(config.env[0], "A=");
	assert_string_equal(config.env[1], "AB");
	assert_null(config.env[2]);
	config_fini(&config);
}

static void variables_come_from_ours_or_are_left_out(void **state)
{
	struct config config;

	(void)state;
	setenv("VMM_TEST_SET", "x=y", 1);
	unsetenv("VMM_TEST_UNSET");
	assert_int_equal(parse(&config, "--env=VMM_TEST_UNSET", "--env=VMM_TEST_SET", "--env=Z=1",
			       "--rootfs=/", "--", "true", NULL),
			 0);
	config.name = strdup("n");
	assert_int_equal(config_finish_workload(&config), 0);
	assert_int_equal(config.env_count, 2);
	assert_string_equal(config.env[0], "VMM_TEST_SET=x=y");
	assert_string_equal(config.env[1], "Z=1");
	assert_null(config.env[2]);
	assert_string_equal(config.hostname, "n");
	assert_int_equal(config.as, CONFIG_AS_MACHINE);
	config_fini(&config);
}

static void volumes_have_clean_targets(void **state)
{
	struct config config;

	(void)state;
	assert_int_equal(parse(&config, "--volume", "a:/.//b/./c/:ro", "--volume=d:/e:rw", NULL),
			 0);
	assert_string_equal(config.volumes[0].source, "a");
	assert_string_equal(config.volumes[0].target, "/b/c");
	assert_true(config.volumes[0].read_only);
	assert_string_equal(config.volumes[1].target, "/e");
	assert_false(config.volumes[1].read_only);
	config_fini(&config);
}

static void more_volumes_than_fit_are_refused(void **state)
{
	struct config_error err;
	struct config config;

	(void)state;
	config_init(&config);
	for (unsigned i = 0; i < CONFIG_VOLUMES_MAX; i++) {
		char text[16];

		snprintf(text, sizeof(text), "a:/v%u", i);
		assert_int_equal(config_list_volume.add(&config, text, &err), 0);
	}
	assert_int_equal(config_list_volume.add(&config, "a:/w", &err), -EINVAL);
	config_fini(&config);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_after_two_dashes_is_the_command),
		cmocka_unit_test(the_command_line_replaces_the_command_of_a_file),
		cmocka_unit_test(long_lists_keep_every_word_up_to_a_bound),
		cmocka_unit_test(a_variable_named_again_is_replaced),
		cmocka_unit_test(variables_come_from_ours_or_are_left_out),
		cmocka_unit_test(volumes_have_clean_targets),
		cmocka_unit_test(more_volumes_than_fit_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
