/*
 * vmm compare: the same workload in every boundary, measured in rows. This header holds what the
 * parts share: rows, tasks and columns as data, and the results.
 *
 * A task is something that is run (a workload and how it is looked at); it yields values by key. A
 * row shows one key of one task. A column is what the task runs in: a boundary of `vmm run --as`,
 * or another program. Boundaries are known only as command lines. Main thread throughout.
 */
#ifndef VMM_COMPARE_COMPARE_H
#define VMM_COMPARE_COMPARE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/err.h"

#define COMPARE_COLUMNS_MAX 8
#define COMPARE_ROWS_MAX    96
#define COMPARE_VALUES_MAX  101
#define COMPARE_WORDS_MAX   72
#define COMPARE_PORT	    "5123"

enum compare_level { COMPARE_QUICK, COMPARE_NORMAL, COMPARE_FULL };
extern const char *const compare_level_names[];

/* How a task is looked at. */
enum compare_method {
	COMPARE_STAGES,	 /* the steps that `vmm run -v` tells */
	COMPARE_LIFE,	 /* start, stop by SIGTERM, start again */
	COMPARE_PROGRAM, /* what the workload prints, lines "KEY VALUE" */
	COMPARE_FIO,	 /* the same from fio's JSON */
	COMPARE_PROBE,	 /* lines "KEY TEXT", and what the host sees meanwhile */
	COMPARE_TOUCH,	 /* memory of the host before, during and after the workload uses it */
	COMPARE_IDLE,	 /* more and more instances that wait */
	COMPARE_RATE,	 /* many short instances, several at a time */
	COMPARE_IMAGE,	 /* bytes on the disk; nothing is run */
	COMPARE_NEVER,	 /* a row that only has its reason */
};

enum compare_net { COMPARE_NET_NONE, COMPARE_NET_HOST, COMPARE_NET_NAT, COMPARE_NET_USER };
enum compare_place { COMPARE_PLACE_ROOT, COMPARE_PLACE_VOLUME, COMPARE_PLACE_RAW };

/* In a command %S is the scale, %P the place as a directory and %F as a file, %H the host's
 * address, %M a file's size, %N a number of requests and %Y one of fsyncs. */
struct compare_task {
	const char *name;
	enum compare_method method;
	enum compare_level level; /* the least at which it runs unless it is asked for */
	const char *command;	  /* words, parted by blanks */
	const char *limits;	  /* the same of vmm run, for machine and container; NULL: none */
	enum compare_net net;
	enum compare_place place;
	const char *needs;  /* a program that must be in the root; NULL: none */
	unsigned timeout_s; /* of one step with --quick; twice that without, four times with --full
			     */
};

/* What a row's numbers are; the base units are nanoseconds, 1/s, bytes, or none. */
enum compare_kind {
	COMPARE_TIME,
	COMPARE_SPEED, /* of something a second */
	COMPARE_BYTES,
	COMPARE_COUNT,
	COMPARE_SHARE, /* nanoseconds of processor time a second of time */
	COMPARE_TEXT,
};

enum compare_better { COMPARE_LESS, COMPARE_MORE, COMPARE_NEITHER };

/* What was published: LEFT's median over RIGHT's, at least LOW, and at most HIGH unless that is 0.
 */
struct compare_claim {
	const char *text;
	const char *source;
	const char *left;
	const char *right;
	double low;
	double high;
};

struct compare_row {
	const char *name;
	const char *title;
	const char *unit;
	double scale; /* base units in one of UNIT */
	enum compare_kind kind;
	enum compare_better better;
	const char *timed; /* what, from where to where */
	const char *task;
	const char *key;
	/* With instructions counted, of a speed: what they are counted for, and how many of it. */
	const char *per;
	double per_scale;
	struct compare_claim claim; /* text NULL: none */
};

extern const struct compare_row compare_rows[];
extern const size_t compare_row_count;
extern const struct compare_task compare_tasks[];
extern const size_t compare_task_count;

/* The task that yields ROW. */
const struct compare_task *compare_row_task(const struct compare_row *row);

/* What a row holds of one column. */
struct compare_cell {
	double values[COMPARE_VALUES_MAX]; /* base units, by run; NAN: that run failed */
	unsigned value_count;
	char *text;   /* COMPARE_TEXT; owned */
	char *reason; /* why there is nothing, or less than asked for; owned, NULL: none */
};

struct compare_column {
	const char *name;
	bool is_peer;
	uint8_t *script;   /* owned: a peer's text; NULL: a boundary */
	char *reason;	   /* owned: why nothing runs in it */
	unsigned silences; /* how often it gave no answer */
	unsigned retaken;  /* runs that the lab broke */
};

/* Facts that a report shows: condition by condition. */
struct compare_fact {
	char *name;
	char *value;
};

struct compare {
	/* asked for */
	const char *program; /* the vmm that is compared; borrowed */
	const char *rootfs;  /* borrowed; NULL: made */
	const char *kernel;  /* of machines; borrowed; NULL: as vmm run finds it */
	enum compare_level level;
	enum compare_level amounts; /* how much each run does: less than LEVEL in the lab */
	unsigned runs;
	bool icount;  /* the clock counts instructions, 2 ns each */
	bool in_lab;  /* on the lab's emulated host */
	bool verbose; /* progress on a line each */
	bool selected[COMPARE_ROWS_MAX];
	struct compare_column columns[COMPARE_COLUMNS_MAX];
	unsigned column_count;
	/* found */
	char *root;	 /* the root that is used; owned */
	char *cache;	 /* ours; owned */
	char *scratch;	 /* removed at the end; owned */
	char *load;	 /* the workload program, on the host; owned */
	bool has_tap;	 /* for machines, to the host's server */
	bool own_load;	 /* the root has no workload program: it comes by a volume */
	char **commands; /* the command lines that were run, one a task and column; owned */
	size_t command_count;
	struct compare_fact facts[32];
	unsigned fact_count;
	/* measured */
	struct compare_cell cells[COMPARE_ROWS_MAX][COMPARE_COLUMNS_MAX];
	uint64_t started_ns;
	uint64_t took_ns;
	bool interrupted;
	bool unfinished[COMPARE_ROWS_MAX]; /* with fewer runs than asked for, since interrupted */
};

/* Frees what is owned. */
void compare_fini(struct compare *compare);
/* A printf into a new string; NULL when memory is short. */
char *compare_text(const char *fmt, ...) PRINTF_LIKE(1, 2) MUST_CHECK;
/*
 * SECONDS as milliseconds, for a wait. Where instructions are counted the clock leaps while all
 * wait for the other machine's files: patience is 100000 times as long there, and the lab's own.
 */
uint64_t compare_patience_ms(const struct compare *compare, unsigned seconds);
/* Adds a fact; what memory is too short for is left out. */
void compare_fact(struct compare *compare, const char *name, const char *fmt, ...)
	PRINTF_LIKE(3, 4);

#endif
