/*
 * Files into guest memory. Called by the kernel and initrd loaders on the main thread.
 *
 * A mapping covers whole pages that hold nothing but the file's bytes. The part of a page at
 * either end is copied, because what lies beside it belongs to somebody else or must be zero.
 */
#include "arch/x86_64/place.h"

#include <sys/mman.h>

#include "vmm/log.h"

static int place_copy(struct guest_mem *mem, gpa_t gpa, uint64_t len, int fd, uint64_t offset,
		      const char *path, struct arch_boot *boot)
{
	uint8_t *dst = guest_mem_ptr(mem, gpa, len);
	uint64_t done = 0;

	if (dst == NULL)
		return log_errno(EFAULT, "%s: place at %#llx", path, (unsigned long long)gpa);
	while (done < len) {
		ssize_t got = pread(fd, dst + done, len - done, (off_t)(offset + done));

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return log_errno(errno, "read %s", path);
		if (got == 0)
			return log_errno(EIO, "read %s: it became shorter meanwhile", path);
		done += (uint64_t)got;
	}
	boot->copied_len += len;
	return 0;
}

/* True when the file could be mapped; false asks for a copy, which says what is wrong if it is. */
static bool place_map(struct guest_mem *mem, gpa_t gpa, uint64_t len, int fd, uint64_t offset,
		      struct arch_boot *boot)
{
	if (guest_mem_map_file(mem, gpa, len, fd, offset) != 0)
		return false;
	boot->mapped_len += len;
	return true;
}

int place_file(struct guest_mem *mem, gpa_t gpa, uint64_t len, int fd, uint64_t offset,
	       const char *path, struct arch_boot *boot)
{
	uint64_t head = -gpa & PLACE_PAGE_MASK;
	uint64_t body;
	int ret;

	if (((gpa ^ offset) & PLACE_PAGE_MASK) != 0 || len < head + PLACE_MAP_MIN)
		return place_copy(mem, gpa, len, fd, offset, path, boot);
	body = (len - head) & ~PLACE_PAGE_MASK;
	if (!place_map(mem, gpa + head, body, fd, offset + head, boot))
		return place_copy(mem, gpa, len, fd, offset, path, boot);
	ret = place_copy(mem, gpa, head, fd, offset, path, boot);
	if (ret < 0)
		return ret;
	return place_copy(mem, gpa + head + body, len - head - body, fd, offset + head + body, path,
			  boot);
}

void place_discard(struct guest_mem *mem, gpa_t gpa, gpa_t end)
{
	void *host;

	gpa = (gpa + PLACE_PAGE_MASK) & ~PLACE_PAGE_MASK;
	end &= ~PLACE_PAGE_MASK;
	if (end <= gpa)
		return;
	host = guest_mem_ptr(mem, gpa, end - gpa);
	if (host != NULL)
		(void)madvise(host, end - gpa, MADV_DONTNEED);
}
