/*
 * The last steps of a child on its way to a command: user, directory, environment, exec. On the
 * host after chroot, in a container below its init; needs nothing but libc.
 */
#ifndef VMM_BOUNDARY_PROCESS_ENTER_H
#define VMM_BOUNDARY_PROCESS_ENTER_H

#include <stddef.h>
#include <stdint.h>

/* Exit statuses of a child that did not become the command. */
#define PROCESS_STATUS_FAILED	      125
#define PROCESS_STATUS_NOT_EXECUTABLE 126
#define PROCESS_STATUS_NOT_FOUND      127

/* More variables are dropped. */
#define PROCESS_ENV_MAX 512

struct process_spec {
	const char *user;    /* USER[:GROUP]; NULL or empty: root */
	const char *workdir; /* NULL or empty: / */
	const char *term;    /* value of TERM; NULL: none */
	char **env;	     /* ends with NULL, each wins over what is set by itself; or NULL */
	char **argv;	     /* ends with NULL */
};

/*
 * What parent and child say to each other on a SOCK_SEQPACKET pair, one struct a packet. Both ends
 * are ours, but the child's one lives where hostile programs do: its words are checked like theirs.
 */
enum process_word {
	PROCESS_READY = 1, /* child: waits for PROCESS_GO when it was told to */
	PROCESS_TERMINAL,  /* child: the other end of its terminal comes with this packet */
	PROCESS_FAILED,	   /* child: value is the exit status, text says why */
	PROCESS_EXITED,	   /* child: value is the command's wait status */
	PROCESS_GO,	   /* parent */
	PROCESS_SIGNAL,	   /* parent: value is the number, for the command */
};

struct process_message {
	uint32_t word; /* enum process_word */
	int32_t value;
	int32_t error;	/* of PROCESS_FAILED: an errno that text does not speak of yet, or 0 */
	char text[244]; /* ends with a zero */
};

/* Sends WORD on FD, with VALUE and TEXT (NULL: none). 0 or -errno. */
int process_send(int fd, enum process_word word, int value, const char *text);

/* Closes all descriptors but the standard three and FD: what vmm's caller left open to it. */
void process_close_others(int fd);

/*
 * Becomes the command of SPEC in the calling process's root. Returns on failure only: the exit
 * status, having sent PROCESS_FAILED on CONTROL_FD. All signals are as a new process expects them.
 */
int process_enter(const struct process_spec *spec, int control_fd);

#endif
