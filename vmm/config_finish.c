/*
 * What follows from a configuration: which kernel, which network, which root, and the command line
 * made of it. Looks at files and PATH, opens no device but a disk that shall be the root. Called
 * once by `vmm run` before the machine is built, on the main thread.
 */
#include "vmm/config_finish.h"

#include <fcntl.h>
#include <glob.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/utsname.h>

#include "vmm/config_options.h"
#include "vmm/log.h"
#include "vmm/partition.h"

#define MEMORY_STEP	(UINT64_C(2) << 20)
#define NAME_DEFAULT	"vmm"
#define CMDLINE_LEN_MAX 2047 /* what Linux keeps on x86-64 and aarch64, without the NUL */

static int no_memory(void)
{
	return log_errno(ENOMEM, "complete the configuration");
}

static void round_memory(struct config *config)
{
	char text[CONFIG_TEXT_LEN];
	uint64_t rounded = (config->memory_len + MEMORY_STEP - 1) / MEMORY_STEP * MEMORY_STEP;

	if (rounded == config->memory_len)
		return;
	config->memory_len = rounded;
	config_text_from_size(rounded, text);
	log_info("memory rounded up to %s, a multiple of 2M", text);
}

/* A group has one limit: its members must not say different things about it. */
static bool limits_agree(const struct config_limit *a, const struct config_limit *b)
{
	if (!a->group || !b->group || strcmp(a->group, b->group) != 0)
		return true;
	return a->bytes_per_s == b->bytes_per_s && a->ops_per_s == b->ops_per_s &&
	       a->burst_ms == b->burst_ms;
}

static int check_group(const struct config_limit *first, const struct config_limit *limit,
		       const char *option)
{
	if (limits_agree(first, limit))
		return 0;
	log_err("%s: group=%s was given other limits before: give all its members the same", option,
		limit->group);
	return -EINVAL;
}

static int check_groups(const struct config *config)
{
	int ret = 0;

	for (unsigned i = 1; i < config->disk_count; i++)
		for (unsigned j = 0; ret == 0 && j < i; j++)
			ret = check_group(&config->disks[j].limit, &config->disks[i].limit,
					  "--disk");
	for (unsigned i = 1; i < config->net_count; i++)
		for (unsigned j = 0; ret == 0 && j < i; j++)
			ret = check_group(&config->nets[j].limit, &config->nets[i].limit, "--net");
	return ret;
}

static int refuse_conflicts(const struct config *config)
{
	bool user = !config->net_given;

	for (unsigned i = 0; i < config->net_count; i++)
		user |= config->nets[i].kind == CONFIG_NET_USER ||
			config->nets[i].kind == CONFIG_NET_BRIDGE;
	if (config->cmdline && config->cmdline_only) {
		log_err("--cmdline and --cmdline-only exclude each other: leave one out");
		return -EINVAL;
	}
	if (config->publish_count && !user) {
		log_err("--publish: forwards to a network in user mode: add --net user");
		return -EINVAL;
	}
	return 0;
}

/* Where kernels lie, in the order in which they are looked for; machine NULL: any. */
static const struct kernel_place {
	const char *machine;
	const char *path;
} kernel_places[] = {
	{ "x86_64", "./bzImage" }, { "x86_64", "./arch/x86/boot/bzImage" },
	{ "aarch64", "./Image" },  { "aarch64", "./arch/arm64/boot/Image" },
	{ NULL, "./vmlinux" },
};

