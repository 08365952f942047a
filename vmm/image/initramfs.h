/*
 * An initramfs in memory: a cpio archive ("newc", see Linux's initramfs-buffer-format) in a memfd,
 * which the kernel loader reads like a file. Main thread.
 */
#ifndef VMM_IMAGE_INITRAMFS_H
#define VMM_IMAGE_INITRAMFS_H

#include <stddef.h>
#include <stdint.h>

#include "vmm/err.h"

#define INITRAMFS_LEN_MAX (UINT64_C(256) << 20)

struct initramfs {
	int fd;
	uint32_t inode;
	uint64_t len;
	int result; /* the first failure, told by initramfs_finish */
};

/* 0 or -errno, logged. */
int initramfs_begin(struct initramfs *initramfs) MUST_CHECK;
/* Names have no leading slash and at most 255 bytes; what is above one is added before it. All are
 * root's. */
void initramfs_add_dir(struct initramfs *initramfs, const char *name);
void initramfs_add_file(struct initramfs *initramfs, const char *name, unsigned mode,
			const void *data, size_t data_len);
/* A character device. */
void initramfs_add_char(struct initramfs *initramfs, const char *name, unsigned major,
			unsigned minor);
/* Gives the descriptor, which is the caller's to close, or -errno, logged. */
int initramfs_finish(struct initramfs *initramfs) MUST_CHECK;

#endif
