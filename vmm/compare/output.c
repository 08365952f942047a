/* See output.h. Called by the measurements. */
#include "vmm/compare/output.h"

#include <ctype.h>
#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void copy_printable(char *to, size_t room, const char *from, size_t len)
{
	size_t i;

	for (i = 0; i < len && i + 1 < room; i++)
		to[i] = from[i] >= ' ' && from[i] <= '~' ? from[i] : '?';
	to[i] = '\0';
}

void output_add(struct output *output, const char *key, double value, const char *text)
{
	unsigned at = output->count;

	if (at == OUTPUT_ITEMS_MAX)
		return;
	copy_printable(output->items[at].key, sizeof(output->items[at].key), key, strlen(key));
	copy_printable(output->items[at].text, sizeof(output->items[at].text), text, strlen(text));
	output->items[at].value = value;
	output->count++;
}

int output_find(const struct output *output, const char *key)
{
	for (unsigned i = 0; i < output->count; i++)
		if (strcmp(output->items[i].key, key) == 0)
			return (int)i;
	return -1;
}

void output_parse_lines(struct output *output, const char *text)
{
	while (*text) {
		size_t len = strcspn(text, "\n"), key_len = strcspn(text, " \n");
		char key[48], rest[400], *end;
		double value;

		if (key_len > 0 && key_len < sizeof(key) && key_len < len) {
			copy_printable(key, sizeof(key), text, key_len);
			copy_printable(rest, sizeof(rest), text + key_len + 1, len - key_len - 1);
			value = strtod(rest, &end);
			while (*end && isspace((unsigned char)*end))
				end++;
			output_add(output, key,
				   end != rest && !*end && isfinite(value) ? value : NAN, rest);
		}
		text += len + (text[len] == '\n');
	}
}

/* The two numbers at the end of a line of LEN bytes, and the name before them. */
static bool parse_step(const char *line, size_t len, char name[40], double *took, double *at)
{
	char text[128], *end;
	size_t name_len;

	if (len >= sizeof(text))
		return false;
	copy_printable(text, sizeof(text), line, len);
	/* The name has its own width, and single blanks. */
	end = strstr(text, "  ");
	if (!end)
		return false;
	name_len = (size_t)(end - text);
	copy_printable(name, 40, text, name_len);
	*took = strtod(end, &end);
	*at = strtod(end, &end);
	return name_len > 0 && !*end && isfinite(*took) && *took >= 0 && *at > 0 && *at < 1e9;
}

void output_parse_steps(struct output *output, const char *text)
{
	static const char began[] = "vmm: main began at ", head[] = "vmm: step ";
	const char *at = strstr(text, began);
	char steps[400] = "", name[40];
	double took, when, entry = NAN;

	if (at)
		output_add(output, "stage_main", strtod(at + sizeof(began) - 1, NULL), "");
	at = strstr(text, head);
	while (at && (at = strchr(at, '\n'))) {
		size_t used = strlen(steps), len = strcspn(++at, "\n");

		/* It is told as far as it has come, and later again: the last time counts. */
		if (strncmp(at, head, sizeof(head) - 1) == 0)
			steps[0] = '\0';
		if (strncmp(at, "vmm: ", 5) != 0 ||
		    !parse_step(at + 5, len - 5, name, &took, &when))
			continue;
		snprintf(steps + used, sizeof(steps) - used, "%s%s %.2f", used ? "; " : "", name,
			 took);
		if (strcmp(name, "first KVM_RUN") == 0 || strcmp(name, "child") == 0)
			entry = when * 1e6;
	}
	if (steps[0])
		output_add(output, "stage_steps", NAN, steps);
	if (isfinite(entry))
		output_add(output, "stage_entry", entry, "");
}

/* What fio writes before its JSON (warnings) is passed over. */
static json_t *load_json(const char *text)
{
	const char *start = strchr(text, '{');

	return start ? json_loads(start, JSON_DISABLE_EOF_CHECK, NULL) : NULL;
}

static double number_at(const json_t *object, const char *first, const char *second,
			const char *third)
{
	const json_t *value = json_object_get(json_object_get(object, first), second);

	if (third)
		value = json_object_get(value, third);
	return json_is_number(value) ? json_number_value(value) : 0;
}

/* A job option as a number: fio prints them as they were written, "4k". 0: there is none. */
static double option_of(const json_t *root, const json_t *job, const char *name)
{
	const char *text =
		json_string_value(json_object_get(json_object_get(job, "job options"), name));
	double value;
	char *end;

	if (!text)
		text = json_string_value(
			json_object_get(json_object_get(root, "global options"), name));
	if (!text)
		return 0;
	value = strtod(text, &end);
	if (*end == 'k')
		value *= 1024;
	else if (*end == 'm')
		value *= 1024 * 1024;
	return isfinite(value) && value > 0 && value < 1e12 ? value : 0;
}

static void add_job_value(struct output *output, const char *job, const char *what, double value)
{
	char key[48];

	if (!isfinite(value) || value <= 0)
		return;
	snprintf(key, sizeof(key), "%.30s_%s", job, what);
	output_add(output, key, value, "");
}

/* Speeds follow from the mean time, which is in nanoseconds; fio's own are over milliseconds. */
static void add_job(struct output *output, const json_t *root, const json_t *job)
{
	const char *name = json_string_value(json_object_get(job, "jobname"));
	double depth = option_of(root, job, "iodepth"), block = option_of(root, job, "bs");
	double ns = number_at(job, "read", "lat_ns", "mean");

	if (!name)
		return;
	if (ns <= 0)
		ns = number_at(job, "write", "lat_ns", "mean");
	if (depth < 1)
		depth = 1;
	add_job_value(output, name, "ns", ns);
	add_job_value(output, name, "ops", depth * 1e9 / ns);
	add_job_value(output, name, "bytes", block * depth * 1e9 / ns);
	add_job_value(output, name, "sync_ns", number_at(job, "sync", "lat_ns", "mean"));
}

int output_parse_fio(struct output *output, const char *text)
{
	json_t *root = load_json(text);
	const json_t *jobs = json_object_get(root, "jobs");
	int ret = json_array_size(jobs) ? 0 : -EINVAL;

	for (size_t i = 0; i < json_array_size(jobs); i++)
		add_job(output, root, json_array_get(jobs, i));
	json_decref(root);
	return ret;
}