static bool is_file(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

/* Which one was chosen; a command's standard error is the command's, though. */
static void say_kernel(const struct config *config)
{
	const char *initrd = config->initrd ? config->initrd : "";

	log_message(config->rootfs ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO, "kernel %s%s%s",
		    config->kernel, *initrd ? ", initrd " : "", initrd);
}

/*
 * The newest of our own kernels that guest-kernel-configs/build.sh left in the cache: it has all
 * built in that a command's machine needs, and boots quickest.
 */
static int use_cached_kernel(struct config *config)
{
	const char *cache = getenv("XDG_CACHE_HOME");
	const char *home = getenv("HOME");
	auto_free char *pattern = NULL;
	time_t newest = 0;
	glob_t found;

	if (!cache && !home)
		return 0;
	if (asprintf(&pattern, "%s%s/vmm/kernels/full-*/vmlinux", cache ? cache : home,
		     cache ? "" : "/.cache") < 0)
		return no_memory();
	if (glob(pattern, GLOB_NOSORT, NULL, &found) != 0)
		return 0;
	for (size_t i = 0; i < found.gl_pathc; i++) {
		struct stat st;

		if (stat(found.gl_pathv[i], &st) < 0 || !S_ISREG(st.st_mode) ||
		    st.st_mtime < newest)
			continue;
		newest = st.st_mtime;
		free(config->kernel);
		config->kernel = strdup(found.gl_pathv[i]);
	}
	globfree(&found);
	if (config->kernel)
		say_kernel(config);
	return 0;
}

/* The host's own kernel, whose drivers are mostly in its initrd. */
static int use_host_kernel(struct config *config, const struct utsname *host)
{
	auto_free char *kernel = NULL;
	auto_free char *initrd = NULL;

	if (asprintf(&kernel, "/boot/vmlinuz-%s", host->release) < 0 ||
	    asprintf(&initrd, "/boot/initrd.img-%s", host->release) < 0)
		return no_memory();
	if (!is_file(kernel)) {
		log_err("no ./bzImage, ./arch/x86/boot/bzImage, ./vmlinux or %s: name a kernel "
			"with "
			"--kernel FILE",
			kernel);
		return -ENOENT;
	}
	config->kernel = kernel;
	kernel = NULL;
	if (!config->rootfs && !config->initrd && access(initrd, R_OK) == 0) {
		config->initrd = initrd;
		initrd = NULL;
	}
	say_kernel(config);
	return 0;
}

static int find_kernel(struct config *config, const struct utsname *host)
{
	if (config->kernel)
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(kernel_places); i++) {
		const struct kernel_place *place = &kernel_places[i];

		if ((place->machine && strcmp(place->machine, host->machine) != 0) ||
		    !is_file(place->path))
			continue;
		config->kernel = strdup(place->path);
		if (!config->kernel)
			return no_memory();
		say_kernel(config);
		return 0;
	}
	if (config->rootfs) {
		int ret = use_cached_kernel(config);

		if (ret < 0 || config->kernel)
			return ret;
	}
	return use_host_kernel(config, host);
}

bool config_is_in_path(const char *program)
{
	const char *dir = getenv("PATH");

	while (dir && *dir) {
		size_t len = strcspn(dir, ":");
		char path[4096];

		if (len &&
		    (size_t)snprintf(path, sizeof(path), "%.*s/%s", (int)len, dir, program) <
			    sizeof(path) &&
		    access(path, X_OK) == 0 && is_file(path))
			return true;
		dir += len + (dir[len] == ':');
	}
	return false;
}

static void default_net(struct config *config)
{
	if (config->net_given)
		return;
	config->net_given = true;
	if (config->as == CONFIG_AS_HOST) {
		config->nets[0] =
			(struct config_net){ .kind = CONFIG_NET_HOST, .fd = -1, .queues = 1 };
		config->net_count = 1;
		return;
	}
	if (!config_is_in_path("passt")) {
		log_message(config->rootfs ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO,
			    "no network: install passt for one, or name one with --net");
		return;
	}
	config->nets[0] = (struct config_net){ .kind = CONFIG_NET_USER, .fd = -1, .queues = 1 };
	config->net_count = 1;
}

static uint64_t hash_text(uint64_t hash, const char *text)
{
	/* FNV-1a, the end of the text included so that "a","b" differs from "ab","" */
	do {
		hash = (hash ^ (uint8_t)*text) * UINT64_C(0x100000001b3);
	} while (*text++);
	return hash;
}

