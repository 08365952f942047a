/*
 * Mounts. See guest_mount.h. The root's files are whatever somebody put there: what is missing is
 * made, in the overlay.
 */
#include "vmm/guest/guest_mount.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "vmm/guest/text.h"

/* A disk may be found a little later than its driver. */
#define WAIT_STEP_NS   500000
#define WAIT_STEPS_MAX 10000

static int fail(char *error, size_t error_len, const char *what, const char *name)
{
	int ret = -errno;

	text_join(error, error_len, what, " ", name, ": ", strerror(errno));
	return ret;
}

static int mount_at(const char *source, const char *target, const char *type, unsigned long flags,
		    const char *options)
{
	return mount(source, target, type, flags, options) < 0 && errno != EBUSY ? -1 : 0;
}

int guest_mount_first(char *error, size_t error_len)
{
	if (mount_at("sysfs", "/sys", "sysfs", 0, NULL) < 0)
		return fail(error, error_len, "mount", "/sys");
	if (mount_at("devtmpfs", "/dev", "devtmpfs", 0, "mode=755") < 0)
		return fail(error, error_len, "mount", "/dev (CONFIG_DEVTMPFS)");
	return 0;
}

static int wait_for_device(const char *path)
{
	static const struct timespec step = { .tv_nsec = WAIT_STEP_NS };

	for (int i = 0; access(path, F_OK) < 0; i++) {
		if (i == WAIT_STEPS_MAX)
			return -1;
		nanosleep(&step, NULL);
	}
	return 0;
}

/* The overlay's root shows the upper directory's owner and mode. */
static int make_upper(void)
{
	struct stat st;

	if (mkdir("/vmm/upper/root", 0755) < 0 || mkdir("/vmm/upper/work", 0755) < 0 ||
	    stat("/vmm/lower", &st) < 0 || chown("/vmm/upper/root", st.st_uid, st.st_gid) < 0)
		return -1;
	return chmod("/vmm/upper/root", st.st_mode & 07777);
}

/*
 * What earlier runs wrote, and the root below it, as one: LOWER. Its marks are those that the
 * monitor's overlays write, user.overlay.*; not every kernel can write such to a tmpfs, so an
 * overlay of its own reads them.
 */
static int mount_kept(const struct workload *workload, const char **lower, char *error,
		      size_t error_len)
{
	char device[80];

	*lower = "/vmm/lower";
	if (!workload->keep_device)
		return 0;
	text_join(device, sizeof(device), "/dev/", workload->keep_device);
	if (wait_for_device(device) < 0)
		return fail(error, error_len, "wait for", device);
	if (mkdir("/vmm/keep", 0755) < 0 || mkdir("/vmm/both", 0755) < 0 ||
	    mount(device, "/vmm/keep", "erofs", MS_RDONLY, NULL) < 0)
		return fail(error, error_len, "mount", "what was kept");
	*lower = "/vmm/both";
	if (mount("overlay", "/vmm/both", "overlay", MS_RDONLY,
		  "lowerdir=/vmm/keep:/vmm/lower,userxattr") < 0)
		return fail(error, error_len, "mount", "what was kept, over the root");
	return 0;
}

