/*
 * Mounts, by mount(2) and the descriptors opened before: paths may hold what an option string has
 * another meaning for, and may lie below what is covered here.
 */
#include "vmm/boundary/process_root.h"

#include <fcntl.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>

#include "vmm/boundary/keep.h"
#include "vmm/boundary/keep_merge.h"
#include "vmm/log.h"

/* Not <sys/mount.h>, whose constants collide with the kernel's header. */
int mount(const char *source, const char *target, const char *type, unsigned long flags,
	  const void *data);

int process_root_refuse(const struct config *config)
{
	struct stat st;

	for (unsigned i = 0; i < config->volume_count; i++) {
		const char *source = config->volumes[i].source;

		if (stat(source, &st) < 0 && errno == ENOENT) {
			log_err("--volume %s: no such directory: make it, or name another", source);
			return -ENOENT;
		}
		if (stat(source, &st) < 0)
			return log_errno(errno, "--volume %s", source);
		if (S_ISDIR(st.st_mode))
			continue;
		log_err("--volume %s: not a directory: an image is a volume of --as machine only",
			source);
		return -EINVAL;
	}
	return 0;
}

static int open_dir(const char *option, const char *path, int *fd)
{
	*fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return *fd < 0 ? log_errno(errno, "--%s %s", option, path) : 0;
}

/* The overlay wants a directory of its own on the same file system, and not within what it keeps.
 */
static int open_keep(struct process_root *root)
{
	struct stat keep, parent;
	int ret = open_dir("keep", root->config->keep, &root->keep_fd);

	if (ret == 0)
		ret = keep_lock(root->config->keep, &root->keep_lock_fd);
	if (ret < 0)
		return ret;
	root->keep_parent_fd = openat(root->keep_fd, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root->keep_parent_fd < 0 || fstat(root->keep_fd, &keep) < 0 ||
	    fstat(root->keep_parent_fd, &parent) < 0)
		return log_errno(errno, "--keep %s", root->config->keep);
	snprintf(root->work_name, sizeof(root->work_name), ".vmm-work-%llu",
		 (unsigned long long)keep.st_ino);
	if (keep.st_dev != parent.st_dev) {
		log_err("--keep %s: is a file system's uppermost directory: name one below it",
			root->config->keep);
		return -EINVAL;
	}
	if (mkdirat(root->keep_parent_fd, root->work_name, 0700) == 0)
		return 0;
	/* One of a killed run; in a directory that others write to it may be anybody's. */
	if (errno == EEXIST &&
	    fstatat(root->keep_parent_fd, root->work_name, &parent, AT_SYMLINK_NOFOLLOW) == 0 &&
	    parent.st_uid == geteuid())
		return 0;
	ret = log_errno(errno, "--keep %s: make %s beside it", root->config->keep, root->work_name);
	root->work_name[0] = '\0'; /* not ours to remove */
	return ret;
}

int process_root_open(struct process_root *root, const struct config *config, const char *base)
{
	int ret;

	*root = (struct process_root){
		.config = config,
		.mark = "vmm",
		.rootfs_fd = -1,
		.keep_fd = -1,
		.keep_parent_fd = -1,
		.keep_lock_fd = -1,
	};
	for (size_t i = 0; i < ARRAY_SIZE(root->volume_fds); i++)
		root->volume_fds[i] = -1;
	snprintf(root->base, sizeof(root->base), "%s", base);
	if ((size_t)snprintf(root->path, sizeof(root->path), "%s/root", base) >= sizeof(root->path))
		return log_errno(ENAMETOOLONG, "%s", base);
	ret = open_dir("rootfs", config->rootfs, &root->rootfs_fd);
	if (ret == 0 && config->keep)
		ret = open_keep(root);
	for (unsigned i = 0; ret == 0 && i < config->volume_count; i++)
		ret = open_dir("volume", config->volumes[i].source, &root->volume_fds[i]);
	return ret;
}

