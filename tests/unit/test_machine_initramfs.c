/* What the monitor writes for guest-init is what guest-init reads; the initramfs holds it all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "vmm/boundary/machine_initramfs.h"
#include "vmm/guest/workload.h"

static char *const command[] = { "sh", "-c", "echo \"$A\"\n", "", NULL };
static char *const env[] = { "A=x=y", "HOME=/elsewhere", NULL };

static struct config make_config(void)
{
	struct config config = {
		.kernel = (char *)"/nowhere/vmlinux",
		.hostname = (char *)"h",
		.workdir = (char *)"/srv",
		.command = (char **)command,
		.command_count = 4,
		.env = (char **)env,
		.env_count = 2,
		.volume_count = 2,
		.net_count = 3,
		.keep = (char *)"kept",
	};

	config.volumes[0] = (struct config_volume){ (char *)"a", (char *)"/a b", true };
	config.volumes[1] = (struct config_volume){ (char *)"c", (char *)"/c", false };
	config.nets[0].kind = CONFIG_NET_USER;
	config.nets[1] = (struct config_net){ .kind = CONFIG_NET_TAP,
					      .ip = (char *)"10.0.0.2/24",
					      .gateway = (char *)"10.0.0.1" };
	config.nets[2].kind = CONFIG_NET_FD;
	return config;
}

static const struct machine_facts facts = {
	.user = { .uid = 1000,
		  .gid = 100,
		  .groups = { 4, 20 },
		  .group_count = 2,
		  .home = "/home/u" },
	.volume_types = { "erofs", "ext4" },
	.keep_disk = 3,
	.terminal = true,
	.columns = 80,
	.rows = 24,
};

static void what_is_written_is_read(void **state)
{
	char *modules[] = { (char *)"/vmm/a.ko" };
	struct config config = make_config();
	struct workload workload;
	const char *why = "";
	char *text = NULL;
	size_t len;
	FILE *out;

	(void)state;
	unsetenv("TERM");
	out = open_memstream(&text, &len);
	assert_non_null(out);
	machine_workload_write(out, &config, &facts, modules, 1);
	fclose(out);
	if (!workload_parse(&workload, text, len, &why))
		fail_msg("%s", why);
	for (unsigned i = 0; i < 4; i++)
		assert_string_equal(workload.argv[i], command[i]);
	assert_null(workload.argv[4]);
	assert_memory_equal(workload.envp[0], "PATH=", 5);
	assert_string_equal(workload.envp[1], "A=x=y");
	assert_string_equal(workload.envp[2], "HOME=/elsewhere");
	assert_null(workload.envp[3]);
	assert_string_equal(workload.cwd, "/srv");
	assert_string_equal(workload.root, "vda");
	assert_string_equal(workload.hostname, "h");
	assert_string_equal(workload.modules[0], "/vmm/a.ko");
	assert_string_equal(workload.volumes[0].device, "vdb");
	assert_string_equal(workload.volumes[0].target, "/a b");
	assert_true(workload.volumes[0].read_only);
	assert_string_equal(workload.volumes[1].device, "vdc");
	assert_string_equal(workload.volumes[1].type, "ext4");
	assert_false(workload.volumes[1].read_only);
	assert_true(workload.keep);
	assert_string_equal(workload.keep_device, "vdd");
	assert_int_equal(workload.net_count, 3);
	assert_string_equal(workload.nets[0].ip, "dhcp");
	assert_string_equal(workload.nets[1].gateway, "10.0.0.1");
	assert_null(workload.nets[2].ip);
	assert_int_equal(workload.uid, 1000);
	assert_int_equal(workload.group_count, 2);
	assert_int_equal(workload.columns, 80);
	workload_fini(&workload);
	free(text);
}

static void the_initramfs_holds_what_is_needed(void **state)
{
	struct config config = make_config();
	int fd = machine_initramfs_make(&config, &facts);
	char line[256], out[256];
	size_t len;
	FILE *pipe;

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(dup2(fd, 9), 9);
	close(fd);
	snprintf(line, sizeof(line), "cpio -t --quiet <&9");
	pipe = popen(line, "r");
	assert_non_null(pipe);
	len = fread(out, 1, sizeof(out) - 1, pipe);
	out[len] = '\0';
	assert_int_equal(pclose(pipe), 0);
	close(9);
	assert_string_equal(out, "dev\ndev/console\nsys\nvmm\ninit\nvmm/workload\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_written_is_read),
		cmocka_unit_test(the_initramfs_holds_what_is_needed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
