/*
 * The life of a machine's --keep; see keep.h. Beside DIR there is, while the machine runs, the
 * directory STAGE with
 *   new    what is collected; nothing while it is not whole
 *   whole  what new is called when it is, and from then on is put into DIR
 *   old    what that replaced
 * A run that is killed leaves it behind. The next one removes it, or goes on where there is a
 * whole: renames are never half done, and it does not matter how many are left. A loss of power is
 * no worse: all of new is on the disk before it is called whole, and all of DIR before STAGE goes.
 */
#include "vmm/boundary/keep.h"

#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "vmm/boundary/keep_collect.h"
#include "vmm/boundary/keep_merge.h"
#include "vmm/boundary/process_ids.h"
#include "vmm/image/image.h"
#include "vmm/log.h"

/* What a file costs a guest's memory at least: its name in a tmpfs. */
#define ENTRY_LEN_MIN 128

struct keep {
	const char *path; /* borrowed */
	int dir_fd;	  /* locked */
	int parent_fd;
	char stage_name[NAME_MAX];
	int stage_fd;
	int new_fd;
	int pipe[2];
	bool collecting; /* the thread is there */
	pthread_t thread;
	struct keep_limits limits;
	struct keep_result result; /* the thread's while it runs */
};

static void close_fd(int fd)
{
	if (fd >= 0)
		close(fd);
}

