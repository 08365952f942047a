/*
 * The processor and its memory: a dense solver, STREAM's four loops, random access, page faults,
 * and a compressor fed with the same text each time.
 */
#include "vmm/compare/workload/load.h"

#include <errno.h>
#include <math.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define SOLVER_ROWS 160u
#define FAULT_LEN   (8u << 20)
#define FAULT_PAGE  4096u

static uint64_t random_next(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

struct solver {
	double a[SOLVER_ROWS][SOLVER_ROWS];
	double b[SOLVER_ROWS];
};

static void solver_fill(struct solver *solver)
{
	uint64_t state = 88172645463325252u;

	for (unsigned i = 0; i < SOLVER_ROWS; i++) {
		for (unsigned j = 0; j < SOLVER_ROWS; j++)
			solver->a[i][j] = (double)(random_next(&state) >> 40) * 0x1p-24;
		/* Dominant, so that no pivot is needed. */
		solver->a[i][i] += SOLVER_ROWS;
		solver->b[i] = 1;
	}
}

static void solver_run(void *data)
{
	struct solver *solver = data;

	solver_fill(solver);
	for (unsigned k = 0; k < SOLVER_ROWS; k++) {
		for (unsigned i = k + 1; i < SOLVER_ROWS; i++) {
			double factor = solver->a[i][k] / solver->a[k][k];

			for (unsigned j = k; j < SOLVER_ROWS; j++)
				solver->a[i][j] -= factor * solver->a[k][j];
			solver->b[i] -= factor * solver->b[k];
		}
	}
	for (unsigned i = SOLVER_ROWS; i-- > 0;) {
		for (unsigned j = i + 1; j < SOLVER_ROWS; j++)
			solver->b[i] -= solver->a[i][j] * solver->b[j];
		solver->b[i] /= solver->a[i][i];
	}
}

int load_solver(enum load_scale scale)
{
	struct solver *solver = load_map(sizeof(*solver));
	double n = SOLVER_ROWS;
	double ns = load_best_ns(scale, solver_run, solver, 2 * n * n * n / 3 + 2 * n * n);

	if (!isfinite(solver->b[0])) {
		errno = ERANGE;
		load_fail("the solver's result");
	}
	load_print("solver", 1e9 / ns);
	munmap(solver, sizeof(*solver));
	return 0;
}

struct stream {
	double *restrict a;
	double *restrict b;
	double *restrict c;
	uint64_t count;
};

/* Kept from being put into one another, or left out: each loop's result is the next one's input. */
static void stream_copy(void *data)
{
	struct stream *s = data;

	for (uint64_t i = 0; i < s->count; i++)
		s->c[i] = s->a[i];
}

static void stream_scale(void *data)
{
	struct stream *s = data;

	for (uint64_t i = 0; i < s->count; i++)
		s->b[i] = 3 * s->c[i];
}

static void stream_add(void *data)
{
	struct stream *s = data;

	for (uint64_t i = 0; i < s->count; i++)
		s->c[i] = s->a[i] + s->b[i];
}

static void stream_triad(void *data)
{
	struct stream *s = data;

	for (uint64_t i = 0; i < s->count; i++)
		s->a[i] = s->b[i] + 3 * s->c[i];
}

static void stream(enum load_scale scale)
{
	static const struct {
		const char *key;
		void (*run)(void *data);
		double arrays;
	} loops[] = { { "stream_copy", stream_copy, 2 },
		      { "stream_scale", stream_scale, 2 },
		      { "stream_add", stream_add, 3 },
		      { "stream_triad", stream_triad, 3 } };
	static const uint64_t lens[] = { 4u << 20, 16u << 20, 64u << 20 };
	uint64_t len = lens[scale];
	struct stream s = { .count = len / sizeof(double) };

	s.a = load_map(len);
	s.b = load_map(len);
	s.c = load_map(len);
	for (uint64_t i = 0; i < s.count; i++) {
		s.a[i] = 1;
		s.b[i] = 2;
		s.c[i] = 0;
	}
	for (unsigned i = 0; i < sizeof(loops) / sizeof(loops[0]); i++)
		load_print(loops[i].key, 1e9 / load_best_ns(scale, loops[i].run, &s,
							    loops[i].arrays * (double)len));
	munmap(s.a, len);
	munmap(s.b, len);
	munmap(s.c, len);
}

#define RANDOM_COUNT 200000u

struct table {
	uint64_t *words;
	uint64_t len; /* a power of two */
};

static void random_run(void *data)
{
	struct table *table = data;
	uint64_t state = 1;

	for (unsigned i = 0; i < RANDOM_COUNT; i++) {
		uint64_t x = random_next(&state);

		table->words[x & (table->len / 8 - 1)] ^= x;
	}
}

static void fault_run(void *data)
{
	volatile char *at = load_map(FAULT_LEN);

	(void)data;
	for (uint64_t i = 0; i < FAULT_LEN; i += FAULT_PAGE)
		at[i] = 1;
	munmap((void *)at, FAULT_LEN);
}

int load_memory(enum load_scale scale)
{
	struct table table = { .len = scale == LOAD_QUICK ? 8u << 20 : 32u << 20 };

	stream(scale);
	table.words = load_map(table.len);
	memset(table.words, 1, table.len);
	load_print("random", load_best_ns(scale, random_run, &table, RANDOM_COUNT));
	munmap(table.words, table.len);
	load_print("page_fault",
		   load_best_ns(scale, fault_run, NULL, (double)FAULT_LEN / FAULT_PAGE));
	return 0;
}

/* Words of a small vocabulary, and numbers: text that a compressor finds as usual. */
static int compress_input(uint64_t len)
{
	static const char words[16][8] = { "block", "ring",  "page", "guest",  "queue", "kernel",
					   "host",  "fault", "exit", "device", "clock", "write",
					   "read",  "wake",  "load", "store" };
	int fd = memfd_create("text", MFD_CLOEXEC);
	char *text = load_map(len + 64);
	uint64_t state = 7;

	for (uint64_t done = 0; done < len;) {
		uint64_t x = random_next(&state);
		char word[40] = "";

		load_append(word, sizeof(word), words[x & 15]);
		load_append(word, sizeof(word), (x >> 16 & 7) == 0 ? "\n" : " ");
		if ((x >> 20 & 3) == 0)
			load_append_number(word, sizeof(word), x >> 32 & 0xffff);
		done = (uint64_t)(stpcpy(text + done, word) - text);
	}
	if (fd < 0 || write(fd, text, len) != (ssize_t)len)
		load_fail("write text");
	munmap(text, len + 64);
	lseek(fd, 0, SEEK_SET);
	return fd;
}

int load_compress(enum load_scale scale)
{
	static const uint64_t lens[] = { 1u << 20, 8u << 20, 32u << 20 };
	char *argv[] = { "xz", "-2", "-T1", "-c", NULL }, nothing[1];
	int fd = compress_input(lens[scale]);
	uint64_t start = load_now_ns();

	if (load_run(argv, fd, nothing, sizeof(nothing)) != 0) {
		errno = 0;
		load_fail("xz is not in the root, or failed");
	}
	load_print("compress", (double)lens[scale] * 1e9 / (double)(load_now_ns() - start));
	return 0;
}
