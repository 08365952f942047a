/*
 * Shell completion, written from the table of options.
 */
#ifndef VMM_CLI_COMPLETION_H
#define VMM_CLI_COMPLETION_H

/* Prints the script for SHELL (bash, zsh, fish) on stdout. Returns the process's exit status. */
int completion_print(const char *shell);

#endif