int keep_lock(const char *path, int *fd)
{
	*fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (*fd < 0)
		return log_errno(errno, "--keep %s", path);
	if (flock(*fd, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK)
		return 0; /* a file system without locks has to do without */
	log_err("--keep %s: another run writes to it: wait for its end, or name another", path);
	close(*fd);
	*fd = -1;
	return -EBUSY;
}

/* ---- beside DIR ---- */

static int open_parent(struct keep *keep)
{
	struct stat st, parent;

	keep->parent_fd = openat(keep->dir_fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (keep->parent_fd < 0 || fstat(keep->dir_fd, &st) < 0 ||
	    fstat(keep->parent_fd, &parent) < 0)
		return log_errno(errno, "--keep %s", keep->path);
	if (st.st_dev != parent.st_dev || st.st_ino == parent.st_ino) {
		log_err("--keep %s: is a file system's uppermost directory: name one below it",
			keep->path);
		return -EINVAL;
	}
	snprintf(keep->stage_name, sizeof(keep->stage_name), ".vmm-keep-%llu",
		 (unsigned long long)st.st_ino);
	return 0;
}

static int make_in(int parent_fd, const char *name, int *fd)
{
	if (mkdirat(parent_fd, name, S_IRWXU) < 0)
		return -errno;
	*fd = openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return *fd < 0 ? -errno : 0;
}

static void remove_stage(struct keep *keep)
{
	int ret = keep_remove(keep->parent_fd, keep->stage_name);

	if (ret < 0)
		log_warn("remove %s beside %s: %s", keep->stage_name, keep->path, strerror(-ret));
}

/* Puts what is whole into DIR. */
static int put_whole(struct keep *keep)
{
	int stage_fd = keep->stage_fd;
	auto_close int old_fd = -1;
	auto_close int whole_fd =
		openat(stage_fd, "whole", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	int ret;

	if (whole_fd < 0)
		return errno == ENOENT ? 0 : log_errno(errno, "--keep %s", keep->path);
	ret = keep_remove(stage_fd, "old");
	if (ret == 0)
		ret = make_in(stage_fd, "old", &old_fd);
	if (ret < 0)
		return log_errno(ret, "--keep %s: make a directory beside it", keep->path);
	ret = keep_merge(whole_fd, keep->dir_fd, old_fd, keep->path, keep->limits.as_root);
	if (ret == 0 && syncfs(keep->dir_fd) < 0)
		return log_errno(errno, "--keep %s", keep->path);
	if (ret < 0)
		log_err("--keep %s: what the command wrote waits in %s beside it, and the next run "
			"goes on from there",
			keep->path, keep->stage_name);
	return ret;
}

static int put_all(void *opaque)
{
	struct keep *keep = opaque;
	int ret = put_whole(keep);

	if (ret == 0)
		remove_stage(keep);
	return ret;
}

static int is_others(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)path;
	(void)flag;
	(void)ftw;
	return st->st_uid != geteuid();
}

/* An ordinary user's container leaves files that are not his own, but that he has the ids of. */
static int run_work(struct keep *keep, int (*work)(void *opaque))
{
	if (!keep->limits.as_root && nftw(keep->path, is_others, 16, FTW_PHYS) != 0)
		return process_ids_run(work, keep);
	return work(keep);
}

static int make_image(void *opaque)
{
	struct keep *keep = opaque;
	int fd;
	int ret = image_from_dir(keep->path, &fd);

	return ret < 0 ? ret : fd;
}

/* What a killed run has left. */
static int settle(struct keep *keep)
{
	struct stat st;
	int ret;

	keep->stage_fd = openat(keep->parent_fd, keep->stage_name,
				O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (keep->stage_fd < 0)
		return errno == ENOENT ? 0 : log_errno(errno, "--keep %s", keep->path);
	/* In a directory that others write to, it may be anybody's. */
	if (fstat(keep->stage_fd, &st) < 0 || st.st_uid != geteuid()) {
		log_err("--keep %s: %s beside it is not yours: remove it", keep->path,
			keep->stage_name);
		return -EPERM;
	}
	/* What it replaced may be another's. */
	ret = process_ids_run(put_all, keep);
	close(keep->stage_fd);
	keep->stage_fd = -1;
	return ret;
}

/* ---- collecting ---- */

static void *collect(void *opaque)
{
	struct keep *keep = opaque;

	keep_collect(keep->pipe[0], keep->new_fd, &keep->limits, &keep->result);
	return NULL;
}

static int start_collecting(struct keep *keep)
{
	sigset_t all, old;
	int ret;

	if (pipe2(keep->pipe, O_CLOEXEC) < 0)
		return log_errno(errno, "make a pipe");
	/* Signals are for those who expect them. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	ret = pthread_create(&keep->thread, NULL, collect, keep);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	keep->collecting = ret == 0;
	return ret ? log_errno(ret, "start a thread") : 0;
}

static int start(struct keep *keep, int *image_fd)
{
	int ret = open_parent(keep);

	if (ret == 0)
		ret = settle(keep);
	if (ret == 0 && !keep_is_empty(keep->dir_fd)) {
		ret = run_work(keep, make_image);
		*image_fd = ret;
	}
	if (ret < 0) {
		keep->stage_name[0] = '\0'; /* not ours to remove */
		return ret;
	}
	ret = make_in(keep->parent_fd, keep->stage_name, &keep->stage_fd);
	if (ret == 0)
		ret = make_in(keep->stage_fd, "new", &keep->new_fd);
	if (ret < 0)
		return log_errno(ret, "--keep %s: make a directory beside it", keep->path);
	return start_collecting(keep);
}

int keep_create(struct keep **out, const char *path, uint64_t memory_len, int *image_fd)
{
	struct keep *keep = calloc(1, sizeof(*keep));
	int ret;

	*image_fd = -1;
	if (!keep)
		return log_errno(ENOMEM, "--keep %s", path);
	*keep = (struct keep){
		.path = path,
		.dir_fd = -1,
		.parent_fd = -1,
		.stage_fd = -1,
		.new_fd = -1,
		.pipe = { -1, -1 },
		.limits = { .bytes_max = memory_len,
			    .entries_max = memory_len / ENTRY_LEN_MIN,
			    .as_root = geteuid() == 0 },
	};
	ret = keep_lock(path, &keep->dir_fd);
	if (ret == 0)
		ret = start(keep, image_fd);
	if (ret < 0) {
		close_fd(*image_fd);
		keep_destroy(keep, false);
		return ret;
	}
	*out = keep;
	return 0;
}

int keep_get_fd(const struct keep *keep)
{
	return keep->pipe[1];
}

/* ---- the end ---- */

static void say_what_is_missing(const struct keep *keep)
{
	const struct keep_result *result = &keep->result;

	if (result->identity_count)
		log_warn(
			"--keep %s: %llu files have lost their set-user-ID or set-group-ID bits or "
			"capabilities, which a machine may not hand to the host",
			keep->path, (unsigned long long)result->identity_count);
	if (result->device_count)
		log_warn("--keep %s: %llu device nodes were left out", keep->path,
			 (unsigned long long)result->device_count);
	if (result->refused_count)
		log_warn("--keep %s: %llu extended attributes were refused; first %s", keep->path,
			 (unsigned long long)result->refused_count, result->refused);
}

static void finish(struct keep *keep, bool ran)
{
	const char *why = keep->result.why;

	if (keep->result.complete) {
		/* Not each file by itself: for many that takes long. */
		if (syncfs(keep->new_fd) < 0 ||
		    renameat(keep->stage_fd, "new", keep->stage_fd, "whole") < 0 ||
		    fsync(keep->stage_fd) < 0)
			log_errno(errno, "--keep %s: what the command wrote is lost", keep->path);
		else if (run_work(keep, put_all) < 0)
			return;
		else
			say_what_is_missing(keep);
	} else if (ran) {
		log_err("--keep %s is as it was: what the command wrote is lost: %s", keep->path,
			*why ? why : "the machine ended before it could hand it over");
	}
	remove_stage(keep);
}

void keep_destroy(struct keep *keep, bool ran)
{
	if (!keep)
		return;
	close_fd(keep->pipe[1]);
	if (keep->collecting) {
		pthread_join(keep->thread, NULL);
		finish(keep, ran);
	} else if (keep->stage_name[0]) {
		remove_stage(keep);
	}
	close_fd(keep->pipe[0]);
	close_fd(keep->new_fd);
	close_fd(keep->stage_fd);
	close_fd(keep->parent_fd);
	close_fd(keep->dir_fd);
	free(keep);
}
