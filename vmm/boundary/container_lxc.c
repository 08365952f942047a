/*
 * The child that liblxc lives in. It has a mount namespace of its own, so that what is mounted for
 * the container goes with it, and is in the container's cgroup already: /sys/fs/cgroup is covered,
 * and liblxc finds none to manage. liblxc is loaded here and nowhere else: a machine does not pay
 * for it. It waits within liblxc's start until the container is gone.
 */
#include <assert.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <lxc/lxccontainer.h>
#include <linux/memfd.h>
#include <stdio.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "vmm/boundary/container.h"
#include "vmm/blob.h"
#include "vmm/boundary/process_enter.h"
#include "vmm/log.h"

#ifndef MFD_EXEC
#define MFD_EXEC 0x10u
#endif

/* container_init.c, compiled and linked by itself. */
BLOB_EMBED(container_init, CONTAINER_INIT);

#define LOG_FILE "/run/log"
/* All mounts in one file: each as an item of its own, liblxc writes them to two files of its own, a
 * line's end apart. */
#define FSTAB_FILE "/run/fstab"
#define EMPTY_DIR  "/run/empty"

/* What every container has. */
static const struct {
	const char *key, *value;
} fixed_items[] = {
	{ "lxc.log.level", "ERROR" },
	{ "lxc.log.file", LOG_FILE },
	{ "lxc.console.path", "none" },
	{ "lxc.tty.max", "0" },
	{ "lxc.autodev", "1" },
	{ "lxc.apparmor.profile", "unchanged" },
	{ "lxc.keyring.session", "0" },
	{ "lxc.no_new_privs", "1" },
	/* What a program in a root of its own may need, and no more. */
	{ "lxc.cap.keep", "chown dac_override fsetid fowner net_raw setgid setuid setfcap "
			  "setpcap net_bind_service sys_chroot kill audit_write" },
	{ "lxc.mount.auto", "proc:mixed" },
	{ "lxc.mount.fstab", FSTAB_FILE },
};

/* What every container has mounted; fstab(5). */
static const char fixed_mounts[] =
	"shm dev/shm tmpfs nosuid,nodev,noexec,mode=1777,create=dir 0 0\n"
	"mqueue dev/mqueue mqueue nosuid,nodev,noexec,create=dir,optional 0 0\n";

/* What in /proc and /sys tells of the host or changes it. A file is covered by /dev/null, a
 * directory by an empty one: a tmpfs of its own for each took three times as long. */
static const char *const masked_files[] = { "proc/kcore", "proc/keys", "proc/timer_list",
					    "proc/latency_stats", "proc/sched_debug" };
static const char *const masked_dirs[] = { "proc/acpi", "proc/scsi", "sys/firmware",
					   "sys/fs/selinux", "sys/devices/virtual/powercap" };
static const char *const read_only_dirs[] = { "proc/bus", "proc/fs", "proc/irq" };

struct lxc {
	struct lxc_container *api;
	int control_fd;
	int log_fd;
};

static int fail(const struct lxc *lxc, const char *what)
{
	process_send(lxc->control_fd, PROCESS_FAILED, PROCESS_STATUS_FAILED, what);
	return -EIO;
}

static int set(const struct lxc *lxc, const char *key, const char *value)
{
	char text[200];

	if (lxc->api->set_config_item(lxc->api, key, value))
		return 0;
	snprintf(text, sizeof(text), "liblxc refuses %s = %.100s: is it older than 5.0?", key,
		 value);
	return fail(lxc, text);
}

/* ---- loading ---- */

static int load(struct lxc *lxc, const char *name)
{
	struct lxc_container *(*create)(const char *name, const char *path);
	int (*log_init)(struct lxc_log * log);
	void *library = dlopen("liblxc.so.1", RTLD_NOW | RTLD_LOCAL);
	/* Errors go to a file of the container's configuration; one named here would add stderr. */
	struct lxc_log log = { .name = name, .file = "none", .level = "ERROR", .quiet = true };

	if (!library)
		return fail(lxc, "--as container needs liblxc: apt-get install liblxc1");
	*(void **)&create = dlsym(library, "lxc_container_new");
	*(void **)&log_init = dlsym(library, "lxc_log_init");
	if (!create || !log_init)
		return fail(lxc, "liblxc.so.1 is none that this vmm can use");
	log_init(&log);
	lxc->api = create(name, "/run");
	return lxc->api ? 0 : fail(lxc, "liblxc cannot make a container");
}

