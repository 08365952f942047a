/* Modules are found, put in order and unpacked; forged lists lead nowhere. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "vmm/image/modules.h"
#include "vmm/log.h"

static const char dep[] = "kernel/fs/a-b.ko.xz: kernel/lib/c.ko.xz kernel/lib/d.ko.zst\n"
			  "kernel/lib/c.ko.xz: kernel/lib/d.ko.zst\n"
			  "kernel/lib/d.ko.zst:\n"
			  "kernel/lib/ab.ko:\n"
			  "kernel/bad/up.ko: ../../etc/passwd\n"
			  "/kernel/bad/root.ko:\n"
			  "kernel/last.ko: kernel/lib/d.ko.zst";

static char *paths[MODULES_MAX];
static unsigned count;

static int resolve(const char *name)
{
	return modules_resolve(dep, sizeof(dep) - 1, name, paths, &count);
}

static int forget(void **state)
{
	(void)state;
	while (count)
		free(paths[--count]);
	return 0;
}

static void what_a_module_needs_comes_before_it(void **state)
{
	(void)state;
	assert_int_equal(resolve("a_b"), 0);
	assert_int_equal(count, 3);
	assert_string_equal(paths[0], "kernel/lib/d.ko.zst");
	assert_string_equal(paths[1], "kernel/lib/c.ko.xz");
	assert_string_equal(paths[2], "kernel/fs/a-b.ko.xz");
}

static void nothing_comes_twice(void **state)
{
	(void)state;
	assert_int_equal(resolve("c"), 0);
	assert_int_equal(resolve("a-b"), 0);
	assert_int_equal(resolve("last"), 0);
	assert_int_equal(count, 4);
	assert_string_equal(paths[3], "kernel/last.ko");
}

static void names_are_whole(void **state)
{
	(void)state;
	assert_int_equal(resolve("a"), -ENOENT);
	assert_int_equal(resolve("b"), -ENOENT);
	assert_int_equal(resolve("lib/c"), -ENOENT);
	assert_int_equal(resolve("ab"), 0);
	assert_int_equal(count, 1);
}

static void paths_that_lead_out_are_refused(void **state)
{
	(void)state;
	assert_int_equal(resolve("up"), -EBADMSG);
	assert_int_equal(resolve("root"), -EBADMSG);
}

static void too_many_are_refused(void **state)
{
	char text[4096] = "x.ko:";
	size_t len = strlen(text);

	(void)state;
	for (unsigned i = 0; i < MODULES_MAX; i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len, " m%u.ko", i);
	assert_int_equal(modules_resolve(text, len, "x", paths, &count), -E2BIG);
}

static void a_bzimage_tells_its_version(void **state)
{
	static uint8_t head[4096];
	char version[64];

	(void)state;
	memcpy(head + 0x202, "HdrS", 4);
	head[0x20e] = 0x40;
	head[0x20f] = 0x01;
	memcpy(head + 0x340, "6.1.0-56-x (me) #1", 18);
	assert_true(modules_version(head, sizeof(head), version, sizeof(version)));
	assert_string_equal(version, "6.1.0-56-x");
	assert_false(modules_version(head, sizeof(head), version, 10));
	assert_false(modules_version(head, 0x345, version, sizeof(version)));
	assert_false(modules_version(head, 0x100, version, sizeof(version)));
	memcpy(head + 0x340, "6/../..", 7);
	assert_true(modules_version(head, sizeof(head), version, sizeof(version)));
	assert_string_equal(version, "6");
	memcpy(head + 0x340, "../..", 5);
	assert_false(modules_version(head, sizeof(head), version, sizeof(version)));
}

/* Packs 100000 bytes that begin like a module with COMMAND, and unpacks them. */
static void assert_unpacked(const char *command)
{
	static uint8_t packed[200000];
	char line[256];
	uint8_t *out;
	size_t out_len, len;
	FILE *pipe;

	snprintf(line, sizeof(line),
		 "{ printf '\\177ELF'; head -c 99996 /dev/zero | tr '\\0' x; } | %s", command);
	pipe = popen(line, "r");
	assert_non_null(pipe);
	len = fread(packed, 1, sizeof(packed), pipe);
	assert_int_equal(pclose(pipe), 0);
	assert_int_equal(modules_unpack(packed, len, &out, &out_len), 0);
	assert_int_equal(out_len, 100000);
	assert_memory_equal(out, "\177ELFxxxx", 8);
	assert_int_equal(out[99999], 'x');
	munmap(out, out_len);
	if (strcmp(command, "cat") != 0)
		assert_true(modules_unpack(packed, len / 2, &out, &out_len) < 0);
}

static void every_packing_is_unpacked(void **state)
{
	(void)state;
	assert_unpacked("cat");
	assert_unpacked("xz --check=crc32 -c");
	assert_unpacked("zstd -q -c");
	assert_unpacked("gzip -c");
}

static void other_files_are_no_modules(void **state)
{
	uint8_t *out;
	size_t out_len;

	(void)state;
	assert_int_equal(modules_unpack((const uint8_t *)"hello", 5, &out, &out_len), -EBADMSG);
	assert_int_equal(modules_unpack((const uint8_t *)"", 0, &out, &out_len), -EBADMSG);
}

static void modules_lie_beside_the_kernel_or_one_above(void **state)
{
	static const char *const names[] = { "a", "missing", NULL };
	char dir[] = "/tmp/test_modules.XXXXXX";
	struct module_list list;
	char line[1024];
	char *found;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(line, sizeof(line),
		 "cd %s && mkdir -p boot lib/modules/1.2/kernel && : >boot/vmlinux && "
		 "printf 'kernel/a.ko: kernel/b.ko\\nkernel/b.ko:\\n' >lib/modules/1.2/modules.dep "
		 "&& "
		 "printf '\\177ELFa' >lib/modules/1.2/kernel/a.ko && "
		 "printf '\\177ELFbb' >lib/modules/1.2/kernel/b.ko",
		 dir);
	assert_int_equal(system(line), 0);
	snprintf(line, sizeof(line), "%s/boot/vmlinux", dir);
	found = modules_find_dir(line);
	assert_non_null(found);
	assert_int_equal(modules_load(found, names, &list), 0);
	assert_int_equal(list.count, 2);
	assert_string_equal(list.files[0].name, "b");
	assert_int_equal(list.files[0].len, 6);
	assert_string_equal(list.files[1].name, "a");
	modules_free(&list);
	free(found);

	/* A kernel without modules says so. */
	snprintf(line, sizeof(line), "printf '#\\n# CONFIG_MODULES is not set\\n' >%s/boot/config",
		 dir);
	assert_int_equal(system(line), 0);
	snprintf(line, sizeof(line), "%s/boot/vmlinux", dir);
	assert_null(modules_find_dir(line));
	snprintf(line, sizeof(line), "rm -r %s", dir);
	assert_int_equal(system(line), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(what_a_module_needs_comes_before_it, forget),
		cmocka_unit_test_teardown(nothing_comes_twice, forget),
		cmocka_unit_test_teardown(names_are_whole, forget),
		cmocka_unit_test_teardown(paths_that_lead_out_are_refused, forget),
		cmocka_unit_test_teardown(too_many_are_refused, forget),
		cmocka_unit_test(a_bzimage_tells_its_version),
		cmocka_unit_test(every_packing_is_unpacked),
		cmocka_unit_test(other_files_are_no_modules),
		cmocka_unit_test(modules_lie_beside_the_kernel_or_one_above),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