int guest_mount_root(const struct workload *workload, int *upper_fd, char *error, size_t error_len)
{
	char device[80], options[160];
	const char *lower;

	*upper_fd = -1;

	text_join(device, sizeof(device), "/dev/", workload->root);
	if (wait_for_device(device) < 0)
		return fail(error, error_len, "wait for", device);
	if (mkdir("/vmm/lower", 0755) < 0 || mkdir("/vmm/upper", 0755) < 0 ||
	    mkdir("/vmm/root", 0755) < 0)
		return fail(error, error_len, "make", "directories");
	if (mount(device, "/vmm/lower", "erofs", MS_RDONLY, NULL) < 0)
		return fail(error, error_len, "mount", "the root's image (CONFIG_EROFS_FS)");
	if (mount("tmpfs", "/vmm/upper", "tmpfs", 0, NULL) < 0 || make_upper() < 0)
		return fail(error, error_len, "mount", "memory for what is written");
	if (mount_kept(workload, &lower, error, error_len) < 0)
		return -1;
	if (workload->keep)
		*upper_fd = open("/vmm/upper/root", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	/* What is kept must be whole files under their own names. */
	text_join(options, sizeof(options), "lowerdir=", lower,
		  ",upperdir=/vmm/upper/root,workdir=/vmm/upper/work",
		  workload->keep ? ",redirect_dir=off,metacopy=off" : "");
	if (mount("overlay", "/vmm/root", "overlay", 0, options) < 0)
		return fail(error, error_len, "mount", "the overlay (CONFIG_OVERLAY_FS)");
	if (chdir("/vmm/root") < 0 || mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0 ||
	    chdir("/") < 0)
		return fail(error, error_len, "enter", "the root");
	return 0;
}

static void link_streams(void)
{
	static const char *const links[][2] = {
		{ "/proc/self/fd", "/dev/fd" },
		{ "/proc/self/fd/0", "/dev/stdin" },
		{ "/proc/self/fd/1", "/dev/stdout" },
		{ "/proc/self/fd/2", "/dev/stderr" },
	};

	for (size_t i = 0; i < sizeof(links) / sizeof(links[0]); i++) {
		if (symlink(links[i][0], links[i][1]) < 0) {
			/* There already. */
		}
	}
}

int guest_mount_system(char *error, size_t error_len)
{
	static const struct {
		const char *target;
		const char *type;
		const char *options;
		unsigned long flags;
		bool needed;
	} mounts[] = {
		{ "/proc", "proc", NULL, MS_NOSUID | MS_NODEV | MS_NOEXEC, true },
		{ "/sys", "sysfs", NULL, MS_NOSUID | MS_NODEV | MS_NOEXEC, true },
		{ "/dev", "devtmpfs", "mode=755", MS_NOSUID, true },
		{ "/dev/pts", "devpts", "gid=5,mode=620,ptmxmode=666", MS_NOSUID | MS_NOEXEC,
		  true },
		{ "/dev/shm", "tmpfs", "mode=1777", MS_NOSUID | MS_NODEV, true },
		{ "/dev/mqueue", "mqueue", NULL, MS_NOSUID | MS_NODEV | MS_NOEXEC, false },
	};

	for (size_t i = 0; i < sizeof(mounts) / sizeof(mounts[0]); i++) {
		mkdir(mounts[i].target, 0755);
		if (mount(mounts[i].type, mounts[i].target, mounts[i].type, mounts[i].flags,
			  mounts[i].options) < 0 &&
		    mounts[i].needed)
			return fail(error, error_len, "mount", mounts[i].target);
	}
	/* Of this instance of devpts, and for everybody. */
	unlink("/dev/ptmx");
	if (symlink("pts/ptmx", "/dev/ptmx") < 0)
		return fail(error, error_len, "make", "/dev/ptmx");
	link_streams();
	return 0;
}

/* Makes PATH and what is missing above it. */
static void make_directories(const char *path)
{
	char copy[PATH_MAX];

	if (text_join(copy, sizeof(copy), path) >= sizeof(copy))
		return;
	for (char *p = strchr(copy + 1, '/'); p; p = strchr(p + 1, '/')) {
		*p = '\0';
		mkdir(copy, 0755);
		*p = '/';
	}
	mkdir(copy, 0755);
}

int guest_mount_volumes(const struct workload *workload, char *error, size_t error_len)
{
	for (unsigned i = 0; i < workload->volume_count; i++) {
		const struct workload_volume *volume = &workload->volumes[i];
		char device[80];

		text_join(device, sizeof(device), "/dev/", volume->device);
		make_directories(volume->target);
		if (wait_for_device(device) < 0)
			return fail(error, error_len, "wait for", device);
		if (mount(device, volume->target, volume->type, volume->read_only ? MS_RDONLY : 0,
			  NULL) < 0)
			return fail(error, error_len, "mount the volume", volume->target);
	}
	return 0;
}

void guest_mount_finish(const struct workload *workload)
{
	for (unsigned i = workload->volume_count; i-- > 0;) {
		const struct workload_volume *volume = &workload->volumes[i];

		if (volume->read_only)
			continue;
		if (umount2(volume->target, 0) < 0)
			mount(NULL, volume->target, NULL, MS_REMOUNT | MS_RDONLY, NULL);
		sync();
	}
}
