/*
 * Values as people write them: sizes, durations, rates, numbers, MAC addresses. Pure; nothing is
 * logged here. Used by the tables of vmm/config_fields.c for command lines and files alike.
 */
#ifndef VMM_CONFIG_TEXT_H
#define VMM_CONFIG_TEXT_H

#include <stddef.h>
#include <stdint.h>

#include "vmm/err.h"

/* Why a value was refused, and the cure, in one sentence; the caller names option or file. */
struct config_error {
	char text[256];
};

/* Writes the sentence and returns -EINVAL. */
int config_error_set(struct config_error *err, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* All return 0, or -EINVAL with ERR filled in. */

/* Digits only, MIN..MAX. */
int config_text_uint(const char *text, uint64_t min, uint64_t max, uint64_t *out,
		     struct config_error *err) MUST_CHECK;
/* 512M, 2G, 64KiB, 4096B: a unit is required. Powers of 1024. Bytes. */
int config_text_size(const char *text, uint64_t *out, struct config_error *err) MUST_CHECK;
/* A size with an optional "/s". Bytes per second. */
int config_text_rate(const char *text, uint64_t *out, struct config_error *err) MUST_CHECK;
/* 30 (seconds), 30s, 500ms, 5m, 2h. Milliseconds. */
int config_text_duration(const char *text, uint64_t *out, struct config_error *err) MUST_CHECK;
/* 02:00:00:12:34:56, a unicast address. */
int config_text_mac(const char *text, uint8_t mac[6], struct config_error *err) MUST_CHECK;

#define CONFIG_TEXT_LEN 32

/* The shortest exact way to write a value so that it is read back the same. */
void config_text_from_size(uint64_t bytes, char out[CONFIG_TEXT_LEN]);
void config_text_from_duration(uint64_t ms, char out[CONFIG_TEXT_LEN]);
void config_text_from_mac(const uint8_t mac[6], char out[CONFIG_TEXT_LEN]);

/*
 * Comma-separated words, as in a --disk: cuts the next word off *REST in place and returns it, NULL
 * at the end. "\," is a comma in a word and "\\" a backslash before one; a word that begins with
 * "path=" takes all that is left as it stands.
 */
char *config_text_next_word(char **rest);

#endif
