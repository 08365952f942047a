/*
 * What is executed for a task in a column: a boundary of `vmm run`, or another program as its
 * script says. Main thread.
 */
#ifndef VMM_COMPARE_COMMAND_H
#define VMM_COMPARE_COMMAND_H

#include "vmm/compare/compare.h"

struct compare_command {
	char *words[COMPARE_WORDS_MAX + 1]; /* owned; ends with NULL */
	unsigned count;
};

/*
 * Makes the command line of TASK in COLUMN. 0, or -errno with a new string in *REASON that says in
 * the reader's words why there is none (NULL when memory is short). compare_command_fini in any
 * case.
 */
int compare_command_make(const struct compare *compare, const struct compare_column *column,
			 const struct compare_task *task, struct compare_command *command,
			 char **reason) MUST_CHECK;
void compare_command_fini(struct compare_command *command);
/* As it would be typed; a new string. */
char *compare_command_text(const struct compare_command *command) MUST_CHECK;

/* The names that --as and --peer know; ends with NULL. */
extern const char *const compare_boundary_names[];
extern const char *const compare_peer_names[];
/* Adds a column by its name. 0, or -EINVAL when there is no such, too many, or it is there. */
int compare_add_column(struct compare *compare, const char *name) MUST_CHECK;

#endif
