/*
 * The commands. Each takes the words from its own name on, as main does, and returns the process's
 * exit status.
 */
#ifndef VMM_CLI_CLI_H
#define VMM_CLI_CLI_H

int cli_run(int argc, char **argv);
int cli_doctor(int argc, char **argv);
int cli_compare(int argc, char **argv);
/* "freeze" and "thaw", by argv[0]. */
int cli_freeze(int argc, char **argv);
int cli_help(int argc, char **argv);
int cli_version(int argc, char **argv);

#endif
