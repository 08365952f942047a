/*
 * Writes cpio archives of the kind "newc": for each entry a header of 110 characters, its name and
 * its data, both filled up to multiples of four bytes. Called by boundary_machine.c.
 */
#include "vmm/image/initramfs.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include "vmm/log.h"

#define HEADER_LEN 110
#define TRAILER	   "TRAILER!!!"

int initramfs_begin(struct initramfs *initramfs)
{
	*initramfs = (struct initramfs){ .fd = memfd_create("initramfs", MFD_CLOEXEC) };
	return initramfs->fd < 0 ? log_errno(errno, "memfd_create") : 0;
}

/* Writes all of the three PARTS, which are cut on the way. 0 or -errno. */
static int write_parts(int fd, struct iovec *parts, unsigned count)
{
	while (count) {
		ssize_t done = writev(fd, parts, (int)count);

		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			return -errno;
		while (count && (size_t)done >= parts->iov_len) {
			done -= (ssize_t)parts->iov_len;
			parts++;
			count--;
		}
		if (count) {
			parts->iov_base = (char *)parts->iov_base + done;
			parts->iov_len -= (size_t)done;
		}
	}
	return 0;
}

static void add(struct initramfs *initramfs, const char *name, unsigned mode, unsigned major,
		unsigned minor, const void *data, size_t data_len)
{
	static const char zeroes[4];
	size_t name_len = strlen(name) + 1;
	size_t head_len = (HEADER_LEN + name_len + 3) & ~(size_t)3;
	char head[HEADER_LEN + 256 + 4] = "";
	struct iovec parts[] = {
		{ head, head_len },
		{ (void *)data, data_len },
		{ (void *)zeroes, -data_len & 3 },
	};

	if (initramfs->result < 0)
		return;
	if (head_len > sizeof(head) || data_len > UINT32_MAX ||
	    initramfs->len + head_len + data_len > INITRAMFS_LEN_MAX) {
		initramfs->result = -EFBIG;
		return;
	}
	snprintf(head, sizeof(head), "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%s",
		 ++initramfs->inode, mode, 0, 0, 1, 0, (unsigned)data_len, 0, 0, major, minor,
		 (unsigned)name_len, 0, name);
	initramfs->result = write_parts(initramfs->fd, parts, 3);
	initramfs->len += head_len + data_len + (-data_len & 3);
}

void initramfs_add_dir(struct initramfs *initramfs, const char *name)
{
	add(initramfs, name, S_IFDIR | 0755, 0, 0, "", 0);
}

void initramfs_add_file(struct initramfs *initramfs, const char *name, unsigned mode,
			const void *data, size_t data_len)
{
	add(initramfs, name, S_IFREG | (mode & 07777), 0, 0, data, data_len);
}

void initramfs_add_char(struct initramfs *initramfs, const char *name, unsigned major,
			unsigned minor)
{
	add(initramfs, name, S_IFCHR | 0600, major, minor, "", 0);
}

int initramfs_finish(struct initramfs *initramfs)
{
	int fd = initramfs->fd;

	add(initramfs, TRAILER, 0, 0, 0, "", 0);
	initramfs->fd = -1;
	if (initramfs->result == 0 && lseek(fd, 0, SEEK_SET) == 0)
		return fd;
	close(fd);
	return log_errno(initramfs->result < 0 ? initramfs->result : EIO,
			 "make an initramfs in memory");
}
