/*
 * The parent's side of a command that runs on this kernel: signals handed on, time limit, terminal,
 * the words of the child, the end. Shared by the container and the host. Main thread; one struct a
 * command, on the caller's stack.
 */
#ifndef VMM_BOUNDARY_PROCESS_H
#define VMM_BOUNDARY_PROCESS_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <termios.h>

#include "vmm/config.h"
#include "vmm/err.h"
#include "vmm/timeline.h"

struct process;

struct process_ops {
	/* Hands signal NUMBER on to the command. */
	void (*forward)(struct process *process, int number);
	/* The child is ready, as process PID of this namespace; it waits when told to. 0 or -errno,
	 * logged, which ends it. NULL: nothing to do. */
	int (*ready)(struct process *process, pid_t pid);
	/* Kills the command and all that it started, at once. */
	void (*kill)(struct process *process);
};

struct process_terminal {
	bool wanted;	/* standard input and output are one */
	bool is_stderr; /* standard error as well */
	bool raw;
	bool input_ended;
	struct termios saved;
	int master_fd; /* -1 until the child has sent it */
	char input[4096];
	size_t input_at, input_len; /* typed, not yet taken */
	int out_fd;		    /* ours, in a way that does not block; -1 until then */
	char output[4096];
	size_t output_at, output_len; /* of the command, not yet taken by ours */
};

struct process {
	const struct process_ops *ops;
	const struct config *config;
	void *owner; /* of the ops */
	pid_t pid;   /* the child whose end is the end; 0: none yet */
	int control_fd;
	int child_control_fd; /* the child's end, to be closed once it is there */
	int signal_fd;
	sigset_t old_mask;
	uint64_t deadline_ns; /* CLOCK_MONOTONIC; 0: none */
	struct process_terminal terminal;
	bool reaps_all; /* further children may turn up: the host's orphans */
	/* What came of it. */
	bool ended; /* PID is gone */
	int child_status;
	bool command_ended;
	int command_status; /* a wait status */
	bool failed;
	int failed_status; /* an exit status */
	bool timed_out;
};

/*
 * Blocks and watches signals and makes the control pair, before the child is made. TIMELINE's start
 * is where the time limit begins. 0 or -errno, logged; process_close in either case.
 */
int process_open(struct process *process, const struct process_ops *ops,
		 const struct config *config, const struct timeline *timeline) MUST_CHECK;

/* In the child, after fork: takes down what is the parent's. */
void process_in_child(struct process *process);

/* Serves the child PID until it is gone. Returns the exit status; nothing is logged of an end by a
 * signal. */
int process_serve(struct process *process);

void process_close(struct process *process);

/* ---- process_terminal.c: the relay of a terminal; called by the functions above ---- */

/* Whether there is one to relay. */
void process_terminal_look(struct process_terminal *terminal);
/* Takes the child's end, and makes ours raw. */
void process_terminal_start(struct process_terminal *terminal, int master_fd);
/* The size of ours becomes that of the child's. */
void process_terminal_resize(struct process_terminal *terminal);
void process_terminal_read_input(struct process_terminal *terminal);
void process_terminal_write_input(struct process_terminal *terminal);
/* When none waits already. False when the child's end is closed. */
bool process_terminal_copy_output(struct process_terminal *terminal);
/* As much of it as ours takes now. */
void process_terminal_write_output(struct process_terminal *terminal);
/* What is left of the output, unless nobody takes any of it for a second; and ours as it was. */
void process_terminal_stop(struct process_terminal *terminal);

#endif
