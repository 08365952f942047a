/*
 * Sizes, durations, rates, numbers and MAC addresses from and to text. Called by the configuration
 * tables, on the main thread. Pure.
 */
#include "vmm/config_text.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

int config_error_set(struct config_error *err, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(err->text, sizeof(err->text), fmt, args);
	va_end(args);
	return -EINVAL;
}

/* Reads leading digits; false when there are none or they do not fit. */
static bool read_digits(const char **text, uint64_t *out)
{
	const char *p = *text;
	uint64_t value = 0;

	if (!isdigit((unsigned char)*p))
		return false;
	for (; isdigit((unsigned char)*p); p++) {
		if (__builtin_mul_overflow(value, 10u, &value) ||
		    __builtin_add_overflow(value, (uint64_t)(*p - '0'), &value))
			return false;
	}
	*text = p;
	*out = value;
	return true;
}

int config_text_uint(const char *text, uint64_t min, uint64_t max, uint64_t *out,
		     struct config_error *err)
{
	const char *p = text;
	uint64_t value;

	if (!read_digits(&p, &value) || *p != '\0')
		return config_error_set(
			err, "\"%.40s\" is not a number: write one from %" PRIu64 " to %" PRIu64,
			text, min, max);
	if (value < min || value > max)
		return config_error_set(err,
					"%" PRIu64 " is out of range: write a number from %" PRIu64
					" to %" PRIu64,
					value, min, max);
	*out = value;
	return 0;
}

/* The power of 1024 that UNIT stands for, or -1. */
static int size_unit(const char *unit)
{
	static const char letters[] = "KMGT";
	const char *letter;

	if (strcasecmp(unit, "B") == 0)
		return 0;
	letter = *unit ? strchr(letters, toupper((unsigned char)*unit)) : NULL;
	if (!letter)
		return -1;
	unit++;
	if (*unit != '\0' && strcasecmp(unit, "B") != 0 && strcasecmp(unit, "iB") != 0)
		return -1;
	return (int)(letter - letters) + 1;
}

int config_text_size(const char *text, uint64_t *out, struct config_error *err)
{
	const char *p = text;
	uint64_t value;
	int unit;

	if (!read_digits(&p, &value))
		return config_error_set(err, "\"%.40s\" is not a size: write one like 512M or 2G",
					text);
	if (*p == '\0')
		return config_error_set(
			err, "\"%.40s\" has no unit: write %.20sM for MiB, or K, G, T", text, text);
	unit = size_unit(p);
	if (unit < 0)
		return config_error_set(
			err, "\"%.40s\" is not a size: whole numbers with K, M, G or T, like 512M",
			text);
	if (__builtin_mul_overflow(value, UINT64_C(1) << (10 * unit), &value) || value > INT64_MAX)
		return config_error_set(
			err, "%.40s is more than can be counted: write a smaller size", text);
	*out = value;
	return 0;
}

int config_text_rate(const char *text, uint64_t *out, struct config_error *err)
{
	char buf[CONFIG_TEXT_LEN];
	size_t len = strlen(text);

	if (len >= 2 && strcmp(text + len - 2, "/s") == 0)
		len -= 2;
	if (len == 0 || len >= sizeof(buf))
		return config_error_set(err, "\"%.40s\" is not a rate: write one like 100M", text);
	memcpy(buf, text, len);
	buf[len] = '\0';
	return config_text_size(buf, out, err);
}

static const struct duration_unit {
	const char *name;
	uint64_t ms;
} duration_units[] = { { "h", 3600000 }, { "m", 60000 }, { "s", 1000 }, { "", 1000 }, { "ms", 1 } };

#define DURATION_MAX_MS (UINT64_C(366) * 24 * 3600000)

int config_text_duration(const char *text, uint64_t *out, struct config_error *err)
{
	const struct duration_unit *unit = NULL;
	const char *p = text;
	uint64_t value;

	if (!read_digits(&p, &value))
		return config_error_set(
			err, "\"%.40s\" is not a duration: write one like 30s or 5m", text);
	for (size_t i = 0; i < ARRAY_SIZE(duration_units); i++) {
		if (strcmp(p, duration_units[i].name) == 0)
			unit = &duration_units[i];
	}
	if (!unit)
		return config_error_set(
			err, "\"%.40s\" is not a duration: the units are ms, s, m and h, like 30s",
			text);
	if (__builtin_mul_overflow(value, unit->ms, &value) || value > DURATION_MAX_MS)
		return config_error_set(err, "%.40s is longer than a year: write a shorter one",
					text);
	*out = value;
	return 0;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)tolower((unsigned char)c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int config_text_mac(const char *text, uint8_t mac[6], struct config_error *err)
{
	uint8_t sum = 0;

	if (strlen(text) != 17)
		goto bad;
	for (unsigned i = 0; i < 6; i++) {
		const char *at = text + (size_t)i * 3;
		int high = hex_digit(at[0]);
		int low = hex_digit(at[1]);

		if (high < 0 || low < 0 || (i < 5 && at[2] != ':'))
			goto bad;
		mac[i] = (uint8_t)(high << 4 | low);
		sum |= mac[i];
	}
	if (sum == 0 || (mac[0] & 1))
		return config_error_set(
			err,
			"%s belongs to no single card: write a unicast one like 02:00:00:00:00:01",
			text);
	return 0;
bad:
	return config_error_set(
		err, "\"%.40s\" is not a MAC address: write one like 02:00:00:00:00:01", text);
}

void config_text_from_size(uint64_t bytes, char out[CONFIG_TEXT_LEN])
{
	static const char letters[] = "BKMGT";
	unsigned unit = 0;

	while (unit < 4 && bytes != 0 && bytes % 1024 == 0) {
		bytes /= 1024;
		unit++;
	}
	snprintf(out, CONFIG_TEXT_LEN, "%" PRIu64 "%c", bytes, letters[unit]);
}

void config_text_from_duration(uint64_t ms, char out[CONFIG_TEXT_LEN])
{
	if (ms % 1000 == 0)
		snprintf(out, CONFIG_TEXT_LEN, "%" PRIu64 "s", ms / 1000);
	else
		snprintf(out, CONFIG_TEXT_LEN, "%" PRIu64 "ms", ms);
}

void config_text_from_mac(const uint8_t mac[6], char out[CONFIG_TEXT_LEN])
{
	snprintf(out, CONFIG_TEXT_LEN, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2],
		 mac[3], mac[4], mac[5]);
}

char *config_text_next_word(char **rest)
{
	char *word = *rest;
	char *from = word;
	char *to = word;

	if (!word)
		return NULL;
	*rest = NULL;
	if (strncmp(word, "path=", 5) == 0)
		return word;
	for (; *from; from++) {
		if (*from == ',') {
			*rest = from + 1;
			break;
		}
		if (*from == '\\' && (from[1] == ',' || from[1] == '\\'))
			from++;
		*to++ = *from;
	}
	*to = '\0';
	return word;
}
