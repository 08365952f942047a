/*
 * The workload program of `vmm compare`: one static binary with a command a measurement. What it
 * finds it prints as lines "KEY VALUE", in base units: nanoseconds an operation, operations or
 * bytes a second. It runs inside a boundary, alone, on one thread. It does without stdio and
 * malloc, so that it stays small: the monitor carries it.
 */
#ifndef VMM_COMPARE_WORKLOAD_LOAD_H
#define VMM_COMPARE_WORKLOAD_LOAD_H

#include <stddef.h>
#include <stdint.h>

/* How much is done: fixed amounts, so that instructions can be counted too. */
enum load_scale {
	LOAD_QUICK,
	LOAD_NORMAL,
	LOAD_FULL,
};

uint64_t load_now_ns(void);
/* One line on standard output, at once; three digits after the point. */
void load_print(const char *key, double value);
void load_print_text(const char *key, const char *text);
/* Says what failed, with errno unless it is 0, and ends the program with status 1. */
void load_fail(const char *what) __attribute__((noreturn));
/* Appends TEXT, or a number, to the string in ROOM of LEN bytes; what is too long is cut. */
void load_append(char *room, size_t len, const char *text);
void load_append_number(char *room, size_t len, uint64_t number);
/* The decimal number, with a fraction if there is one, at the start of TEXT; 0: there is none. */
double load_number(const char *text);
/* A mapping of LEN zeroed bytes without huge pages; ends the program when there is none. */
void *load_map(uint64_t len);

/*
 * Calls BATCH so often as the scale says, each call doing OPERATIONS of something, and gives the
 * nanoseconds an operation took in the fastest.
 */
double load_best_ns(enum load_scale scale, void (*batch)(void *data), void *data,
		    double operations);

/*
 * Runs ARGV, found in PATH, with standard input from IN_FD (-1: none), and gives what it prints in
 * ROOM as a string; what does not fit is dropped. Its exit status, 127 when it is not there.
 */
int load_run(char *const argv[], int in_fd, char *room, size_t len);
/* Starts ARGV with no input and no output. Its process. */
int load_spawn(char *const argv[]);

/* The commands: words after the command's name. Each returns the exit status. */
int load_solver(enum load_scale scale);
int load_memory(enum load_scale scale);
int load_system(enum load_scale scale);
int load_compress(enum load_scale scale);
int load_files(const char *directory, enum load_scale scale);
int load_probe(void);
int load_touch(uint64_t mib);
int load_serve(const char *port);
int load_net(const char *host, const char *port, enum load_scale scale);
int load_redis(enum load_scale scale);
int load_sysbench(enum load_scale scale);
int load_stress(enum load_scale scale);
int load_oltp(enum load_scale scale);

#endif
