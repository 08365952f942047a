/*
 * Libraries opened on first use.
 */
#include "vmm/late/late.h"

#include <jansson.h>
#include <libelf.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zlib.h>

#include "vmm/log.h"

/* cmocka wants these first. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void functions_hand_on_to_the_library(void **state)
{
	json_t *json = json_pack("{s:i, s:s}", "number", 7, "text", "seven");

	(void)state;
	assert_int_equal(json_integer_value(json_object_get(json, "number")), 7);
	assert_string_equal(json_string_value(json_object_get(json, "text")), "seven");
	json_decref(json);
	json = json_sprintf("%s-%d", "a", 5);
	assert_string_equal(json_string_value(json), "a-5");
	json_decref(json);
	/* The check value of CRC-32/ISO-HDLC. */
	assert_int_equal(crc32(0, (const Bytef *)"123456789", 9), 0xcbf43926);
	late_elf_open();
	assert_int_equal(elf_version(EV_CURRENT), EV_CURRENT);
}

/* The status of a child that asks LIBRARY for NAME, and the line it says. */
static int ask(struct late_library *library, const char *name, char *said, size_t room)
{
	int fds[2], status = 0;
	ssize_t len;
	pid_t pid;

	assert_int_equal(pipe(fds), 0);
	pid = fork();
	if (pid == 0) {
		struct log_held held = { .len = 0 };

		/* As in a job beside the start: what ends the program is said all the same. */
		log_hold(&held);
		dup2(fds[1], STDERR_FILENO);
		(void)late_symbol(library, name);
		_exit(0);
	}
	close(fds[1]);
	len = read(fds[0], said, room - 1);
	said[len > 0 ? len : 0] = '\0';
	close(fds[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void library_that_is_not_there_is_named_with_its_package(void **state)
{
	struct late_library library = { .soname = "libnowhere.so.1", .package = "nowhere1" };
	char said[256];

	(void)state;
	assert_int_equal(ask(&library, "nothing", said, sizeof(said)), 125);
	assert_non_null(strstr(said, "vmm: libnowhere.so.1: "));
	assert_non_null(strstr(said, "install the package nowhere1\n"));
}

static void function_that_is_not_there_is_named(void **state)
{
	struct late_library library = { .soname = "libz.so.1", .package = "zlib1g" };
	char said[256];

	(void)state;
	assert_int_equal(ask(&library, "nothing", said, sizeof(said)), 125);
	assert_non_null(strstr(said, "nothing"));
	assert_int_equal(ask(&library, "crc32", said, sizeof(said)), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(functions_hand_on_to_the_library),
		cmocka_unit_test(library_that_is_not_there_is_named_with_its_package),
		cmocka_unit_test(function_that_is_not_there_is_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
