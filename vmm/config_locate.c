/*
 * Finds a value's place in the text of a configuration file, because the JSON library keeps none.
 * The text was accepted by that library, so this only has to step over well-formed values. Called
 * when a message is due, on the main thread.
 */
#include <ctype.h>
#include <string.h>

#include "vmm/config_options.h"

static const char *skip_blanks(const char *p)
{
	while (isspace((unsigned char)*p))
		p++;
	return p;
}

/* P is at the opening quote; gives what follows the closing one. */
static const char *skip_string(const char *p)
{
	for (p++; *p && *p != '"'; p++) {
		if (*p == '\\' && p[1])
			p++;
	}
	return *p ? p + 1 : p;
}

/* Gives the first byte behind the value at P. */
static const char *skip_value(const char *p)
{
	unsigned depth = 0;

	do {
		p = skip_blanks(p);
		if (*p == '"') {
			p = skip_string(p);
		} else if (*p == '{' || *p == '[') {
			depth++;
			p++;
		} else if (*p == '}' || *p == ']') {
			depth -= depth > 0;
			p++;
		} else if (*p == ',' || *p == ':') {
			p++;
		} else {
			p += strcspn(p, ",:{}[] \t\r\n\"");
		}
	} while (*p && depth > 0);
	return p;
}

/* P is at '{'. The value of KEY, or P when there is none (its name holds an escape). */
static const char *find_key(const char *object, const char *key)
{
	size_t key_len = strlen(key);
	const char *p = skip_blanks(object + 1);

	while (*p == '"') {
		const char *name = p + 1;
		const char *end = skip_string(p);
		bool found = (size_t)(end - name) == key_len + 1 && memcmp(name, key, key_len) == 0;

		p = skip_blanks(end);
		p = skip_blanks(*p == ':' ? p + 1 : p);
		if (found)
			return p;
		p = skip_blanks(skip_value(p));
		p = skip_blanks(*p == ',' ? p + 1 : p);
	}
	return object;
}

static const char *find_index(const char *array, int index)
{
	const char *p = skip_blanks(array + 1);

	while (index-- > 0 && *p && *p != ']') {
		p = skip_blanks(skip_value(p));
		p = skip_blanks(*p == ',' ? p + 1 : p);
	}
	return p;
}

void config_json_locate(const char *text, const char *key, int index, const char *subkey,
			unsigned *line, unsigned *column)
{
	const char *p = skip_blanks(text);

	if (*p == '{')
		p = find_key(p, key);
	if (index >= 0 && *p == '[')
		p = find_index(p, index);
	if (subkey && *p == '{')
		p = find_key(p, subkey);
	*line = 1;
	*column = 1;
	for (const char *q = text; q < p; q++) {
		(*column)++;
		if (*q == '\n') {
			(*line)++;
			*column = 1;
		}
	}
}