/* What put_file made for want of something to cover is nothing that the command wrote. */
static void remove_stubs(int keep_fd)
{
	static const char *const names[] = { "hostname", "hosts", "resolv.conf" };
	auto_close int fd = openat(keep_fd, "etc", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;

	for (size_t i = 0; fd >= 0 && i < ARRAY_SIZE(names); i++) {
		if (fstatat(fd, names[i], &st, AT_SYMLINK_NOFOLLOW) == 0 && !st.st_size &&
		    !st.st_mtime && S_ISREG(st.st_mode))
			unlinkat(fd, names[i], 0);
	}
}

void process_root_close(struct process_root *root)
{
	/* The kernel leaves in it what stands for files that were removed. */
	if (root->keep_parent_fd >= 0 && root->work_name[0]) {
		keep_remove(root->keep_parent_fd, root->work_name);
		remove_stubs(root->keep_fd);
	}
	for (size_t i = 0; i < ARRAY_SIZE(root->volume_fds); i++) {
		if (root->volume_fds[i] >= 0)
			close(root->volume_fds[i]);
	}
	if (root->keep_lock_fd >= 0)
		close(root->keep_lock_fd);
	if (root->keep_parent_fd >= 0)
		close(root->keep_parent_fd);
	if (root->keep_fd >= 0)
		close(root->keep_fd);
	if (root->rootfs_fd >= 0)
		close(root->rootfs_fd);
}

/* ---- in the child ---- */

static int make_dir(const char *base, const char *name)
{
	char path[PATH_MAX + 64];

	snprintf(path, sizeof(path), "%s/%s", base, name);
	return mkdir(path, 0755) < 0 && errno != EEXIST ? log_errno(errno, "make %s", path) : 0;
}

/* A directory is seen with the upper one's owner and mode. */
static void copy_attributes(const struct stat *st, const char *upper)
{
	if (chown(upper, st->st_uid, st->st_gid) < 0 || chmod(upper, st->st_mode & 07777) < 0)
		log_debug("%s: owner and mode are ours", upper);
}

/* NAME of DIRECTORY with TEXT, opened; -errno. */
static int write_file(const char *directory, const struct process_root_file *file)
{
	char path[PATH_MAX + 64];
	ssize_t done;
	int fd;

	snprintf(path, sizeof(path), "%s/%s", directory, file->name);
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0)
		return -errno;
	do {
		done = write(fd, file->text, strlen(file->text));
	} while (done < 0 && errno == EINTR);
	if (done >= 0)
		return fd;
	done = -errno;
	close(fd);
	return (int)done;
}

static bool covers_etc(const struct config *config)
{
	for (unsigned i = 0; i < config->volume_count; i++) {
		if (strncmp(config->volumes[i].target, "/etc", 4) == 0)
			return true;
	}
	return false;
}

/*
 * Files of /etc are cheapest in the upper directory, before there is an overlay: no mount of their
 * own each, and nothing is copied up for them. Not where they would be kept, where a volume lies
 * over them, or where /etc is more than a directory with an owner and a mode.
 */
static bool put_in_upper(const struct process_root *root, const char *upper,
			 const struct process_root_file *files, size_t count)
{
	char path[PATH_MAX + 64];
	struct stat st;
	bool found;

	snprintf(path, sizeof(path), "/proc/self/fd/%d/etc", root->rootfs_fd);
	found = lstat(path, &st) == 0;
	if (root->keep_fd >= 0 || covers_etc(root->config) ||
	    (found ? !S_ISDIR(st.st_mode) || listxattr(path, NULL, 0) > 0 : errno != ENOENT))
		return false;
	snprintf(path, sizeof(path), "%s/etc", upper);
	if (mkdir(path, 0755) < 0)
		return false;
	for (size_t i = 0; i < count; i++) {
		auto_close int fd = write_file(path, &files[i]);

		if (fd < 0)
			return false;
	}
	/* Last, as files get the group of a set-group-ID directory. */
	if (found)
		copy_attributes(&st, path);
	return true;
}

/* *PUT: FILES are in the root already. */
static int mount_overlay(const struct process_root *root, bool in_user_ns,
			 const struct process_root_file *files, size_t count, bool *put)
{
	char upper[PATH_MAX + 32], work[PATH_MAX + 32];
	struct stat st;
	char options[2 * PATH_MAX + 256];
	int len;

	if (root->keep_fd >= 0) {
		snprintf(upper, sizeof(upper), "/proc/self/fd/%d", root->keep_fd);
		snprintf(work, sizeof(work), "/proc/self/fd/%d/%.200s", root->keep_parent_fd,
			 root->work_name);
	} else {
		snprintf(upper, sizeof(upper), "%s/upper", root->base);
		snprintf(work, sizeof(work), "%s/work", root->base);
		if (mkdir(upper, 0755) < 0 || mkdir(work, 0700) < 0)
			return log_errno(errno, "make %s", upper);
		if (fstat(root->rootfs_fd, &st) == 0)
			copy_attributes(&st, upper);
	}
	*put = put_in_upper(root, upper, files, count);
	/* What is kept has the same marks whoever mounts it. */
	len = snprintf(options, sizeof(options),
		       "lowerdir=/proc/self/fd/%d,upperdir=%s,workdir=%s%s", root->rootfs_fd, upper,
		       work, in_user_ns || root->keep_fd >= 0 ? ",userxattr" : "");
	if (len >= (int)sizeof(options) || len >= (int)sysconf(_SC_PAGESIZE))
		return log_errno(ENAMETOOLONG, "%s", root->base);
	if (mount(root->mark, root->path, "overlay", root->confined ? MS_NODEV : 0, options) == 0)
		return 0;
	if (errno == EBUSY && root->keep_fd >= 0)
		return log_errno(EBUSY, "--keep %s: another run writes to it", root->config->keep);
	if (errno == ENODEV)
		return log_errno(ENODEV, "overlay: not in this kernel: modprobe overlay");
	return log_errno(errno, "mount an overlay over %s", root->config->rootfs);
}

