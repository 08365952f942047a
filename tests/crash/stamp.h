/*
 * What the crash test writes: sectors that say where they belong and when they were written, and
 * the places that each generation writes to. Shared by the bare guest that writes and by the
 * program on the host that looks.
 *
 * A generation is a round of STAMP_RUNS writes to places of their own, followed by a flush. Odd and
 * even generations have a half of the disk each, so that the writes of one may be under way during
 * the flush of the other and no two writes to one sector ever are.
 */
#ifndef TESTS_CRASH_STAMP_H
#define TESTS_CRASH_STAMP_H

#include <stdbool.h>
#include <stdint.h>

#define STAMP_SECTOR_LEN   512u
#define STAMP_WORDS	   (STAMP_SECTOR_LEN / 8)
#define STAMP_DISK_SECTORS 8192u
#define STAMP_RUNS	   8u
#define STAMP_RUN_MAX	   64u /* sectors */
#define STAMP_REGION	   (STAMP_DISK_SECTORS / 2 / STAMP_RUNS)
#define STAMP_MAGIC	   0x706d617473656874ull

struct stamp_run {
	uint32_t sector;
	uint32_t count;
};

static inline uint64_t stamp_mix(uint64_t x)
{
	x ^= x >> 31;
	x *= 0x9e3779b97f4a7c15ull;
	x ^= x >> 29;
	x *= 0xd1342543de82ef95ull;
	return x ^ x >> 32;
}

/* Word I of SECTOR as GENERATION writes it: the first three say what it is, the rest depends on
 * them. */
static inline uint64_t stamp_word(uint64_t sector, uint64_t generation, unsigned i)
{
	switch (i) {
	case 0:
		return STAMP_MAGIC;
	case 1:
		return sector;
	case 2:
		return generation;
	default:
		return stamp_mix(generation << 20 ^ sector << 6 ^ i);
	}
}

static inline void stamp_write(uint64_t *words, uint64_t sector, uint64_t generation)
{
	for (unsigned i = 0; i < STAMP_WORDS; i++)
		words[i] = stamp_word(sector, generation, i);
}

/* False when the sector is neither empty (generation 0) nor as one single write left it. */
static inline bool stamp_read(const uint64_t *words, uint64_t sector, uint64_t *generation)
{
	uint64_t any = 0;

	*generation = words[2];
	for (unsigned i = 0; i < STAMP_WORDS; i++)
		any |= words[i];
	if (!any)
		return true;
	for (unsigned i = 0; i < STAMP_WORDS; i++)
		if (words[i] != stamp_word(sector, *generation, i))
			return false;
	return *generation != 0;
}

/* Where GENERATION's write number I goes: any sectors of its region, not only whole pages. */
static inline struct stamp_run stamp_run_of(uint64_t generation, unsigned i)
{
	uint64_t random = stamp_mix(generation * STAMP_RUNS + i);
	uint32_t count = 1 + (uint32_t)(random >> 32) % STAMP_RUN_MAX;
	uint32_t start = (uint32_t)random % (STAMP_REGION - count + 1);

	/* Half of them as file systems do it: pages. */
	if (random >> 63) {
		start &= ~7u;
		count = (count + 7) & ~7u;
	}
	return (struct stamp_run){
		.sector = (uint32_t)(generation % 2) * (STAMP_DISK_SECTORS / 2) + i * STAMP_REGION +
			  start,
		.count = count,
	};
}

#endif
