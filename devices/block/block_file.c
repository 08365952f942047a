/*
 * Opening disk images. Setup, main thread; block_file_size also on a loop's thread.
 */
#include "devices/block/block_file.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>

#include "devices/block/file_lock.h"
#include "vmm/log.h"

#define SECTOR_LEN  512u
#define FILE_UNIT   4096u /* of the page cache: smaller writes read first */
#define LOGICAL_MAX 65536u

static int check_kind(struct block_file *file, const struct stat *st, const char *path)
{
	file->is_device = S_ISBLK(st->st_mode);
	if (file->is_device || S_ISREG(st->st_mode))
		return 0;
	log_err("%s is %s: a disk is a file or a block device", path,
		S_ISDIR(st->st_mode)	? "a directory"
		: S_ISFIFO(st->st_mode) ? "a pipe"
					: "something else");
	return -EINVAL;
}

static int refuse(int err, const struct block_options *options)
{
	if ((err == EACCES || err == EROFS || err == EPERM) && !options->read_only)
		return log_errno(err, "open %s for writing (,ro and ,overlay only need to read)",
				 options->path);
	if (err == EBUSY)
		return log_errno(err, "open %s: mounted, or part of another device, on this host",
				 options->path);
	return log_errno(err, "open %s", options->path);
}