/* The same machine has the same addresses at every start; 02 marks them as locally made. */
static void derive_macs(struct config *config)
{
	for (unsigned i = 0; i < config->net_count; i++) {
		struct config_net *net = &config->nets[i];
		char index[2] = { (char)('0' + i), '\0' };
		uint64_t hash = UINT64_C(0xcbf29ce484222325);

		if (net->has_mac || net->kind == CONFIG_NET_HOST || net->kind == CONFIG_NET_BRIDGE)
			continue;
		hash = hash_text(hash, config->name);
		hash = hash_text(hash, net->tap ? net->tap : "");
		hash = hash_text(hash, index);
		hash ^= hash >> 32;
		net->mac[0] = 0x02;
		for (unsigned byte = 1; byte < 6; byte++)
			net->mac[byte] = (uint8_t)(hash >> (8 * (byte - 1)));
		net->has_mac = true;
	}
}

static uint32_t sector_len_of(int fd)
{
	struct stat st;
	int len = 512;

	if (fstat(fd, &st) == 0 && S_ISBLK(st.st_mode) && ioctl(fd, BLKSSZGET, &len) < 0)
		len = 512;
	return len == 4096 ? 4096 : 512;
}

/* root= on the first disk: its Linux root partition, or all of it where it has no table. */
static int derive_root(struct config *config, const struct utsname *host)
{
	const struct config_disk *disk = &config->disks[0];
	struct partition_root found;
	struct stat st;
	auto_close int fd = -1;
	int ret;

	if (config->disk_count == 0 || config->cmdline_only || config->rootfs)
		return 0;
	fd = open(disk->path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0 && errno == ENOENT) {
		log_err("there is no disk %s: name one that there is, or make an empty one: "
			"truncate -s 4G %s",
			disk->path, disk->path);
		return -ENOENT;
	}
	if (fd < 0)
		return log_errno(errno, "open the disk %s", disk->path);
	if (fstat(fd, &st) == 0 && !S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode)) {
		log_err("%s is %s: a disk is a file or a block device", disk->path,
			S_ISDIR(st.st_mode)    ? "a directory"
			: S_ISFIFO(st.st_mode) ? "a pipe"
					       : "something else");
		return -EINVAL;
	}
	ret = partition_find_root(fd, sector_len_of(fd), host->machine, &found);
	if (ret < 0)
		return log_errno(ret, "read the partition table of %s", disk->path);
	free(config->root);
	config->root = NULL;
	if (found.has_table && found.number == 0) {
		log_info("no Linux partition on %s: name the root with --cmdline root=...",
			 disk->path);
		return 0;
	}
	if (!found.has_table)
		config->root = strdup("/dev/vda");
	else if (asprintf(&config->root, "/dev/vda%u", found.number) < 0)
		config->root = NULL;
	return config->root ? 0 : no_memory();
}

int config_finish(struct config *config)
{
	struct utsname host;
	int ret;

	if (uname(&host) < 0)
		return log_errno(errno, "ask the host's kernel version");
	ret = check_groups(config);
	if (ret == 0)
		ret = refuse_conflicts(config);
	if (ret < 0)
		return ret;
	round_memory(config);
	if (!config->name) {
		config->name = strdup(NAME_DEFAULT);
		if (!config->name)
			return no_memory();
	}
	ret = config_finish_workload(config);
	if (ret < 0)
		return ret;
	if (config->balloon == CONFIG_BALLOON_AUTO)
		config->balloon =
			config->as == CONFIG_AS_MACHINE ? CONFIG_BALLOON_ON : CONFIG_BALLOON_OFF;
	/* A container and the host have theirs. */
	if (config->as == CONFIG_AS_PLAIN || config->as == CONFIG_AS_MACHINE)
		ret = find_kernel(config, &host);
	if (ret < 0)
		return ret;
	default_net(config);
	derive_macs(config);
	ret = derive_root(config, &host);
	if (ret < 0)
		return ret;
	free(config->cmdline_full);
	config->cmdline_full = NULL;
	if (!config->kernel)
		return 0;
	config->cmdline_full = config_cmdline(config, NULL);
	if (!config->cmdline_full)
		return no_memory();
	if (strlen(config->cmdline_full) > CMDLINE_LEN_MAX) {
		log_err("--cmdline: %zu bytes with the derived words, the kernel keeps %d: shorten "
			"it",
			strlen(config->cmdline_full), CMDLINE_LEN_MAX);
		return -EINVAL;
	}
	return 0;
}
