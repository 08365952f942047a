/*
 * The modules of a Linux kernel that a machine needs before its root is there: found beside the
 * kernel, in the order in which they must be loaded, unpacked. Main thread.
 */
#ifndef VMM_IMAGE_MODULES_H
#define VMM_IMAGE_MODULES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/err.h"

#define MODULES_MAX 64 /* of one machine */

struct module_file {
	char *name;    /* virtio_blk */
	uint8_t *data; /* unpacked; made by mmap(2) */
	size_t len;
};

struct module_list {
	struct module_file files[MODULES_MAX];
	unsigned count;
};

/*
 * Where the modules of the kernel FILE are: lib/modules/VERSION beside it or one directory above
 * it, else /lib/modules/VERSION. On the heap; NULL when there are none, or when the kernel is known
 * to take none (a "config" beside it says so).
 */
char *modules_find_dir(const char *kernel);

/*
 * Loads those of NAMES (ended by NULL) that are modules in DIR, each after what it depends on. What
 * is built in, or not there at all, is passed over: the kernel may do without. 0, or -errno,
 * logged. End with modules_free, also after errors.
 */
int modules_load(const char *dir, const char *const names[], struct module_list *list) MUST_CHECK;
void modules_free(struct module_list *list);

/* ---- the pure parts, for tests and fuzzing ---- */

/*
 * Puts the paths of the module NAME and of all that it depends on into PATHS, as the LEN bytes of a
 * modules.dep at TEXT have it, in the order of loading, leaving out what is there already. PATHS
 * holds MODULES_MAX texts on the heap, *COUNT of them used. 0; -ENOENT: not in the file; -E2BIG,
 * -ENOMEM.
 */
int modules_resolve(const char *text, size_t len, const char *name, char **paths,
		    unsigned *count) MUST_CHECK;

/*
 * What DATA holds, unpacked when it is packed by xz, zstd or gzip, in memory for munmap(2). 0 or
 * -errno: -EBADMSG, -EFBIG, -ELIBACC (the library is not installed), -ENOMEM.
 */
int modules_unpack(const uint8_t *data, size_t len, uint8_t **out, size_t *out_len) MUST_CHECK;

/* The version in the first LEN bytes of a bzImage, as uname -r tells it. False: none there. */
bool modules_version(const uint8_t *data, size_t len, char *version, size_t version_len);

#endif
