/* Options and files make the same configuration, and what is printed is read back the same. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <fcntl.h>
#include <sys/stat.h>

#include "tests/support/parse_words.h"
#include "vmm/config.h"
#include "vmm/config_options.h"
#include "vmm/log.h"

static void assert_refused(const char *option, const char *value)
{
	struct config config;
	char word[512];

	snprintf(word, sizeof(word), "--%s=%s", option, value);
	if (parse(&config, word, NULL) != -EINVAL)
		fail_msg("%s was taken", word);
	config_fini(&config);
}

static void defaults_are_one_cpu_and_512_mib(void **state)
{
	struct config config;

	(void)state;
	assert_int_equal(parse(&config, NULL), 0);
	assert_int_equal(config.cpus, 1);
	assert_int_equal(config.memory_len, 512u << 20);
	assert_int_equal(config.transport, CONFIG_TRANSPORT_PCI);
	assert_int_equal(config.console, CONFIG_CONSOLE_VIRTIO);
	assert_int_equal(config.on_reboot, CONFIG_REBOOT_RESET);
	assert_int_equal(config.on_panic, CONFIG_PANIC_EXIT);
	config_fini(&config);
}

static void values_come_after_a_blank_or_an_equals_sign(void **state)
{
	struct config config;

	(void)state;
	assert_int_equal(parse(&config, "--cpus", "4", "--memory=1G", "-v", "--cmdline=a=b c",
			       "--timeout", "5m", "--entry", "pvh", "--io-engine=epoll", NULL),
			 0);
	assert_int_equal(config.cpus, 4);
	assert_int_equal(config.memory_len, 1u << 30);
	assert_true(config.verbose);
	assert_string_equal(config.cmdline, "a=b c");
	assert_int_equal(config.timeout_ms, 300000);
	assert_int_equal(config.entry, ARCH_ENTRY_PVH);
	assert_int_equal(config.io_engine, LOOP_ENGINE_EPOLL);
	config_fini(&config);
}

static void the_last_of_one_option_wins(void **state)
{
	struct config config;

	(void)state;
	assert_int_equal(parse(&config, "--cpus=2", "--kernel=a", "--cpus=3", "--kernel=b", NULL),
			 0);
	assert_int_equal(config.cpus, 3);
	assert_string_equal(config.kernel, "b");
	config_fini(&config);
}

static void disks_have_words_of_their_own(void **state)
{
	struct config config;

	(void)state;
	assert_int_equal(parse(&config, "--disk", "a\\,b.img,ro,id=root,queues=4",
			       "--disk=c,overlay", "--disk", "direct,path=x,ro", NULL),
			 0);
	assert_int_equal(config.disk_count, 3);
	assert_string_equal(config.disks[0].path, "a,b.img");
	assert_true(config.disks[0].read_only);
	assert_string_equal(config.disks[0].id, "root");
	assert_int_equal(config.disks[0].queues, 4);
	assert_true(config.disks[1].overlay);
	assert_int_equal(config.disks[1].queues, 1);
	assert_string_equal(config.disks[2].path, "x,ro");
	assert_true(config.disks[2].direct);
	assert_false(config.disks[2].read_only);
	config_fini(&config);
}

static void wrong_disks_are_refused(void **state)
{
	struct config config;

	(void)state;
	assert_refused("disk", "");
	assert_refused("disk", "ro");
	assert_refused("disk", "a,roo");
	assert_refused("disk", "a,ro,overlay");
	assert_refused("disk", "a,queues=0");
	assert_refused("disk", "a,queues=17");
	assert_refused("disk", "a,id=123456789012345678901");
	assert_refused("disk", "a,id=");
	assert_refused("disk", "a,id=\t");
	assert_refused("disk", "a,burst=2s");
	assert_int_equal(parse(&config, "--disk=a,id=x", "--disk=b,id=x", NULL), -EINVAL);
	config_fini(&config);
}

static void more_disks_than_fit_are_refused(void **state)
{
	struct config_reader reader = { 0 };
	const struct config_field *option =
		config_field_find(config_options, config_option_count, "disk");
	struct config_error err;
	struct config config;

	(void)state;
	config_init(&config);
	reader.config = &config;
	for (unsigned i = 0; i < CONFIG_DISKS_MAX; i++)
		assert_int_equal(config_option_set(&reader, option, "a", &err), 0);
	assert_int_equal(config_option_set(&reader, option, "a", &err), -EINVAL);
	assert_int_equal(config.disk_count, CONFIG_DISKS_MAX);
	config_fini(&config);
}

static void nets_are_of_one_kind(void **state)
{
	struct config config;

	(void)state;
	assert_int_equal(parse(&config, "--net", "tap=t0,queues=2,mtu=9000,mac=02:00:00:00:00:01",
			       "--net=fd=7", "--net", "user,ip=10.0.0.2/24,gw=10.0.0.1", NULL),
			 0);
	assert_int_equal(config.net_count, 3);
	assert_int_equal(config.nets[0].kind, CONFIG_NET_TAP);
	assert_int_equal(config.nets[0].queues, 2);
	assert_int_equal(config.nets[0].mtu, 9000);
	assert_true(config.nets[0].has_mac);
	assert_int_equal(config.nets[0].fd, -1);
	assert_int_equal(config.nets[1].kind, CONFIG_NET_FD);
	assert_int_equal(config.nets[1].fd, 7);
	assert_false(config.nets[1].has_mac);
	assert_int_equal(config.nets[2].kind, CONFIG_NET_USER);
	assert_string_equal(config.nets[2].gateway, "10.0.0.1");
	config_fini(&config);
}

static void wrong_nets_are_refused(void **state)
{
	static const char *const bad[] = { "",
					   "user,tap=t",
					   "tap",
					   "tap=",
					   "fd=2",
					   "fd=x",
					   "foo",
					   "mtu=1500",
					   "user,mtu=67",
					   "user,mtu=65536",
					   "user,queues=2",
					   "tap=1234567890123456",
					   "tap=a/b",
					   "tap=..",
					   "none,mtu=1500",
					   "user,vhost",
					   "user,ip=1.2.3",
					   "user,ip=1.2.3.4",
					   "user,ip=1.2.3.4/33",
					   "user,gw=1.2.3.4",
					   "user,ip=dhcp,gw=1.2.3.4",
					   "user,mac=01:00:00:00:00:00" };
	struct config config;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_refused("net", bad[i]);
	assert_int_equal(parse(&config, "--net=none", "--net=user", NULL), -EINVAL);
	config_fini(&config);
	assert_int_equal(parse(&config, "--net=user", "--net=none", NULL), -EINVAL);
	config_fini(&config);
	assert_int_equal(parse(&config, "--net=tap=a", "--net=tap=a", NULL), -EINVAL);
	config_fini(&config);
}

static void ports_are_published_with_and_without_address(void **state)
{
	struct config config;

	(void)state;
	assert_int_equal(parse(&config, "--publish=8080", "--publish=127.0.0.1:2222:22",
			       "--publish=[::1]:53:5353/udp", NULL),
			 0);
	assert_int_equal(config.publish_count, 3);
	assert_int_equal(config.publish[0].host_port, 8080);
	assert_int_equal(config.publish[0].guest_port, 8080);
	assert_null(config.publish[0].host_addr);
	assert_string_equal(config.publish[1].host_addr, "127.0.0.1");
	assert_int_equal(config.publish[1].guest_port, 22);
	assert_string_equal(config.publish[2].host_addr, "::1");
	assert_true(config.publish[2].udp);
	config_fini(&config);
	assert_refused("publish", "0");
	assert_refused("publish", "65536");
	assert_refused("publish", "80:x");
	assert_refused("publish", "80/sctp");
	assert_refused("publish", "host:80:80");
	assert_int_equal(parse(&config, "--publish=80", "--publish=1.2.3.4:80:81", NULL), -EINVAL);
	config_fini(&config);
}

static void wrong_values_are_refused(void **state)
{
	(void)state;
	assert_refused("cpus", "0");
	assert_refused("cpus", "65");
	assert_refused("cpus", "two");
	assert_refused("memory", "512");
	assert_refused("memory", "15M");
	assert_refused("memory", "1000000T");
	assert_refused("kernel", "");
	assert_refused("cmdline", "a\nb");
	assert_refused("name", "a b");
	assert_refused("name", "-a");
	assert_refused("transport", "isa");
	assert_refused("console", "virtio,to=printer");
	assert_refused("console", "virtio,to=file:");
	assert_refused("nonsense", "1");
	assert_refused("verbose", "1");
}

static int parse_json(struct config *config, const char *text)
{
	struct config_reader reader = { .config = config };

	config_init(config);
	return config_json_parse(&reader, "test.json", text, strlen(text));
}

static void files_have_the_same_words(void **state)
{
	struct config config;

	(void)state;
	assert_int_equal(
		parse_json(&config,
			   "{\"kernel\": \"k\", \"cpus\": 2, \"memory\": \"1G\", \"initrd\": null,"
			   " \"disk\": [\"a,ro\", {\"path\": \"b,c\", \"overlay\": true}],"
			   " \"net\": \"none\", \"console\": \"serial,to=pty\","
			   " \"timeout\": 30, \"verbose\": true, \"derived\": 1}"),
		0);
	assert_int_equal(config.cpus, 2);
	assert_int_equal(config.disk_count, 2);
	assert_string_equal(config.disks[1].path, "b,c");
	assert_true(config.disks[1].overlay);
	assert_true(config.net_given);
	assert_int_equal(config.net_count, 0);
	assert_int_equal(config.console_to, CONFIG_TO_PTY);
	assert_int_equal(config.timeout_ms, 30000);
	config_fini(&config);
}

static void wrong_files_are_refused(void **state)
{
	static const char *const bad[] = { "",
					   "[]",
					   "{",
					   "{\"cpus\": 1, \"cpus\": 2}",
					   "{\"cpus\": 1.5}",
					   "{\"cpus\": true}",
					   "{\"cpus\": -1}",
					   "{\"memory\": 512}",
					   "{\"verbose\": \"maybe\"}",
					   "{\"kernle\": \"k\"}",
					   "{\"config\": \"x\"}",
					   "{\"help\": true}",
					   "{\"disk\": 1}",
					   "{\"disk\": [[]]}",
					   "{\"disk\": {\"ro\": true}}",
					   "{\"disk\": {\"path\": \"a\", \"roo\": true}}",
					   "{\"publish\": [{}]}",
					   "{\"console\": [\"virtio\"]}",
					   "{\"kernel\": \"a\\u0000b\"}" };
	struct config config;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		if (parse_json(&config, bad[i]) != -EINVAL)
			fail_msg("%s was taken", bad[i]);
		config_fini(&config);
	}
}

static void a_wrong_value_in_a_file_is_found_by_line_and_column(void **state)
{
	static const char text[] = "{ \"a\": [1, {\"b\": \"}]\"}],\n  \"disk\": [\n    \"x\",\n"
				   "    {\"path\": \"y\",\n     \"roo\": true}]}";
	unsigned line;
	unsigned column;

	(void)state;
	config_json_locate(text, "disk", -1, NULL, &line, &column);
	assert_int_equal(line, 2);
	assert_int_equal(column, 11);
	config_json_locate(text, "disk", 1, NULL, &line, &column);
	assert_int_equal(line, 4);
	assert_int_equal(column, 5);
	config_json_locate(text, "disk", 1, "roo", &line, &column);
	assert_int_equal(line, 5);
	assert_int_equal(column, 13);
}

/* A directory of its own with a kernel and a disk in it, entered. */
static int enter_directory(void **state)
{
	static char dir[] = "/tmp/test_config.XXXXXX";
	int fd;

	if (!mkdtemp(dir) || chdir(dir) < 0)
		return -1;
	fd = open("bzImage", O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	close(fd);
	fd = open("disk.img", O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	if (ftruncate(fd, 1 << 20) < 0)
		return -1;
	close(fd);
	*state = dir;
	return 0;
}

static int leave_directory(void **state)
{
	unlink("bzImage");
	unlink("disk.img");
	unlink("a.json");
	return chdir("/") < 0 || rmdir(*state) < 0;
}

static void what_is_printed_is_read_back_the_same(void **state)
{
	struct config config;
	struct config again;
	char *first;
	char *second;
	json_t *json;

	(void)state;
	assert_int_equal(parse(&config, "--disk=disk.img,ro,id=x", "--net", "tap=t0,ip=10.0.0.2/24",
			       "--net=user", "--publish=[::1]:80:81/udp", "--memory=17M",
			       "--console=serial,to=file:a\\,b\\\\c", "--timeout=1500ms",
			       "--cmdline=quiet", "--on-panic=pause", "-v", NULL),
			 0);
	assert_int_equal(config_finish(&config), 0);
	json = config_to_json(&config);
	first = json_dumps(json, JSON_INDENT(2));
	json_decref(json);
	assert_int_equal(parse_json(&again, first), 0);
	assert_int_equal(config_finish(&again), 0);
	json = config_to_json(&again);
	second = json_dumps(json, JSON_INDENT(2));
	json_decref(json);
	assert_string_equal(first, second);
	assert_string_equal(again.console_path, "a,b\\c");
	assert_int_equal(again.memory_len, 18u << 20);
	free(first);
	free(second);
	config_fini(&config);
	config_fini(&again);
}

static void the_command_line_replaces_what_a_file_says(void **state)
{
	static const char text[] = "{\"cpus\": 2, \"memory\": \"1G\", \"disk\": [\"a\", \"b\"],"
				   " \"net\": \"none\"}";
	struct config config;
	FILE *file = fopen("a.json", "we");

	(void)state;
	fputs(text, file);
	fclose(file);
	assert_int_equal(parse(&config, "--config=a.json", "--cpus=3", "--disk=c", "--disk=d",
			       "--net=user", NULL),
			 0);
	assert_int_equal(config.cpus, 3);
	assert_int_equal(config.memory_len, 1u << 30);
	assert_int_equal(config.disk_count, 2);
	assert_string_equal(config.disks[0].path, "c");
	assert_int_equal(config.net_count, 1);
	config_fini(&config);
	assert_int_equal(parse(&config, "--cpus=3", "--disk=c", "--config=a.json", NULL), 0);
	assert_int_equal(config.cpus, 2);
	assert_int_equal(config.disk_count, 2);
	assert_string_equal(config.disks[0].path, "a");
	config_fini(&config);
}

static void a_kernel_is_found_and_the_root_derived(void **state)
{
	struct config config;

	(void)state;
	assert_int_equal(parse(&config, "--disk=disk.img", "--net=none", "--cmdline=quiet", NULL),
			 0);
	assert_int_equal(config_finish(&config), 0);
	assert_string_equal(config.kernel, "./bzImage");
	assert_string_equal(config.root, "/dev/vda");
	assert_non_null(strstr(config.cmdline_full, "console=hvc0"));
	assert_non_null(strstr(config.cmdline_full, "root=/dev/vda rw"));
	assert_string_equal(config.cmdline_full + strlen(config.cmdline_full) - 6, " quiet");
	config_fini(&config);
}

static void the_boards_words_stand_before_the_users(void **state)
{
	struct config config;
	char *line;

	(void)state;
	assert_int_equal(parse(&config, "--net=none", "--cmdline=last", NULL), 0);
	assert_int_equal(config_finish(&config), 0);
	line = config_cmdline(&config, "board");
	assert_string_equal(line + strlen(line) - 11, " board last");
	free(line);
	config_fini(&config);
	assert_int_equal(parse(&config, "--net=none", "--cmdline-only=alone", NULL), 0);
	assert_int_equal(config_finish(&config), 0);
	assert_string_equal(config.cmdline_full, "alone");
	line = config_cmdline(&config, "board");
	assert_string_equal(line, "alone");
	free(line);
	config_fini(&config);
}

static void an_initrd_gets_a_console_before_hvc0(void **state)
{
	struct config config;

	(void)state;
	assert_int_equal(parse(&config, "--net=none", "--initrd=disk.img", NULL), 0);
	assert_int_equal(config_finish(&config), 0);
	assert_non_null(strstr(config.cmdline_full, "console=hvc0"));
#ifdef __x86_64__
	assert_non_null(strstr(config.cmdline_full, "console=ttyS0 console=hvc0"));
	assert_null(strstr(config.cmdline_full, "earlycon"));
#endif
	config_fini(&config);
}

static void macs_follow_from_name_and_place(void **state)
{
	struct config a;
	struct config b;

	(void)state;
	assert_int_equal(parse(&a, "--name=a", "--net=user", "--net=tap=t", NULL), 0);
	assert_int_equal(config_finish(&a), 0);
	assert_int_equal(parse(&b, "--name=a", "--net=user", "--net=tap=u", NULL), 0);
	assert_int_equal(config_finish(&b), 0);
	assert_memory_equal(a.nets[0].mac, b.nets[0].mac, 6);
	assert_memory_not_equal(a.nets[0].mac, a.nets[1].mac, 6);
	assert_memory_not_equal(a.nets[1].mac, b.nets[1].mac, 6);
	assert_int_equal(a.nets[0].mac[0], 2);
	config_fini(&a);
	config_fini(&b);
}

static void conflicts_are_refused(void **state)
{
	struct config config;

	(void)state;
	assert_int_equal(parse(&config, "--cmdline=a", "--cmdline-only=b", NULL), 0);
	assert_int_equal(config_finish(&config), -EINVAL);
	config_fini(&config);
	assert_int_equal(parse(&config, "--net=none", "--publish=80", NULL), 0);
	assert_int_equal(config_finish(&config), -EINVAL);
	config_fini(&config);
	assert_int_equal(parse(&config, "--net=none", "--disk=no-such.img", NULL), 0);
	assert_int_equal(config_finish(&config), -ENOENT);
	config_fini(&config);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(defaults_are_one_cpu_and_512_mib),
		cmocka_unit_test(values_come_after_a_blank_or_an_equals_sign),
		cmocka_unit_test(the_last_of_one_option_wins),
		cmocka_unit_test(disks_have_words_of_their_own),
		cmocka_unit_test(wrong_disks_are_refused),
		cmocka_unit_test(more_disks_than_fit_are_refused),
		cmocka_unit_test(nets_are_of_one_kind),
		cmocka_unit_test(wrong_nets_are_refused),
		cmocka_unit_test(ports_are_published_with_and_without_address),
		cmocka_unit_test(wrong_values_are_refused),
		cmocka_unit_test(files_have_the_same_words),
		cmocka_unit_test(wrong_files_are_refused),
		cmocka_unit_test(a_wrong_value_in_a_file_is_found_by_line_and_column),
		cmocka_unit_test(what_is_printed_is_read_back_the_same),
		cmocka_unit_test(the_command_line_replaces_what_a_file_says),
		cmocka_unit_test(a_kernel_is_found_and_the_root_derived),
		cmocka_unit_test(the_boards_words_stand_before_the_users),
		cmocka_unit_test(an_initrd_gets_a_console_before_hvc0),
		cmocka_unit_test(macs_follow_from_name_and_place),
		cmocka_unit_test(conflicts_are_refused),
	};

	return cmocka_run_group_tests(tests, enter_directory, leave_directory);
}
