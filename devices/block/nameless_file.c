/*
 * Makes sparse files without a name, for overlays. Main thread.
 */
#include "devices/block/nameless_file.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "vmm/log.h"

static int open_nameless(const char *dir)
{
	char path[4096];
	int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL))
		return fd;
	if (snprintf(path, sizeof(path), "%s/vmm-overlay-XXXXXX", dir) >= (int)sizeof(path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	fd = mkostemp(path, O_CLOEXEC);
	if (fd >= 0)
		unlink(path);
	return fd;
}

int nameless_file_make(uint64_t len)
{
	const char *dir = getenv("TMPDIR");
	int fd, ret;

	if (!dir || !*dir)
		dir = "/var/tmp";
	fd = open_nameless(dir);
	if (fd < 0)
		return log_errno(errno,
				 "make a file for the overlay in %s (set TMPDIR to another place)",
				 dir);
	if (ftruncate(fd, (off_t)len) == 0 &&
	    fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096) == 0)
		return fd;
	ret = log_errno(errno,
			"make a sparse file of %llu bytes for the overlay in %s (set TMPDIR to "
			"another place)",
			(unsigned long long)len, dir);
	close(fd);
	return ret;
}
