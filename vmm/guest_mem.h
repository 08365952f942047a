/*
 * Guest memory: the only place where a guest address becomes a pointer, always with a length.
 *
 * Mapped once before the vCPUs exist and never changed while they run, so that every function below
 * that takes a const pointer may be called on any thread without a lock. The bytes behind a pointer
 * are shared with a hostile guest that may change them at any moment: read a value once, into a
 * local, then check and use the local.
 */
#ifndef VMM_GUEST_MEM_H
#define VMM_GUEST_MEM_H

#include <stdbool.h>
#include <stdint.h>

#include "vmm/err.h"

typedef uint64_t gpa_t; /* guest physical address */

#define GUEST_MEM_REGIONS_MAX 4
#define GUEST_MEM_FILES_MAX   8

struct guest_mem_region {
	gpa_t gpa;
	uint64_t len;
	uint8_t *host; /* page-aligned; owned by the guest_mem when it mapped it */
};

struct guest_mem {
	struct guest_mem_region regions[GUEST_MEM_REGIONS_MAX];
	unsigned region_count;
	/* Where a file lies over a region, as host addresses; the last one grows when they are
	 * more. */
	struct {
		uintptr_t start, end;
	} files[GUEST_MEM_FILES_MAX];
	unsigned file_count;
};

/*
 * Maps anonymous memory for one region of LEN bytes (a multiple of the page size) at guest address
 * GPA. Private, not reserved, never populated, in small pages until
 * guest_mem_use_huge_pages. Refuses overlap with an earlier region and address wrap. Returns 0 or
 * -errno, logged.
 */
int guest_mem_add(struct guest_mem *mem, gpa_t gpa, uint64_t len) MUST_CHECK;

/*
 * Replaces LEN bytes at GPA by a private mapping of FD from OFFSET (both page-aligned; LEN is
 * rounded up to a page and what lies beyond the file's end reads as zero only up to that page).
 * Pages are shared with the page cache until written. Returns 0, -EINVAL when alignment forbids it
 * (the caller copies instead), -errno.
 */
int guest_mem_map_file(struct guest_mem *mem, gpa_t gpa, uint64_t len, int fd,
		       uint64_t offset) MUST_CHECK;

/*
 * Lets the host back all memory from FROM up by huge pages when it is next touched: far fewer page
 * faults, the largest cost of a boot. Called once everything is loaded. Changes nothing on a host
 * without huge pages.
 */
void guest_mem_use_huge_pages(struct guest_mem *mem, gpa_t from);

/*
 * Gives the whole host pages among LEN bytes at HOST, all of which must be guest memory (a pointer
 * from guest_mem_ptr), back to the host: they read as zero and take memory again once touched.
 * Where a file was mapped they would show its bytes again: there, aligned blocks of 2 MiB that
 * lie wholly inside become memory without a file, and what is smaller stays as it is. Pointers into
 * them remain good. Any thread, also while others read and write the very bytes.
 */
void guest_mem_release(const struct guest_mem *mem, void *host, uint64_t len);

/* Unmaps everything. */
void guest_mem_fini(struct guest_mem *mem);

/*
 * Host pointer for LEN bytes at GPA, or NULL unless all of it lies inside one region. LEN may be 0
 * (then GPA itself must be inside a region). Never wraps.
 */
void *guest_mem_ptr(const struct guest_mem *mem, gpa_t gpa, uint64_t len);

/* The same where a call would cost more than the look itself: the region that is asked first holds
 * nearly all of most machines' memory. */
static inline void *guest_mem_ptr_fast(const struct guest_mem *mem, gpa_t gpa, uint64_t len)
{
	const struct guest_mem_region *r = &mem->regions[0];
	uint64_t offset = gpa - r->gpa; /* wraps to something huge below the region */

	if (offset < r->len && len <= r->len - offset)
		return r->host + offset;
	return guest_mem_ptr(mem, gpa, len);
}

/* Copies LEN bytes out of or into guest memory. 0, or -EFAULT when any of it is outside. */
int guest_mem_read(const struct guest_mem *mem, gpa_t gpa, void *dst, uint64_t len) MUST_CHECK;
int guest_mem_write(const struct guest_mem *mem, gpa_t gpa, const void *src,
		    uint64_t len) MUST_CHECK;

/* Bytes of memory in all regions. */
uint64_t guest_mem_total(const struct guest_mem *mem);

#endif
