/*
 * Guest memory: anonymous private mappings, with files laid over parts of them before the machine
 * runs. Setup on the main thread; look-ups on any thread.
 */
#include "vmm/guest_mem.h"

#include <string.h>
#include <sys/mman.h>

#include "vmm/log.h"

#define HUGE_PAGE_LEN (2ull << 20)

static uint64_t page_len(void)
{
	return (uint64_t)sysconf(_SC_PAGESIZE);
}

/*
 * Maps LEN bytes so that guest and host addresses agree modulo a huge page: only then can KVM map 2
 * MiB at once. Guest regions start on huge page boundaries, so the host side does too.
 */
static void *map_aligned(uint64_t len)
{
	uint64_t padded = len + HUGE_PAGE_LEN;
	uint8_t *area = mmap(NULL, padded, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	uint64_t head;

	if (area == MAP_FAILED)
		return MAP_FAILED;
	head = (HUGE_PAGE_LEN - ((uintptr_t)area & (HUGE_PAGE_LEN - 1))) & (HUGE_PAGE_LEN - 1);
	if (head)
		munmap(area, head);
	munmap(area + head + len, padded - head - len);
	return area + head;
}

int guest_mem_add(struct guest_mem *mem, gpa_t gpa, uint64_t len)
{
	void *host;

	if (!len || (len | gpa) & (page_len() - 1) || gpa + len < gpa)
		return log_errno(EINVAL, "guest memory of %#llx bytes at %#llx",
				 (unsigned long long)len, (unsigned long long)gpa);
	if (mem->region_count == GUEST_MEM_REGIONS_MAX)
		return log_errno(ENOSPC, "guest memory region");
	for (unsigned i = 0; i < mem->region_count; i++) {
		const struct guest_mem_region *r = &mem->regions[i];

		if (gpa < r->gpa + r->len && r->gpa < gpa + len)
			return log_errno(EEXIST, "guest memory at %#llx", (unsigned long long)gpa);
	}
	host = map_aligned(len);
	if (host == MAP_FAILED)
		return log_errno(errno, "map %llu MiB of guest memory; a smaller --memory may fit",
				 (unsigned long long)(len >> 20));
	/* What the monitor writes are single pages, for each of which the host would clear 2 MiB
	 * first. It says no where it has no huge pages, which is fine. */
	(void)madvise(host, len, MADV_NOHUGEPAGE);
	(void)madvise(host, len, MADV_DONTDUMP);
	mem->regions[mem->region_count++] =
		(struct guest_mem_region){ .gpa = gpa, .len = len, .host = host };
	return 0;
}

void guest_mem_use_huge_pages(struct guest_mem *mem, gpa_t from)
{
	for (unsigned i = 0; i < mem->region_count; i++) {
		const struct guest_mem_region *r = &mem->regions[i];
		gpa_t gpa = from > r->gpa ? (from + HUGE_PAGE_LEN - 1) & -HUGE_PAGE_LEN : r->gpa;

		if (gpa - r->gpa < r->len)
			(void)madvise(r->host + (gpa - r->gpa), r->len - (gpa - r->gpa),
				      MADV_HUGEPAGE);
	}
}

static void note_file(struct guest_mem *mem, uintptr_t start, uintptr_t end)
{
	if (mem->file_count == GUEST_MEM_FILES_MAX) {
		/* What lies between two files is then as if it were of one: released in blocks. */
		mem->file_count--;
		if (mem->files[mem->file_count].start < start)
			start = mem->files[mem->file_count].start;
		if (mem->files[mem->file_count].end > end)
			end = mem->files[mem->file_count].end;
	}
	mem->files[mem->file_count].start = start;
	mem->files[mem->file_count++].end = end;
}

int guest_mem_map_file(struct guest_mem *mem, gpa_t gpa, uint64_t len, int fd, uint64_t offset)
{
	uint64_t mask = page_len() - 1;
	uint64_t rounded = (len + mask) & ~mask;
	uint8_t *host;

	if (!len || rounded < len || (gpa | offset) & mask || offset > INT64_MAX)
		return -EINVAL;
	host = guest_mem_ptr(mem, gpa, rounded);
	if (!host || (uintptr_t)host & mask)
		return -EINVAL;
	if (mmap(host, rounded, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE, fd,
		 (off_t)offset) == MAP_FAILED)
		return -errno;
	(void)madvise(host, rounded, MADV_DONTDUMP);
	note_file(mem, (uintptr_t)host, (uintptr_t)host + rounded);
	return 0;
}

static bool has_file(const struct guest_mem *mem, uintptr_t start, uintptr_t end)
{
	for (unsigned i = 0; i < mem->file_count; i++)
		if (start < mem->files[i].end && mem->files[i].start < end)
			return true;
	return false;
}

static void drop(uintptr_t start, uintptr_t end)
{
	(void)madvise((void *)start, end - start, MADV_DONTNEED);
}

/* In one step for whoever looks on: all who touch the block meanwhile wait. */
static void drop_with_file(uintptr_t block)
{
	void *host = mmap((void *)block, HUGE_PAGE_LEN, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);

	/* The kernel may have given up half way: what is still there stays as it is. */
	if (host == MAP_FAILED)
		host = mmap((void *)block, HUGE_PAGE_LEN, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1,
			    0);
	if (host == MAP_FAILED)
		return;
	/* As its neighbours, so that the kernel makes one mapping of them. */
	(void)madvise(host, HUGE_PAGE_LEN, MADV_HUGEPAGE);
	(void)madvise(host, HUGE_PAGE_LEN, MADV_DONTDUMP);
}

void guest_mem_release(const struct guest_mem *mem, void *host, uint64_t len)
{
	uint64_t mask = page_len() - 1;
	uintptr_t at = ((uintptr_t)host + mask) & ~mask;
	uintptr_t end = ((uintptr_t)host + len) & ~mask;

	if (at >= end)
		return;
	if (!has_file(mem, at, end)) {
		drop(at, end);
		return;
	}
	while (at < end) {
		uintptr_t next = (at + HUGE_PAGE_LEN) & ~(HUGE_PAGE_LEN - 1);

		if (next > end)
			next = end;
		if (!has_file(mem, at, next))
			drop(at, next);
		else if (next - at == HUGE_PAGE_LEN)
			drop_with_file(at);
		at = next;
	}
}

void guest_mem_fini(struct guest_mem *mem)
{
	for (unsigned i = 0; i < mem->region_count; i++)
		munmap(mem->regions[i].host, mem->regions[i].len);
	memset(mem, 0, sizeof(*mem));
}

void *guest_mem_ptr(const struct guest_mem *mem, gpa_t gpa, uint64_t len)
{
	for (unsigned i = 0; i < mem->region_count; i++) {
		const struct guest_mem_region *r = &mem->regions[i];
		uint64_t offset = gpa - r->gpa; /* wraps to something huge below the region */

		if (offset < r->len)
			return len <= r->len - offset ? r->host + offset : NULL;
	}
	return NULL;
}

int guest_mem_read(const struct guest_mem *mem, gpa_t gpa, void *dst, uint64_t len)
{
	const void *src = guest_mem_ptr(mem, gpa, len);

	if (!src)
		return -EFAULT;
	memcpy(dst, src, len);
	return 0;
}

int guest_mem_write(const struct guest_mem *mem, gpa_t gpa, const void *src, uint64_t len)
{
	void *dst = guest_mem_ptr(mem, gpa, len);

	if (!dst)
		return -EFAULT;
	memcpy(dst, src, len);
	return 0;
}

uint64_t guest_mem_total(const struct guest_mem *mem)
{
	uint64_t total = 0;

	for (unsigned i = 0; i < mem->region_count; i++)
		total += mem->regions[i].len;
	return total;
}
