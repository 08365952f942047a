/* What guest-init is told is read as it was written, and nothing else is taken. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "vmm/guest/workload.h"

/* TEXT's records end with '|', which stands for NUL. */
static bool parse(struct workload *workload, const char *text)
{
	static char copy[1024];
	size_t len = strlen(text);
	const char *why = NULL;
	bool good;

	assert_true(len < sizeof(copy));
	for (size_t i = 0; i <= len; i++)
		copy[i] = text[i] == '|' ? '\0' : text[i];
	good = workload_parse(workload, copy, len, &why);
	assert_int_equal(good, why == NULL);
	return good;
}

static void all_keys_are_read(void **state)
{
	struct workload workload;

	(void)state;
	assert_true(
		parse(&workload,
		      "vmm-workload 1|module=/vmm/a.ko|module=/vmm/b.ko|root=vda|"
		      "volume=vdb ext4 rw /srv/my data|volume=vdc erofs ro /opt|"
		      "keep=vdd|net=dhcp|net=10.0.0.2/24 10.0.0.1|net=|hostname=h|uid=1000|gid=100|"
		      "group=4|group=20|terminal=80 24|cwd=/tmp|arg=sh|arg=|arg=a=b\n|"
		      "env=A=|env=B=x=y|end|"));
	assert_int_equal(workload.module_count, 2);
	assert_string_equal(workload.modules[1], "/vmm/b.ko");
	assert_string_equal(workload.root, "vda");
	assert_int_equal(workload.volume_count, 2);
	assert_string_equal(workload.volumes[0].device, "vdb");
	assert_string_equal(workload.volumes[0].type, "ext4");
	assert_string_equal(workload.volumes[0].target, "/srv/my data");
	assert_false(workload.volumes[0].read_only);
	assert_true(workload.volumes[1].read_only);
	assert_true(workload.keep);
	assert_string_equal(workload.keep_device, "vdd");
	assert_int_equal(workload.net_count, 3);
	assert_string_equal(workload.nets[0].ip, "dhcp");
	assert_null(workload.nets[0].gateway);
	assert_string_equal(workload.nets[1].ip, "10.0.0.2/24");
	assert_string_equal(workload.nets[1].gateway, "10.0.0.1");
	assert_null(workload.nets[2].ip);
	assert_string_equal(workload.hostname, "h");
	assert_int_equal(workload.uid, 1000);
	assert_int_equal(workload.gid, 100);
	assert_int_equal(workload.group_count, 2);
	assert_int_equal(workload.groups[1], 20);
	assert_true(workload.terminal);
	assert_int_equal(workload.columns, 80);
	assert_int_equal(workload.rows, 24);
	assert_string_equal(workload.cwd, "/tmp");
	assert_string_equal(workload.argv[0], "sh");
	assert_string_equal(workload.argv[1], "");
	assert_string_equal(workload.argv[2], "a=b\n");
	assert_null(workload.argv[3]);
	assert_string_equal(workload.envp[0], "A=");
	assert_string_equal(workload.envp[1], "B=x=y");
	assert_null(workload.envp[2]);
	workload_fini(&workload);
}

static void the_least_is_a_command_a_root_and_a_directory(void **state)
{
	struct workload workload;

	(void)state;
	assert_true(parse(&workload, "vmm-workload 1|root=vda|cwd=/|arg=x|end|"));
	assert_non_null(workload.envp);
	assert_null(workload.envp[0]);
	workload_fini(&workload);
	assert_false(parse(&workload, "vmm-workload 1|cwd=/|arg=x|end|"));
	assert_false(parse(&workload, "vmm-workload 1|root=vda|arg=x|end|"));
	assert_false(parse(&workload, "vmm-workload 1|root=vda|cwd=/|end|"));
}

static void anything_else_is_refused(void **state)
{
	static const char *const wrong[] = {
		"",
		"|",
		"vmm-workload 2|root=vda|cwd=/|arg=x|end|",
		"root=vda|cwd=/|arg=x|end|",
		"vmm-workload 1|root=vda|cwd=/|arg=x|",
		"vmm-workload 1|root=vda|cwd=/|arg=x|end",
		"vmm-workload 1|root=vda|cwd=/|arg=x|end|x|",
		"vmm-workload 1|root=vda|cwd=/|arg=x|end||",
		"end|",
	};
	static const char *const records[] = {
		"",
		"arg",
		"args=x",
		"root=vdb",
		"cwd=/x",
		"env=A",
		"env==x",
		"uid=",
		"uid=-1",
		"uid=4294967295",
		"uid=99999999999",
		"gid=x",
		"group=1x",
		"module=a.ko",
		"module=/../a",
		"module=/a/..",
		"hostname=",
		"terminal=80",
		"terminal=80 65536",
		"terminal=80x24",
		"volume=vdb ext4 rw",
		"volume=vdb ext4 rx /a",
		"volume=../vdb ext4 rw /a",
		"volume=vdb a/b rw /a",
		"volume=vdb ext4 rw a",
		"volume=vdb ext4 rw /a/../b",
		"volume=",
		"net=a b c",
		"keep=../vdb",
		"keep=|keep=",
	};
	struct workload workload;
	char text[256];

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_false(parse(&workload, wrong[i]));
	for (size_t i = 0; i < sizeof(records) / sizeof(records[0]); i++) {
		snprintf(text, sizeof(text), "vmm-workload 1|root=vda|cwd=/|arg=x|%s|end|",
			 records[i]);
		if (parse(&workload, text))
			fail_msg("%s was taken", records[i]);
	}
}

static void what_is_long_is_bounded(void **state)
{
	static char text[WORKLOAD_WORDS_MAX * 6 + 128];
	struct workload workload;
	const char *why;
	size_t len = 0;

	(void)state;
	len += (size_t)snprintf(text, sizeof(text), "vmm-workload 1%croot=vda%ccwd=/%c", 0, 0, 0);
	for (unsigned i = 0; i < WORKLOAD_WORDS_MAX; i++, len += 6)
		memcpy(text + len, "arg=x", 6);
	memcpy(text + len, "end", 4);
	assert_true(workload_parse(&workload, text, len + 4, &why));
	assert_string_equal(workload.argv[WORKLOAD_WORDS_MAX - 1], "x");
	assert_null(workload.argv[WORKLOAD_WORDS_MAX]);
	workload_fini(&workload);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_keys_are_read),
		cmocka_unit_test(the_least_is_a_command_a_root_and_a_directory),
		cmocka_unit_test(anything_else_is_refused),
		cmocka_unit_test(what_is_long_is_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
