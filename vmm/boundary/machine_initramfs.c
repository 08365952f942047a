/*
 * The initramfs of a command's machine. See machine_initramfs.h.
 */
#include "vmm/boundary/machine_initramfs.h"

#include <stdarg.h>
#include <string.h>

#include "vmm/blob.h"
#include "vmm/guest/workload.h"
#include "vmm/image/initramfs.h"
#include "vmm/image/modules.h"
#include "vmm/log.h"

#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* guest-init, as the Makefile has linked it. */
BLOB_EMBED(guest_init, GUEST_INIT_FILE);

/* What each machine needs, where it is not built in; then what some do. */
static const char *const modules_always[] = { "virtio_pci", "virtio_mmio", "virtio_console",
					      "virtio_blk", "erofs",	   "overlay",
					      NULL };
static const char *const modules_balloon[] = { "virtio_balloon", NULL };
static const char *const modules_network[] = { "virtio_net", "af_packet", NULL };
static const char *const modules_ext4[] = { "ext4", NULL };

/* ---- the file for guest-init ---- */

/* One record, with the NUL that ends it. */
static void PRINTF_LIKE(2, 3) put(FILE *out, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vfprintf(out, fmt, args);
	va_end(args);
	putc('\0', out);
}

static bool has_variable(const struct config *config, const char *name)
{
	size_t len = strlen(name);

	for (unsigned i = 0; i < config->env_count; i++) {
		if (strncmp(config->env[i], name, len) == 0 && config->env[i][len] == '=')
			return true;
	}
	return false;
}

static void put_default(FILE *out, const struct config *config, const char *name, const char *value)
{
	if (value && !has_variable(config, name))
		put(out, "env=%s=%s", name, value);
}

static void put_env(FILE *out, const struct config *config, const struct machine_facts *facts)
{
	put_default(out, config, "PATH", DEFAULT_PATH);
	put_default(out, config, "HOME", facts->user.home);
	put_default(out, config, "TERM", facts->terminal ? getenv("TERM") : NULL);
	for (unsigned i = 0; i < config->env_count; i++)
		put(out, "env=%s", config->env[i]);
}

static void put_user(FILE *out, const struct process_user *user)
{
	put(out, "uid=%u", user->uid);
	put(out, "gid=%u", user->gid);
	for (size_t i = 0; i < user->group_count; i++)
		put(out, "group=%u", user->groups[i]);
}

static void put_keep(FILE *out, const struct machine_facts *facts)
{
	if (facts->keep_disk)
		put(out, "keep=vd%c", 'a' + (int)facts->keep_disk);
	else
		put(out, "keep=");
}

/* passt answers by DHCP; what else a card is told depends on who is behind it. */
static void put_net(FILE *out, const struct config_net *net)
{
	const char *ip = net->ip ? net->ip : net->kind == CONFIG_NET_USER ? "dhcp" : "";

	put(out, "net=%s%s%s", ip, net->gateway ? " " : "", net->gateway ? net->gateway : "");
}

void machine_workload_write(FILE *out, const struct config *config,
			    const struct machine_facts *facts, char *const modules[],
			    unsigned module_count)
{
	put(out, WORKLOAD_MAGIC);
	for (unsigned i = 0; i < module_count; i++)
		put(out, "module=%s", modules[i]);
	put(out, "root=vda");
	for (unsigned i = 0; i < config->volume_count; i++) {
		const struct config_volume *volume = &config->volumes[i];

		put(out, "volume=vd%c %s %s %s", 'b' + (int)i, facts->volume_types[i],
		    volume->read_only ? "ro" : "rw", volume->target);
	}
	if (config->keep)
		put_keep(out, facts);
	for (unsigned i = 0; i < config->net_count; i++)
		put_net(out, &config->nets[i]);
	put(out, "hostname=%s", config->hostname);
	put_user(out, &facts->user);
	if (facts->terminal)
		put(out, "terminal=%u %u", facts->columns, facts->rows);
	put(out, "cwd=%s", config->workdir ? config->workdir : "/");
	put_env(out, config, facts);
	for (unsigned i = 0; i < config->command_count; i++)
		put(out, "arg=%s", config->command[i]);
	put(out, "end");
}