/* PATH beneath the root, however its links lead; -errno. */
static int open_in_root(int root_fd, const char *path, int flags)
{
	struct open_how how = { .flags = (unsigned)(flags | O_CLOEXEC),
				.resolve = RESOLVE_IN_ROOT };
	long fd = syscall(SYS_openat2, root_fd, path, &how, sizeof(how));

	return fd < 0 ? -errno : (int)fd;
}

/* Opens PATH, making what is missing of it. */
static int make_path(int root_fd, const char *path)
{
	char part[PATH_MAX];
	int fd = open_in_root(root_fd, path, O_PATH | O_DIRECTORY);

	if (fd != -ENOENT)
		return fd;
	for (const char *end = path;; end++) {
		auto_close int parent_fd = -1;
		char *name;

		if (*end != '/' && *end)
			continue;
		snprintf(part, sizeof(part), "%.*s", (int)(end - path), path);
		fd = *part ? open_in_root(root_fd, part, O_PATH | O_DIRECTORY) : -EEXIST;
		if (fd >= 0)
			close(fd);
		if (fd == -ENOENT) {
			name = strrchr(part, '/');
			if (name)
				*name++ = '\0';
			parent_fd = open_in_root(root_fd, name && *part ? part : "/",
						 O_PATH | O_DIRECTORY);
			if (parent_fd < 0)
				return parent_fd;
			if (mkdirat(parent_fd, name ? name : part, 0755) < 0 && errno != EEXIST)
				return -errno;
		}
		if (!*end)
			return open_in_root(root_fd, path, O_PATH | O_DIRECTORY);
	}
}

