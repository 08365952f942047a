/*
 * A command in a virtual machine of its own: the directory becomes a read-only image, which is the
 * first disk; volumes are the next ones; an initramfs in memory starts the command behind the
 * relay. Called by boundary.c on the main thread.
 *
 * Whatever kills the monitor leaves nothing but images in the cache: the machine is this process,
 * the initramfs is a memfd, and passt ends when its socket closes.
 */
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "vmm/boundary/boundary.h"
#include "vmm/boundary/keep.h"
#include "vmm/boundary/machine_initramfs.h"
#include "vmm/boundary/relay.h"
#include "vmm/end.h"
#include "vmm/image/image.h"
#include "vmm/log.h"
#include "vmm/run.h"

#define USER_FILE_LEN_MAX (1u << 20)
#define PROC_PATH_LEN	  32 /* /proc/self/fd/N */

/* ---- what cannot be ---- */

static int refuse(const char *what, const char *why)
{
	log_err("%s: %s", what, why);
	return -EINVAL;
}

static int machine_refuse(const struct config *config)
{
	if (config->net_count && config->nets[0].kind == CONFIG_NET_HOST)
		return refuse("--net host", "a machine has a network of its own: write user or "
					    "tap=NAME, or use --as container or host");
	if (config->net_count && config->nets[0].kind == CONFIG_NET_BRIDGE)
		return refuse("--net bridge", "is for containers: put a tap on a bridge and write "
					      "tap=NAME, or use --as container");
	/* The root, and what is kept, are disks as well. */
	if ((config->keep ? 2 : 1) + config->volume_count + config->disk_count > CONFIG_DISKS_MAX)
		return refuse("--volume", "a machine has room for 15 volumes and disks, or 14 with "
					  "--keep");
	return 0;
}

static int machine_sweep(void)
{
	return 0;
}

/* ---- the user, as the root's files have it ---- */

struct user_file {
	size_t len;
	char text[USER_FILE_LEN_MAX];
};

/* DIR/PATH with links followed as within DIR; what is not there is empty. */
static void read_user_file(int dir_fd, const char *path, struct user_file *file)
{
	struct open_how how = { .flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY,
				.resolve = RESOLVE_IN_ROOT };
	auto_close int fd = (int)syscall(SYS_openat2, dir_fd, path, &how, sizeof(how));
	ssize_t got;

	file->len = 0;
	while (fd >= 0 && file->len < USER_FILE_LEN_MAX) {
		got = read(fd, file->text + file->len, USER_FILE_LEN_MAX - file->len);
		if (got <= 0)
			break;
		file->len += (size_t)got;
	}
}

