/*
 * Directories as read-only file-system images, kept in a cache of the user's. Needs mkfs.erofs
 * (erofs-utils), but neither root nor a mount. Main thread, before the machine runs: it may start a
 * program and wait for it.
 */
#ifndef VMM_IMAGE_IMAGE_H
#define VMM_IMAGE_IMAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "vmm/err.h"

/* The bounds of the cache. The images used least recently go first, those in use stay. */
#define IMAGE_CACHE_COUNT_MAX 16
#define IMAGE_CACHE_LEN_MAX   (UINT64_C(8) << 30)

/* For file systems in images that were not made here. */
enum image_type { IMAGE_UNKNOWN, IMAGE_EROFS, IMAGE_EXT4 };

/*
 * Gives the erofs image of directory DIR, which is made when the cache has none of what DIR holds
 * now. Owners, modes, times, links and attributes are DIR's. *FD_OUT is open for reading and keeps
 * the image in the cache as long as it is open; the caller closes it. Any number of processes may
 * do this at once: one makes the image, the others wait for it. 0 or -errno, logged with the cure.
 */
int image_from_dir(const char *dir, int *fd_out) MUST_CHECK;

/* Whether the program that makes images is installed. */
bool image_can_make(void);

/* What file system the image or block device FD holds. */
enum image_type image_detect(int fd);
/* As Linux calls it; NULL when unknown. */
const char *image_type_name(enum image_type type);

#endif
