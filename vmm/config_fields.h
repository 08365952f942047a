/*
 * One row says all about one word of the configuration: where it is kept, what may be written, what
 * it means. The command line, configuration files, --print-config, help, completion and the test
 * of the manual page are all driven by these rows.
 */
#ifndef VMM_CONFIG_FIELDS_H
#define VMM_CONFIG_FIELDS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/config_text.h"
#include "vmm/err.h"

enum config_type {
	CONFIG_TYPE_FLAG,     /* bool */
	CONFIG_TYPE_TEXT,     /* char *, not empty, without control characters */
	CONFIG_TYPE_FILE,     /* char *, likewise; completed as a path */
	CONFIG_TYPE_UINT,     /* unsigned, min..max */
	CONFIG_TYPE_UINT16,   /* uint16_t, min..max */
	CONFIG_TYPE_UINT64,   /* uint64_t, min..max */
	CONFIG_TYPE_SIZE,     /* uint64_t, bytes, min..max */
	CONFIG_TYPE_RATE,     /* uint64_t, bytes per second */
	CONFIG_TYPE_DURATION, /* uint64_t, ms */
	CONFIG_TYPE_ENUM,     /* an enum that counts up from 0 along WORDS */
	CONFIG_TYPE_MAC,      /* uint8_t[6] */
	CONFIG_TYPE_LIST,     /* repeatable, or with words of its own: see struct config_list */
	CONFIG_TYPE_ACTION,   /* command line only; the parser knows it by name */
};

struct config;
struct config_field;

/*
 * An option whose value has an inner grammar. ADD takes one value as text; ADD_OBJECT, when there
 * is one, the same as a JSON object with FIELDS as its words. PRINT gives what ADD or ADD_OBJECT
 * reads back.
 */
struct config_list {
	int (*add)(struct config *config, const char *text, struct config_error *err);
	int (*add_object)(struct config *config, json_t *object, const char **bad_key,
			  struct config_error *err);
	json_t *(*print)(const struct config *config); /* NULL: memory is short */
	void (*clear)(struct config *config);
	bool single; /* one value, not an array */
	const struct config_field *fields;
	size_t field_count;
};

struct config_field {
	const char *name;
	char letter; /* -v; 0: none */
	enum config_type type;
	size_t offset;
	uint64_t min, max;
	const char *const *words; /* ENUM: NULL-terminated */
	const struct config_list *list;
	const char *group; /* heading in the help, on the first row of each */
	const char *arg;   /* placeholder for the value */
	const char *help;
};

/* Sets the value that FIELD names in OBJ. 0 or -EINVAL; -ENOMEM with a sentence as well. */
int config_field_set(const struct config_field *field, void *obj, const char *text,
		     struct config_error *err) MUST_CHECK;
/* The same from a JSON scalar. */
int config_field_set_json(const struct config_field *field, void *obj, const json_t *value,
			  struct config_error *err) MUST_CHECK;
/* A new reference; JSON null for text that is not set. NULL when memory is short. */
json_t *config_field_print(const struct config_field *field, const void *obj) MUST_CHECK;
/* Frees and forgets the strings among FIELDS. */
void config_fields_free(const struct config_field *fields, size_t count, void *obj);

const struct config_field *config_field_find(const struct config_field *fields, size_t count,
					     const char *name);
/* "no such word", with the nearest one when there is one. Returns -EINVAL. */
int config_field_unknown(const struct config_field *fields, size_t count, const char *dashes,
			 const char *name, struct config_error *err);

/*
 * Comma-separated words: NAME, or NAME=VALUE. The first word may be the value of FIRST (a path)
 * instead. TEXT is cut up. Sets members of OBJ.
 */
int config_fields_parse_spec(const struct config_field *fields, size_t count,
			     const struct config_field *first, void *obj, char *text,
			     struct config_error *err) MUST_CHECK;
/* A JSON object with FIELDS' names as keys; *BAD_KEY is set to the one that was refused. */
int config_fields_parse_object(const struct config_field *fields, size_t count, void *obj,
			       json_t *object, const char **bad_key,
			       struct config_error *err) MUST_CHECK;
/* Those of FIELDS that are set (not NULL, not zero, not false) as an object. */
json_t *config_fields_print_object(const struct config_field *fields, size_t count,
				   const void *obj) MUST_CHECK;

#endif