/* The first error that liblxc noted: "PREFIX NAME TIME ERROR MODULE - FILE:FUNCTION:LINE - TEXT".
 */
static void report(const struct lxc *lxc)
{
	auto_close int fd = open(LOG_FILE, O_RDONLY | O_CLOEXEC);
	char log[4096], text[240];
	ssize_t len = fd >= 0 ? read(fd, log, sizeof(log) - 1) : -1;
	char *line, *said;

	log[len > 0 ? len : 0] = '\0';
	line = strtok(log, "\n");
	said = line ? strstr(line, " - ") : NULL;
	said = said ? strstr(said + 3, " - ") : NULL;
	snprintf(text, sizeof(text), "liblxc did not start the container: %s",
		 said ? said + 3 : "it does not say why");
	fail(lxc, text);
}

/* ---- configuration ---- */

struct mounts {
	char text[2048];
	size_t len;
};

static void add_mount(struct mounts *mounts, const char *line)
{
	int len = snprintf(mounts->text + mounts->len, sizeof(mounts->text) - mounts->len, "%s",
			   line);

	mounts->len += (size_t)len;
	assert(mounts->len < sizeof(mounts->text));
}

static void add_mask(struct mounts *mounts, const char *from, const char *to, const char *options)
{
	char line[256];

	snprintf(line, sizeof(line), "/%s", to);
	if (access(line, F_OK) < 0)
		return;
	snprintf(line, sizeof(line), "%s %s %s 0 0\n", from, to, options);
	add_mount(mounts, line);
}

static void add_masks(struct mounts *mounts)
{
	for (size_t i = 0; i < ARRAY_SIZE(masked_files); i++)
		add_mask(mounts, "/dev/null", masked_files[i], "none bind,optional");
	for (size_t i = 0; i < ARRAY_SIZE(masked_dirs); i++)
		add_mask(mounts, EMPTY_DIR, masked_dirs[i],
			 "none bind,ro,nosuid,nodev,noexec,optional");
	for (size_t i = 0; i < ARRAY_SIZE(read_only_dirs); i++)
		add_mask(mounts, read_only_dirs[i], read_only_dirs[i],
			 "none bind,ro,relative,optional");
}

/* Whether terminals can have the group that liblxc insists on: where ids were granted. */
static bool has_terminal_group(const struct container *container)
{
	return !container->ids.needed || container->ids.gids.count;
}

