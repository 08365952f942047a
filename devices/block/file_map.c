/*
 * Copying from and to files in memory. Setup, and the loops' threads by way of file_io.c.
 *
 * What either side of a copy cannot give (beyond the file's end, for want of memory, guest memory
 * whose own file was cut) arrives as SIGBUS at the instruction that asked for it. The handler
 * leaves the copy, and the system call that follows tells what is wrong; any other fault goes on to
 * the handler that was there before.
 */
#include "devices/block/file_map.h"

#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "vmm/err.h"

#define REGION_SHIFT 20
/*
 * Copied at once: little enough that no libc leaves it to a string instruction, which starts
 * slowly, and enough for its widest registers.
 */
#define PIECE_LEN 2048u

struct guard {
	sigjmp_buf leave;
};

/* A handler is told nothing but the address; the rest must be where the thread is. */
static __thread struct guard *guard;
/* Whose faults they were before: the program's own handler, for guest memory that is gone. */
static struct sigaction previous;

static void on_bus_error(int number, siginfo_t *info, void *context)
{
	struct guard *mine = guard;

	if (mine)
		siglongjmp(mine->leave, 1);
	if (previous.sa_flags & SA_SIGINFO)
		previous.sa_sigaction(number, info, context);
	else
		(void)signal(number, SIG_DFL); /* tried again, and this time it is the end */
}

/* ThreadSanitizer's memcpy cannot be left by a jump: built with it, files are read and written. */
#ifdef __SANITIZE_THREAD__
#define CAN_LEAVE_MEMCPY false
#else
#define CAN_LEAVE_MEMCPY true
#endif

static bool watch_bus_errors(void)
{
	/* The handler is left by a jump, after which the signal must not stay blocked. */
	struct sigaction action = { .sa_sigaction = on_bus_error,
				    .sa_flags = SA_SIGINFO | SA_NODEFER };
	struct sigaction now;

	if (sigaction(SIGBUS, NULL, &now) < 0)
		return false;
	if ((now.sa_flags & SA_SIGINFO) && now.sa_sigaction == on_bus_error)
		return true;
	previous = now;
	return sigaction(SIGBUS, &action, NULL) == 0;
}

/* ---- holes ---- */

static uint64_t region_count(uint64_t len)
{
	return (len + (1ull << REGION_SHIFT) - 1) >> REGION_SHIFT;
}

static bool may_have_hole(const struct file_map *map, uint64_t offset, uint64_t len)
{
	uint64_t last = (offset + len - 1) >> REGION_SHIFT;

	for (uint64_t i = offset >> REGION_SHIFT; i <= last; i++)
		if (__atomic_load_n(&map->holes[i / 64], __ATOMIC_RELAXED) & 1ull << i % 64)
			return true;
	return false;
}

void file_map_has_hole(struct file_map *map, uint64_t offset, uint64_t len)
{
	uint64_t last;

	if (!map->base || offset >= map->len || len == 0)
		return;
	if (len > map->len - offset)
		len = map->len - offset;
	last = (offset + len - 1) >> REGION_SHIFT;
	for (uint64_t i = offset >> REGION_SHIFT; i <= last; i++)
		__atomic_fetch_or(&map->holes[i / 64], 1ull << i % 64, __ATOMIC_RELAXED);
}

void file_map_disable(struct file_map *map)
{
	__atomic_store_n(&map->off, true, __ATOMIC_RELAXED);
}

/* ---- copying ---- */

static void copy_part(uint8_t *to, const uint8_t *from, uint64_t len)
{
	for (; len > PIECE_LEN; len -= PIECE_LEN, to += PIECE_LEN, from += PIECE_LEN)
		memcpy(to, from, PIECE_LEN);
	memcpy(to, from, len);
}

/* Both are functions of their own, so that nothing lives in registers across the jump. */
static __attribute__((noinline)) void copy(uint8_t *at, bool write, const struct iovec *iov,
					   uint64_t len)
{
	for (; len > 0; iov++) {
		uint64_t part = iov->iov_len < len ? iov->iov_len : len;

		if (write)
			copy_part(at, iov->iov_base, part);
		else
			copy_part(iov->iov_base, at, part);
		at += part;
		len -= part;
	}
}

static __attribute__((noinline)) bool copy_guarded(struct guard *mine, uint8_t *at, bool write,
						   const struct iovec *iov, uint64_t len)
{
	if (sigsetjmp(mine->leave, 0) != 0)
		return false;
	copy(at, write, iov, len);
	return true;
}

bool file_map_copy(struct file_map *map, bool write, const struct iovec *iov, uint64_t offset,
		   uint64_t len)
{
	struct guard mine;
	bool done;

	if (!map->base || __atomic_load_n(&map->off, __ATOMIC_RELAXED) ||
	    (write && map->read_only) || offset > map->len || len > map->len - offset || len == 0 ||
	    may_have_hole(map, offset, len))
		return false;
	guard = &mine;
	/* The handler runs on this thread, and must find it set. */
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	done = copy_guarded(&mine, map->base + offset, write, iov, len);
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	guard = NULL;
	return done;
}

/* ---- life ---- */

void file_map_open(struct file_map *map, int fd, uint64_t len, bool read_only)
{
	int prot = PROT_READ | (read_only ? 0 : PROT_WRITE);
	struct stat st;
	void *base;

	*map = (struct file_map){ .len = len, .read_only = read_only };
	if (!CAN_LEAVE_MEMCPY || fstat(fd, &st) < 0 || len == 0 || (uint64_t)st.st_size < len ||
	    (uint64_t)st.st_blocks * 512 < len || !watch_bus_errors())
		return;
	map->holes = calloc(region_count(len) / 64 + 1, sizeof(*map->holes));
	if (!map->holes)
		return;
	base = mmap(NULL, len, prot, MAP_SHARED | MAP_NORESERVE, fd, 0);
	if (base == MAP_FAILED) {
		free(map->holes);
		map->holes = NULL;
		return;
	}
	(void)madvise(base, len, MADV_DONTDUMP);
	map->base = base;
}

void file_map_close(struct file_map *map)
{
	if (map->base)
		munmap(map->base, map->len);
	free(map->holes);
	*map = (struct file_map){ 0 };
}
