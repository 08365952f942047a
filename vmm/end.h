/*
 * How a machine ended. Whoever finds out first says so, on any thread; the main loop is stopped,
 * and the main thread turns the answer into an exit status.
 */
#ifndef VMM_END_H
#define VMM_END_H

#include <pthread.h>
#include <stdbool.h>

#include "vmm/loop.h"

/* The monitor's exit statuses; 0 to 119 come from the guest. See `vmm help exit-codes`. */
#define EXIT_STATUS_GUEST_MAX	 119
#define EXIT_STATUS_PANIC	 120
#define EXIT_STATUS_TRIPLE_FAULT 121
#define EXIT_STATUS_KVM		 122
#define EXIT_STATUS_TIMEOUT	 124
#define EXIT_STATUS_HOST	 125

enum end_kind {
	END_NONE,
	END_POWEROFF,	  /* the guest switched the machine off */
	END_RESET,	  /* the guest asked for a reset */
	END_STATUS,	  /* the guest wrote a status to the debug-exit port */
	END_PANIC,	  /* the guest's kernel panicked */
	END_TRIPLE_FAULT, /* a vCPU shut down */
	END_KVM,	  /* KVM could not go on; detail says where */
	END_TIMEOUT,
	END_QUIT, /* the person or a second signal asked for it; status says which */
	END_HOST, /* the monitor itself failed */
};

struct end {
	pthread_mutex_t lock;
	enum end_kind kind;
	int status;	   /* END_STATUS, END_QUIT */
	unsigned cpu;	   /* END_TRIPLE_FAULT, END_KVM */
	char detail[4096]; /* END_KVM: registers and instruction bytes */
	struct loop *loop; /* borrowed: stopped when something is said */
};

void end_init(struct end *end, struct loop *loop);
void end_fini(struct end *end);
/* Forgets what was said: before the machine runs again. */
void end_clear(struct end *end);

/* Says how the machine ended; the first word counts, but a panic replaces a reset. Any thread. True
 * when it counted. */
bool end_say(struct end *end, enum end_kind kind, int status);
/* The same with a report, by vCPU CPU. */
bool end_say_detail(struct end *end, enum end_kind kind, unsigned cpu, const char *detail);
/* What was said so far. Any thread. */
enum end_kind end_kind(struct end *end);
/* Whether anything was said so far; cheap. Any thread. */
bool end_said(const struct end *end);

#endif
