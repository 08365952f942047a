/*
 * A configuration made of words, as if they had been typed.
 */
#ifndef TESTS_SUPPORT_PARSE_WORDS_H
#define TESTS_SUPPORT_PARSE_WORDS_H

#include <stdarg.h>

#include "vmm/config.h"

#define PARSE_WORDS_MAX 24

/* Parses words that end with NULL into CONFIG, which is the caller's to fini whatever comes back.
 */
static inline int parse(struct config *config, ...)
{
	char *argv[PARSE_WORDS_MAX];
	int argc = 0;
	va_list args;

	config_init(config);
	va_start(args, config);
	while ((argv[argc] = va_arg(args, char *)))
		argc++;
	va_end(args);
	return config_parse(config, argc, argv);
}

#endif