/* FLAGS of open_tree: AT_RECURSIVE or 0. ATTR: MOUNT_ATTR_*, or 0. */
static int bind(int from_fd, int to_fd, unsigned flags, uint64_t attr)
{
	struct mount_attr change = { .attr_set = attr };
	auto_close int tree_fd =
		(int)syscall(SYS_open_tree, from_fd, "",
			     AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | flags);

	if (tree_fd < 0 ||
	    (attr && syscall(SYS_mount_setattr, tree_fd, "", AT_EMPTY_PATH | flags, &change,
			     sizeof(change)) < 0) ||
	    syscall(SYS_move_mount, tree_fd, "", to_fd, "",
		    MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0)
		return -errno;
	return 0;
}

static int mount_volume(const struct process_root *root, int root_fd, unsigned index)
{
	const struct config_volume *volume = &root->config->volumes[index];
	auto_close int target_fd = make_path(root_fd, volume->target);
	int ret;

	if (target_fd < 0)
		return log_errno(target_fd, "--volume: make %s in the root", volume->target);
	ret = bind(root->volume_fds[index], target_fd, AT_RECURSIVE,
		   volume->read_only ? MOUNT_ATTR_RDONLY : 0);
	return ret < 0 ? log_errno(ret, "--volume %s:%s", volume->source, volume->target) : 0;
}

/* What is to be mounted from must belong to the namespace that mounts. */
static int reopen(const char *option, const char *path, int *fd)
{
	close(*fd);
	return open_dir(option, path, fd);
}

static int reopen_all(struct process_root *root)
{
	const struct config *config = root->config;
	int ret = reopen("rootfs", config->rootfs, &root->rootfs_fd);

	if (ret == 0 && config->keep)
		ret = reopen("keep", config->keep, &root->keep_fd);
	if (ret == 0 && config->keep) {
		close(root->keep_parent_fd);
		root->keep_parent_fd =
			openat(root->keep_fd, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
	}
	for (unsigned i = 0; ret == 0 && i < config->volume_count; i++)
		ret = reopen("volume", config->volumes[i].source, &root->volume_fds[i]);
	return ret;
}

static int bind_same(const struct process_root *root, const char *path, uint64_t attr)
{
	auto_close int root_fd = open(root->path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	auto_close int from_fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	auto_close int to_fd = -1;
	int ret;

	if (root_fd < 0 || from_fd < 0)
		return log_errno(errno, "bind %s", path);
	to_fd = make_path(root_fd, path);
	ret = to_fd < 0 ? to_fd : bind(from_fd, to_fd, AT_RECURSIVE, attr);
	return ret < 0 ? log_errno(ret, "bind %s", path) : 0;
}

int process_root_bind_read_only(const struct process_root *root, const char *path)
{
	return bind_same(root, path,
			 MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV |
				 MOUNT_ATTR_NOEXEC);
}

int process_root_protect(const char *path)
{
	auto_close int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	int ret = fd < 0 ? -errno : bind(fd, fd, AT_RECURSIVE, MOUNT_ATTR_RDONLY);

	return ret < 0 ? log_errno(ret, "bind %s", path) : 0;
}

int process_root_bind_host(const struct process_root *root)
{
	static const char *const dirs[] = { "/proc", "/sys", "/dev" };
	int ret = 0;

	for (size_t i = 0; ret == 0 && i < ARRAY_SIZE(dirs); i++)
		ret = bind_same(root, dirs[i], 0);
	return ret;
}

/* Over what is there, or in the place of nothing. */
static int put_over(const struct process_root *root, int root_fd,
		    const struct process_root_file *file)
{
	char directory[PATH_MAX + 16], path[NAME_MAX];
	auto_close int from_fd = -1;
	auto_close int to_fd = -1;

	snprintf(directory, sizeof(directory), "%s/files", root->base);
	snprintf(path, sizeof(path), "etc/%s", file->name);
	if (make_dir(root->base, "files") < 0)
		return -EIO;
	from_fd = write_file(directory, file);
	if (from_fd < 0)
		return from_fd;
	to_fd = open_in_root(root_fd, path, O_PATH);
	if (to_fd == -ENOENT) {
		/* A link that leads nowhere here, as systemd's to /run, is replaced. */
		auto_close int dir_fd = make_path(root_fd, "etc");
		auto_close int new_fd = -1;
		struct timespec stub_times[2] = { 0 };
		struct stat dir, top;

		if (dir_fd < 0)
			return dir_fd;
		/* A volume is the host's. */
		if (fstat(dir_fd, &dir) < 0 || fstat(root_fd, &top) < 0 || dir.st_dev != top.st_dev)
			return -EXDEV;
		unlinkat(dir_fd, file->name, 0);
		new_fd = openat(dir_fd, file->name,
				O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);
		if (new_fd < 0 || futimens(new_fd, stub_times) < 0)
			return -errno;
		to_fd = open_in_root(root_fd, path, O_PATH);
	}
	return to_fd < 0 ? to_fd : bind(from_fd, to_fd, 0, 0);
}

int process_root_mount(struct process_root *root, bool in_user_ns,
		       const struct process_root_file *files, size_t count)
{
	auto_close int root_fd = -1;
	int ret = reopen_all(root);
	/* Whoever vmm's is for: other users of the root need what is made here. */
	mode_t mask = umask(022);
	bool put = false;

	if (ret < 0)
		return ret;
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return log_errno(errno, "make the mounts private");
	if (mount("vmm", root->base, "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755") < 0)
		return log_errno(errno, "mount a tmpfs at %s", root->base);
	if (make_dir(root->base, "root") < 0)
		return -EIO;
	ret = mount_overlay(root, in_user_ns, files, count, &put);
	if (ret < 0)
		return ret;
	root_fd = open(root->path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root_fd < 0)
		return log_errno(errno, "open %s", root->path);
	for (unsigned i = 0; ret == 0 && i < root->config->volume_count; i++)
		ret = mount_volume(root, root_fd, i);
	for (size_t i = 0; ret == 0 && !put && i < count; i++) {
		int err = put_over(root, root_fd, &files[i]);

		if (err < 0)
			log_debug("/etc/%s stays the root's own: %s", files[i].name,
				  strerror(-err));
	}
	umask(mask);
	return ret;
}

bool process_root_read_resolv_conf(char *text, size_t len)
{
	auto_close int fd = open("/etc/resolv.conf", O_RDONLY | O_CLOEXEC);
	ssize_t got = fd >= 0 ? read(fd, text, len - 1) : -1;

	text[got > 0 ? got : 0] = '\0';
	return got > 0;
}