static int find_user(const struct config *config, struct process_user *user)
{
	auto_close int dir_fd = open(config->rootfs, O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct user_file *files;
	bool found;

	if (dir_fd < 0)
		return log_errno(errno, "open %s", config->rootfs);
	/* Only as much of it becomes memory as the files are long. */
	files = malloc(2 * sizeof(*files));
	if (!files)
		return log_errno(ENOMEM, "read users");
	read_user_file(dir_fd, "etc/passwd", &files[0]);
	read_user_file(dir_fd, "etc/group", &files[1]);
	found = process_user_find(user, config->user, files[0].text, files[0].len, files[1].text,
				  files[1].len);
	free(files);
	if (found)
		return 0;
	log_err("--user %s: not in etc/passwd or etc/group of %s: write a number", config->user,
		config->rootfs);
	return -EINVAL;
}

/* ---- disks ---- */

/* What is made for one run, and its end. */
struct preparation {
	struct config config; /* with the machine's disks; shares its texts with the original */
	struct machine_facts facts;
	struct relay *relay;
	struct keep *keep; /* NULL: what is written is thrown away */
	int fds[2 + CONFIG_VOLUMES_MAX];
	char paths[2 + CONFIG_VOLUMES_MAX][PROC_PATH_LEN];
	unsigned fd_count;
	int initramfs_fd;
	char initramfs_path[PROC_PATH_LEN];
};

static void name_fd(char path[PROC_PATH_LEN], int fd)
{
	snprintf(path, PROC_PATH_LEN, "/proc/self/fd/%d", fd);
}

/* Makes FD, which is taken over, the next disk. */
static void add_disk(struct preparation *p, int fd, bool read_only)
{
	char *path = p->paths[p->fd_count];

	p->fds[p->fd_count++] = fd;
	name_fd(path, fd);
	p->config.disks[p->config.disk_count++] =
		(struct config_disk){ .path = path, .read_only = read_only, .queues = 1 };
}

static int refuse_volume(const struct config_volume *volume, const char *why)
{
	log_err("--volume %s: %s", volume->source, why);
	return -EINVAL;
}

static int open_volume_dir(const struct config_volume *volume)
{
	int fd;
	int ret;

	if (!volume->read_only)
		return refuse_volume(volume, "sharing a live directory with a machine comes "
					     "later: add :ro, or use --as container");
	ret = image_from_dir(volume->source, &fd);
	return ret < 0 ? ret : fd;
}

static int add_volume(struct preparation *p, unsigned index)
{
	const struct config_volume *volume = &p->config.volumes[index];
	int flags = O_CLOEXEC | O_NOCTTY | O_NONBLOCK | (volume->read_only ? O_RDONLY : O_RDWR);
	const char *type;
	struct stat st;
	int fd;

	if (stat(volume->source, &st) < 0)
		return errno == ENOENT ? refuse_volume(volume, "no such directory or image: make "
							       "it, or name another")
				       : log_errno(errno, "--volume %s", volume->source);
	fd = S_ISDIR(st.st_mode) ? open_volume_dir(volume) : open(volume->source, flags);
	if (fd < 0)
		return S_ISDIR(st.st_mode) ? fd : log_errno(errno, "--volume %s", volume->source);
	type = image_type_name(image_detect(fd));
	if (!type || (!volume->read_only && strcmp(type, "erofs") == 0)) {
		close(fd);
		return refuse_volume(volume, type ? "an erofs image cannot be written: add :ro"
						  : "neither a directory nor an ext4 or erofs "
						    "image: make one, by mkfs.ext4 -d");
	}
	p->facts.volume_types[index] = type;
	add_disk(p, fd, volume->read_only);
	return 0;
}

/* What earlier runs wrote, which this one goes on with. */
static int add_keep(struct preparation *p)
{
	int fd;
	int ret = keep_create(&p->keep, p->config.keep, p->config.memory_len, &fd);

	if (ret < 0 || fd < 0)
		return ret;
	p->facts.keep_disk = p->config.disk_count;
	add_disk(p, fd, true);
	return 0;
}

/* The image first, then the volumes, then what is kept, then what --disk named. */
static int prepare_disks(struct preparation *p, const struct config *config)
{
	int fd;
	int ret = image_from_dir(config->rootfs, &fd);

	if (ret < 0)
		return ret;
	p->config.disk_count = 0;
	add_disk(p, fd, true);
	for (unsigned i = 0; ret == 0 && i < config->volume_count; i++)
		ret = add_volume(p, i);
	if (ret == 0 && config->keep)
		ret = add_keep(p);
	for (unsigned i = 0; i < config->disk_count; i++)
		p->config.disks[p->config.disk_count++] = config->disks[i];
	return ret;
}

/* ---- the run ---- */

static void prepare_console(struct preparation *p)
{
	static char stderr_path[] = "/proc/self/fd/2";
	struct config *config = &p->config;

	/* Standard input and output are the command's. */
	config->console = CONFIG_CONSOLE_VIRTIO;
	if (config->console_to != CONFIG_TO_TERMINAL)
		return;
	config->console_to = config->verbose ? CONFIG_TO_FILE : CONFIG_TO_NONE;
	config->console_path = config->verbose ? stderr_path : NULL;
}

static int prepare_relay(struct preparation *p)
{
	struct relay_options options = {
		.terminal = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO),
		.in_fd = STDIN_FILENO,
		.out_fd = STDOUT_FILENO,
		.err_fd = STDERR_FILENO,
		.keeps = p->keep,
		.keep_fd = p->keep ? keep_get_fd(p->keep) : -1,
		.memory_len = p->config.memory_len,
	};
	int ret = relay_create(&p->relay, &options);

	p->facts.terminal = options.terminal;
	if (ret == 0 && options.terminal)
		relay_get_size(p->relay, &p->facts.columns, &p->facts.rows);
	return ret;
}

static int prepare(struct preparation *p, const struct config *config, struct timeline *timeline)
{
	int ret = find_user(config, &p->facts.user);

	if (ret == 0)
		ret = prepare_disks(p, config);
	timeline_mark(timeline, "images");
	if (ret == 0)
		ret = prepare_relay(p);
	if (ret < 0)
		return ret;
	prepare_console(p);
	p->config.on_reboot = CONFIG_REBOOT_EXIT;
	p->initramfs_fd = machine_initramfs_make(&p->config, &p->facts);
	if (p->initramfs_fd < 0)
		return p->initramfs_fd;
	name_fd(p->initramfs_path, p->initramfs_fd);
	p->config.initrd = p->initramfs_path;
	timeline_mark(timeline, "initramfs");
	return 0;
}

static int machine_run(const struct config *config, struct timeline *timeline)
{
	struct preparation p = { .config = *config, .initramfs_fd = -1 };
	int status = EXIT_STATUS_HOST;
	bool ran = false;

	if (prepare(&p, config, timeline) == 0)
		status = run_machine_for(&p.config, timeline, relay_owner(p.relay));
	if (p.relay)
		ran = relay_has_started(p.relay);
	relay_destroy(p.relay);
	keep_destroy(p.keep, ran);
	if (p.initramfs_fd >= 0)
		close(p.initramfs_fd);
	while (p.fd_count)
		close(p.fds[--p.fd_count]);
	return status;
}

const struct boundary_ops boundary_machine = {
	.name = "machine",
	.refuse = machine_refuse,
	.run = machine_run,
	.sweep = machine_sweep,
};
