/*
 * The table of all options of `vmm run`, and the readers that are driven by it. Inner header of the
 * configuration; help, completion and tests read the table too. Main thread.
 */
#ifndef VMM_CONFIG_OPTIONS_H
#define VMM_CONFIG_OPTIONS_H

#include "vmm/config.h"
#include "vmm/config_fields.h"

extern const struct config_field config_options[];
extern const size_t config_option_count;
/* The command: after "--" on the command line, "command" in a file. */
extern const struct config_field config_command;

/*
 * Reading in progress. What is given again replaces what was given before; a list that a file gave
 * is replaced as a whole by the command line, and the other way round.
 */
struct config_reader {
	struct config *config;
	unsigned file_count; /* configuration files read so far */
	unsigned
		list_owner[8]; /* per list: 0 the command line, else the file that filled it last */
	unsigned depth;
};

/* One option from text; the error names no option. 0 or -EINVAL. */
int config_option_set(struct config_reader *reader, const struct config_field *option,
		      const char *text, struct config_error *err) MUST_CHECK;
/* Empties OPTION's list when OWNER was not the one who filled it last. */
void config_option_own(struct config_reader *reader, const struct config_field *option,
		       unsigned owner);

/*
 * A whole configuration file that was read into TEXT. NAME is for messages. Errors are logged as
 * NAME:line:column. 0 or -EINVAL.
 */
int config_json_parse(struct config_reader *reader, const char *name, const char *text,
		      size_t text_len) MUST_CHECK;
/* Reads the file PATH ("-": standard input) and parses it. */
int config_json_load(struct config_reader *reader, const char *path) MUST_CHECK;

/* Where the value at KEY (and INDEX in an array unless negative, and SUBKEY unless NULL) stands in
 * a valid JSON object; line and column count from 1. */
void config_json_locate(const char *text, const char *key, int index, const char *subkey,
			unsigned *line, unsigned *column);

/* The whole configuration as a new JSON value; NULL when memory is short. */
json_t *config_to_json(const struct config *config) MUST_CHECK;

/* Prints what --help prints. */
void config_options_help(void);

#endif