/* ---- modules ---- */

static bool needs_ext4(const struct config *config, const struct machine_facts *facts)
{
	for (unsigned i = 0; i < config->volume_count; i++) {
		if (strcmp(facts->volume_types[i], "ext4") == 0)
			return true;
	}
	return false;
}

static void add_names(const char **names, const char *const *more)
{
	while (*names)
		names++;
	while (*more)
		*names++ = *more++;
	*names = NULL;
}

static int load_modules(const struct config *config, const struct machine_facts *facts,
			struct module_list *list)
{
	auto_free char *dir = modules_find_dir(config->kernel);
	const char *names[16] = { NULL };

	list->count = 0;
	if (!dir)
		return 0;
	log_debug("modules from %s", dir);
	add_names(names, modules_always);
	if (config->balloon == CONFIG_BALLOON_ON)
		add_names(names, modules_balloon);
	if (config->net_count)
		add_names(names, modules_network);
	if (needs_ext4(config, facts))
		add_names(names, modules_ext4);
	return modules_load(dir, names, list);
}

/* ---- putting it together ---- */

static int add_modules(struct initramfs *initramfs, const struct module_list *list, char **paths)
{
	for (unsigned i = 0; i < list->count; i++) {
		if (asprintf(&paths[i], "/vmm/%s.ko", list->files[i].name) < 0) {
			paths[i] = NULL;
			return -ENOMEM;
		}
		initramfs_add_file(initramfs, paths[i] + 1, 0400, list->files[i].data,
				   list->files[i].len);
	}
	return 0;
}

static int add_workload(struct initramfs *initramfs, const struct config *config,
			const struct machine_facts *facts, char *const modules[],
			unsigned module_count)
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	if (!out)
		return -ENOMEM;
	machine_workload_write(out, config, facts, modules, module_count);
	if (fclose(out) != 0) {
		free(text);
		return -ENOMEM;
	}
	if (len <= WORKLOAD_LEN_MAX)
		initramfs_add_file(initramfs, &WORKLOAD_PATH[1], 0400, text, len);
	free(text);
	return len <= WORKLOAD_LEN_MAX ? 0 : -E2BIG;
}

static int fill(struct initramfs *initramfs, const struct config *config,
		const struct machine_facts *facts, const struct module_list *list)
{
	char *paths[MODULES_MAX] = { NULL };
	uint8_t *init;
	size_t init_len;
	int ret;

	initramfs_add_dir(initramfs, "dev");
	initramfs_add_char(initramfs, "dev/console", 5, 1);
	initramfs_add_dir(initramfs, "sys");
	initramfs_add_dir(initramfs, "vmm");
	ret = BLOB_UNPACK(guest_init, &init, &init_len);
	if (ret < 0)
		return ret;
	initramfs_add_file(initramfs, "init", 0500, (const char *)init, init_len);
	free(init);
	ret = add_modules(initramfs, list, paths);
	if (ret == 0)
		ret = add_workload(initramfs, config, facts, paths, list->count);
	for (unsigned i = 0; i < list->count; i++)
		free(paths[i]);
	return ret < 0 ? log_errno(ret, "say to the machine what it shall run") : 0;
}

int machine_initramfs_make(const struct config *config, const struct machine_facts *facts)
{
	struct initramfs initramfs;
	struct module_list list;
	int ret = load_modules(config, facts, &list);
	int fd;

	if (ret == 0)
		ret = initramfs_begin(&initramfs);
	if (ret < 0) {
		modules_free(&list);
		return ret;
	}
	ret = fill(&initramfs, config, facts, &list);
	modules_free(&list);
	fd = initramfs_finish(&initramfs);
	if (ret < 0 && fd >= 0) {
		close(fd);
		return ret;
	}
	return fd;
}
