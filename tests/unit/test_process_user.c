/*
 * Users and groups of a root directory. Each name says what must happen.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "vmm/boundary/process_user.h"

static const char passwd[] = "root:x:0:0:root:/root:/bin/sh\n"
			     "\n"
			     "broken\n"
			     "www:x:33:34::/srv/www:/bin/false\n"
			     "bad:x:many:1::/:/bin/sh\n"
			     "high:x:4294967295:1::/:/bin/sh\n"
			     "homeless:x:50:50:::\n"
			     "last:x:77:78::/last:/bin/sh";
static const char group[] = "root:x:0:\n"
			    "audio:x:29:www,last\n"
			    "video:x:44:wwwx,xwww,www\n"
			    "own:x:34:www\n"
			    "empty:x:60:";

static bool find(struct process_user *user, const char *who)
{
	return process_user_find(user, who, passwd, strlen(passwd), group, strlen(group));
}

static void no_name_is_root(void **state)
{
	struct process_user user;

	(void)state;
	assert_true(find(&user, NULL));
	assert_int_equal(user.uid, 0);
	assert_int_equal(user.gid, 0);
	assert_string_equal(user.home, "/root");
	assert_int_equal(user.group_count, 1);
	assert_true(find(&user, ""));
	assert_int_equal(user.uid, 0);
}

static void a_name_has_its_groups(void **state)
{
	struct process_user user;

	(void)state;
	assert_true(find(&user, "www"));
	assert_int_equal(user.uid, 33);
	assert_int_equal(user.gid, 34);
	assert_string_equal(user.home, "/srv/www");
	assert_int_equal(user.group_count, 3);
	assert_int_equal(user.groups[0], 34);
	assert_int_equal(user.groups[1], 29);
	assert_int_equal(user.groups[2], 44);
}

static void a_number_is_looked_up_too(void **state)
{
	struct process_user user;

	(void)state;
	assert_true(find(&user, "77"));
	assert_int_equal(user.gid, 78);
	assert_string_equal(user.home, "/last");
	assert_int_equal(user.group_count, 2);
}

static void a_number_need_not_be_listed(void **state)
{
	struct process_user user;

	(void)state;
	assert_true(find(&user, "1234"));
	assert_int_equal(user.uid, 1234);
	assert_int_equal(user.gid, 0);
	assert_string_equal(user.home, "/");
	assert_true(process_user_find(&user, "5:6", "", 0, "", 0));
	assert_int_equal(user.uid, 5);
	assert_int_equal(user.gid, 6);
}

static void a_named_group_is_the_only_one(void **state)
{
	struct process_user user;

	(void)state;
	assert_true(find(&user, "www:video"));
	assert_int_equal(user.gid, 44);
	assert_int_equal(user.group_count, 1);
	assert_int_equal(user.groups[0], 44);
}

static void what_is_not_there_is_not_found(void **state)
{
	static const char *const names[] = { "nobody", "broken",   "bad",	 "high", "www:none",
					     "ww",     "wwww",	   "4294967295", "-1",	 ":",
					     "x:29",   "www:bad:", "99999999999" };
	struct process_user user;

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (find(&user, names[i]))
			fail_msg("found %s", names[i]);
	}
}

static void a_missing_home_is_the_root(void **state)
{
	struct process_user user;

	(void)state;
	assert_true(find(&user, "homeless"));
	assert_string_equal(user.home, "/");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_name_is_root),
		cmocka_unit_test(a_name_has_its_groups),
		cmocka_unit_test(a_number_is_looked_up_too),
		cmocka_unit_test(a_number_need_not_be_listed),
		cmocka_unit_test(a_named_group_is_the_only_one),
		cmocka_unit_test(what_is_not_there_is_not_found),
		cmocka_unit_test(a_missing_home_is_the_root),
	};

	return cmocka_run_group_tests_name("process_user", tests, NULL, NULL);
}