static int open_plain(struct block_file *file, const struct block_options *options)
{
	int flags = (options->read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC;
	struct stat st;
	int ret;

	/* Before opening, because opening a pipe would wait. */
	if (stat(options->path, &st) < 0)
		return refuse(errno, options);
	ret = check_kind(file, &st, options->path);
	if (ret < 0)
		return ret;
	/* On a device this keeps the host from mounting it meanwhile. */
	if (file->is_device && !options->read_only)
		flags |= O_EXCL;
	file->plain_fd = open(options->path, flags);
	if (file->plain_fd < 0)
		return refuse(errno, options);
	return file_lock_take(file->plain_fd, options->path, !options->read_only);
}

static int open_for_io(struct block_file *file, const struct block_options *options)
{
	int flags = (options->read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC;
	struct stat locked, opened;

	file->fd = open(options->path, flags | (options->direct ? O_DIRECT : 0));
	if (file->fd < 0 && errno == EINVAL && options->direct)
		return log_errno(errno,
				 "open %s for direct I/O, which its file system cannot do "
				 "(leave out ,direct)",
				 options->path);
	if (file->fd < 0)
		return refuse(errno, options);
	if (fstat(file->plain_fd, &locked) < 0 || fstat(file->fd, &opened) < 0)
		return log_errno(errno, "look at %s", options->path);
	if (locked.st_dev != opened.st_dev || locked.st_ino != opened.st_ino)
		return log_errno(EAGAIN, "open %s: replaced meanwhile", options->path);
	return check_kind(file, &opened, options->path);
}

/* ---- geometry ---- */

/* The unit that O_DIRECT asks for: 6.1 and later say it, elsewhere a sector is tried. */
static uint32_t direct_unit(const struct block_file *file)
{
	struct statx stx;

	if (statx(file->fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &stx) < 0 ||
	    !(stx.stx_mask & STATX_DIOALIGN))
		return SECTOR_LEN;
	return stx.stx_dio_offset_align;
}

static uint32_t valid_unit(uint32_t unit, uint32_t least)
{
	bool valid = unit >= least && unit <= LOGICAL_MAX && (unit & (unit - 1)) == 0;

	return valid ? unit : least;
}

static uint32_t queue_limit(const struct block_file *file, const char *name)
{
	/* A partition has its disk's queue, one level up. */
	static const char *const where[] = { "/sys/dev/block/%u:%u/queue/%s",
					     "/sys/dev/block/%u:%u/../queue/%s" };
	unsigned long long value = 0;
	struct stat st;
	char path[128];

	if (fstat(file->fd, &st) < 0)
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(where); i++) {
		FILE *limit;

		snprintf(path, sizeof(path), i == 0 ? where[0] : where[1], major(st.st_rdev),
			 minor(st.st_rdev), name);
		limit = fopen(path, "re");
		if (!limit)
			continue;
		if (fscanf(limit, "%llu", &value) != 1)
			value = 0;
		fclose(limit);
		break;
	}
	return value > UINT32_MAX ? UINT32_MAX : (uint32_t)value;
}

static void measure_device(struct block_file *file)
{
	struct block_info *info = &file->info;
	unsigned physical = 0, optimal = 0;
	int logical = 0;

	if (ioctl(file->fd, BLKSSZGET, &logical) < 0)
		logical = 0;
	if (ioctl(file->fd, BLKPBSZGET, &physical) < 0)
		physical = 0;
	if (ioctl(file->fd, BLKIOOPT, &optimal) < 0)
		optimal = 0;
	info->logical_size = valid_unit((uint32_t)logical, SECTOR_LEN);
	info->physical_size = valid_unit(physical, info->logical_size);
	info->optimal_size = optimal % info->logical_size ? 0 : optimal;
	if (!info->read_only && queue_limit(file, "discard_max_bytes") > 0) {
		info->discard_granularity =
			valid_unit(queue_limit(file, "discard_granularity"), info->logical_size);
	}
}

static void measure_plain_file(struct block_file *file)
{
	struct block_info *info = &file->info;
	struct stat st;

	info->logical_size = SECTOR_LEN;
	if (file->direct)
		info->logical_size = valid_unit(direct_unit(file), SECTOR_LEN);
	info->physical_size = info->logical_size > FILE_UNIT ? info->logical_size : FILE_UNIT;
	if (info->read_only || fstat(file->fd, &st) < 0)
		return;
	/* Beyond the end there is nothing to lose. */
	if (fallocate(file->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		      (st.st_size + LOGICAL_MAX - 1) & -(off_t)LOGICAL_MAX, LOGICAL_MAX) == 0)
		info->discard_granularity = info->physical_size;
}

uint64_t block_file_size(const struct block_file *file)
{
	uint64_t size;
	struct stat st;

	if (file->is_device) {
		if (ioctl(file->fd, BLKGETSIZE64, &size) < 0)
			return file->info.size;
	} else {
		if (fstat(file->fd, &st) < 0)
			return file->info.size;
		size = (uint64_t)st.st_size;
	}
	return size & ~(uint64_t)(file->info.logical_size - 1);
}

static void warn_of_tail(const struct block_file *file, const char *path)
{
	struct stat st;

	if (file->is_device || fstat(file->fd, &st) < 0)
		return;
	if ((uint64_t)st.st_size != file->info.size)
		log_warn("%s: the last %llu bytes are not a whole block of %u: the guest does not "
			 "see "
			 "them",
			 path, (unsigned long long)((uint64_t)st.st_size - file->info.size),
			 file->info.logical_size);
}

bool block_file_is_in_memory(int fd)
{
	struct statfs fs;

	return fstatfs(fd, &fs) == 0 && (fs.f_type == TMPFS_MAGIC || fs.f_type == RAMFS_MAGIC);
}

int block_file_open(struct block_file *file, const struct block_options *options)
{
	int ret;

	*file = (struct block_file){
		.fd = -1,
		.plain_fd = -1,
		.direct = options->direct,
		.info.read_only = options->read_only,
	};
	ret = open_plain(file, options);
	if (ret == 0)
		ret = open_for_io(file, options);
	if (ret < 0) {
		block_file_close(file);
		return ret;
	}
	if (file->is_device)
		measure_device(file);
	else
		measure_plain_file(file);
	file->in_memory = !file->is_device && block_file_is_in_memory(file->fd);
	file->info.size = block_file_size(file);
	if (!file->info.size) {
		log_err("%s is empty: give it a size (truncate -s 8G %s, for a file)",
			options->path, options->path);
		block_file_close(file);
		return -EINVAL;
	}
	warn_of_tail(file, options->path);
	return 0;
}

void block_file_close(struct block_file *file)
{
	if (file->fd >= 0)
		close(file->fd);
	if (file->plain_fd >= 0)
		close(file->plain_fd);
	file->fd = -1;
	file->plain_fd = -1;
}