static int write_mounts(const struct container *container)
{
	struct mounts mounts = { .len = 0 };
	auto_close int fd = open(FSTAB_FILE, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	add_mount(&mounts, fixed_mounts);
	/* /sys belongs to a network namespace: with the host's, the host's is there already. */
	if (container_net_kind(container->config) != CONFIG_NET_HOST)
		add_mount(&mounts, "sysfs sys sysfs ro,nosuid,nodev,noexec,create=dir 0 0\n");
	if (!has_terminal_group(container))
		add_mount(&mounts, "devpts dev/pts devpts nosuid,noexec,newinstance,ptmxmode=0666,"
				   "mode=0620,create=dir 0 0\n"
				   "dev/pts/ptmx dev/ptmx none bind,relative,create=file 0 0\n");
	add_masks(&mounts);
	if (fd < 0 || write(fd, mounts.text, mounts.len) != (ssize_t)mounts.len)
		return log_errno(errno, "write " FSTAB_FILE);
	return 0;
}

static int set_network(const struct container *container, const struct lxc *lxc)
{
	char address[64];
	int ret;

	switch (container_net_kind(container->config)) {
	case CONFIG_NET_HOST:
		return set(lxc, "lxc.net.0.type", "none");
	case CONFIG_NET_BRIDGE:
		snprintf(address, sizeof(address), "%s/%d " CONTAINER_BRIDGE_BROADCAST,
			 container->bridge.address, CONTAINER_BRIDGE_PREFIX);
		ret = set(lxc, "lxc.net.0.type", "veth");
		if (ret == 0)
			ret = set(lxc, "lxc.net.0.link", CONTAINER_BRIDGE_NAME);
		if (ret == 0)
			ret = set(lxc, "lxc.net.0.flags", "up");
		if (ret == 0)
			ret = set(lxc, "lxc.net.0.name", "eth0");
		if (ret == 0)
			ret = set(lxc, "lxc.net.0.veth.pair", container->bridge.veth);
		if (ret == 0)
			ret = set(lxc, "lxc.net.0.ipv4.address", address);
		if (ret == 0)
			ret = set(lxc, "lxc.net.0.ipv4.gateway", CONTAINER_BRIDGE_GATEWAY);
		return ret;
	default: /* user mode: pasta puts its interface there */
		ret = set(lxc, "lxc.net.0.type", "empty");
		return ret == 0 ? set(lxc, "lxc.net.0.flags", "up") : ret;
	}
}

static int configure(const struct container *container, const struct lxc *lxc)
{
	char path[PATH_MAX + 8];
	int ret;

	snprintf(path, sizeof(path), "dir:%s", container->root.path);
	ret = set(lxc, "lxc.rootfs.path", path);
	if (ret == 0)
		ret = set(lxc, "lxc.rootfs.mount", "/run/mnt");
	if (ret == 0)
		ret = set(lxc, "lxc.uts.name", container->config->hostname);
	for (size_t i = 0; ret == 0 && i < ARRAY_SIZE(fixed_items); i++)
		ret = set(lxc, fixed_items[i].key, fixed_items[i].value);
	if (ret == 0)
		ret = set(lxc, "lxc.pty.max", has_terminal_group(container) ? "1024" : "0");
	if (ret == 0)
		ret = set_network(container, lxc);
	return ret;
}

/* ---- the container's first process ---- */

/* Sealed, as the container could open what its process 1 runs. */
static int make_init(void)
{
	auto_free uint8_t *init = NULL;
	size_t len;
	int fd = BLOB_UNPACK(container_init, &init, &len);
	ssize_t done;

	if (fd < 0)
		return fd;
	fd = memfd_create("vmm-init", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC);

	if (fd < 0 && errno == EINVAL)
		fd = memfd_create("vmm-init", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return -errno;
	for (size_t at = 0; at < len; at += (size_t)done) {
		done = write(fd, init + at, len - at);
		if (done < 0 && errno != EINTR)
			goto failed;
		if (done < 0)
			done = 0;
	}
	if (fchmod(fd, 0755) == 0 &&
	    fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) == 0)
		return fd;
failed:
	done = -errno;
	close(fd);
	return (int)done;
}

struct init_words {
	char path[32], control[16], flags[4], env_count[16];
};

/* See the opening comment of container_init.c. On the heap. */
static char **make_arguments(const struct container *container, struct init_words *words)
{
	const struct config *config = container->config;
	const struct process_terminal *terminal = &container->process.terminal;
	const char *term = terminal->wanted ? getenv("TERM") : NULL;
	char **argv = calloc(8 + config->env_count + config->command_count, sizeof(*argv));
	size_t count = 0;

	if (!argv)
		return NULL;
	snprintf(words->control, sizeof(words->control), "%d", container->process.child_control_fd);
	snprintf(words->flags, sizeof(words->flags), "%s%s%s", terminal->wanted ? "t" : "",
		 terminal->wanted && terminal->is_stderr ? "e" : "",
		 terminal->wanted || container_net_kind(config) == CONFIG_NET_USER ? "w" : "");
	snprintf(words->env_count, sizeof(words->env_count), "%u", config->env_count);
	argv[count++] = words->path;
	argv[count++] = words->control;
	argv[count++] = words->flags;
	argv[count++] = (char *)(config->user ? config->user : "");
	argv[count++] = (char *)(config->workdir ? config->workdir : "");
	argv[count++] = (char *)(term ? term : "");
	argv[count++] = words->env_count;
	for (unsigned i = 0; i < config->env_count; i++)
		argv[count++] = config->env[i];
	for (unsigned i = 0; i < config->command_count; i++)
		argv[count++] = config->command[i];
	return argv;
}

/* ---- the child ---- */

static int mount_root(struct container *container)
{
	const struct config *config = container->config;
	char hostname[256], hosts[512], resolv_conf[4096];
	struct process_root_file files[] = { { "hostname", hostname },
					     { "hosts", hosts },
					     { "resolv.conf", resolv_conf } };
	bool has_servers = container_net_kind(config) != CONFIG_NET_NONE &&
			   process_root_read_resolv_conf(resolv_conf, sizeof(resolv_conf));

	snprintf(hostname, sizeof(hostname), "%s\n", config->hostname);
	snprintf(hosts, sizeof(hosts), "127.0.0.1 localhost\n::1 localhost\n%s %s\n",
		 container->bridge.used ? container->bridge.address : "127.0.1.1",
		 config->hostname);
	return process_root_mount(&container->root, container->ids.needed, files,
				  has_servers ? 3 : 2);
}

/* Where no ids were granted there are no groups to be given up; liblxc tries as long as it may. */
static void drop_setgid(void)
{
	static const cap_value_t setgid_only[] = { CAP_SETGID };
	cap_t caps = cap_get_proc();

	if (!caps || cap_set_flag(caps, CAP_EFFECTIVE, 1, setgid_only, CAP_CLEAR) < 0 ||
	    cap_set_flag(caps, CAP_PERMITTED, 1, setgid_only, CAP_CLEAR) < 0 ||
	    cap_set_proc(caps) < 0)
		log_debug("keeping CAP_SETGID: %s", strerror(errno));
	cap_free(caps);
}

/* 0 or -errno, logged. */
static int prepare(struct container *container)
{
	int ret = mount_root(container);

	/* What is bound from there has the container's root for its owner, where all ids are ours.
	 */
	if (ret == 0)
		ret = process_root_protect("/dev");
	if (ret < 0)
		return ret;
	if (mkdir("/run/mnt", 0755) < 0 || mkdir(EMPTY_DIR, 0555) < 0)
		return log_errno(errno, "make directories in /run");
	/* liblxc shall find no cgroup that it could manage. Where this fails, they are not ours. */
	if (mount(EMPTY_DIR, "/sys/fs/cgroup", NULL, MS_BIND, NULL) < 0 ||
	    mount(NULL, "/sys/fs/cgroup", NULL,
		  MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV, NULL) < 0)
		log_debug("/sys/fs/cgroup: %s", strerror(errno));
	if (container_net_kind(container->config) == CONFIG_NET_HOST)
		ret = process_root_bind_read_only(&container->root, "/sys");
	if (ret < 0)
		return ret;
	if (!has_terminal_group(container))
		drop_setgid();
	return write_mounts(container);
}

/* The exit status of the container's first process, as liblxc tells it: a wait status, but after a
 * signal that of a stopped process. 1, which is neither: it never ran. */
static int read_status(const struct lxc *lxc)
{
	int told = lxc->api->error_num;

	if (told == 1)
		return -EIO;
	return (told & 0x7f) == 0x7f ? 128 + ((told >> 8) & 0x7f) : (told >> 8) & 0xff;
}

static int start(struct container *container, struct lxc *lxc)
{
	struct init_words words;
	char **argv = make_arguments(container, &words);
	auto_close int init_fd = make_init();
	int status;

	if (!argv || init_fd < 0) {
		free((void *)argv);
		return fail(lxc, "no memory for the container's first process");
	}
	snprintf(words.path, sizeof(words.path), "/proc/self/fd/%d", init_fd);
	fcntl(lxc->control_fd, F_SETFD, 0);
	lxc->api->want_daemonize(lxc->api, false);
	/* In a user namespace there is no way back to the host's network at the end, and it fails
	 * for that. */
	status = lxc->api->start(lxc->api, false, argv) ? 0 : -EIO;
	free((void *)argv);
	if (status == 0 || read_status(lxc) >= 0)
		return read_status(lxc);
	report(lxc);
	return -EIO;
}

int container_lxc_run(struct container *container)
{
	struct lxc lxc = { .control_fd = container->process.child_control_fd };
	char name[32];
	int status;

	snprintf(name, sizeof(name), "vmm-%d", (int)getpid());
	if (prepare(container) < 0 || load(&lxc, name) < 0 || configure(container, &lxc) < 0)
		return PROCESS_STATUS_FAILED;
	status = start(container, &lxc);
	return status < 0 ? PROCESS_STATUS_FAILED : status;
}
