/*
 * Reads, prints and frees values of the configuration as its tables describe them. Main thread.
 */
#include "vmm/config_fields.h"

#include <assert.h>
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "vmm/suggest.h"

static void *member_of(const struct config_field *field, void *obj)
{
	return (char *)obj + field->offset;
}

static int set_text(char **member, const char *text, struct config_error *err)
{
	char *copy;

	if (*text == '\0')
		return config_error_set(err, "is empty: give a value or leave it out");
	for (const char *p = text; *p; p++) {
		if (iscntrl((unsigned char)*p))
			return config_error_set(err,
						"holds a control character (0x%02x): leave it out",
						(unsigned char)*p);
	}
	copy = strdup(text);
	if (!copy) {
		config_error_set(err, "out of memory");
		return -ENOMEM;
	}
	free(*member);
	*member = copy;
	return 0;
}

static int set_enum(const struct config_field *field, unsigned *member, const char *text,
		    struct config_error *err)
{
	struct suggest suggest = { .typed = text };
	char list[160] = "";
	size_t len = 0;

	for (unsigned i = 0; field->words[i]; i++) {
		if (strcmp(text, field->words[i]) == 0) {
			*member = i;
			return 0;
		}
		suggest_add(&suggest, field->words[i]);
		len += (size_t)snprintf(list + len, sizeof(list) - len, "%s%s", i ? ", " : "",
					field->words[i]);
		assert(len < sizeof(list));
	}
	if (suggest.nearest)
		return config_error_set(err, "\"%.40s\" is not among %s: did you mean %s?", text,
					list, suggest.nearest);
	return config_error_set(err, "\"%.40s\" is not known: write one of %s", text, list);
}

static int set_flag(bool *member, const char *text, struct config_error *err)
{
	bool on = strcmp(text, "on") == 0;

	if (!on && strcmp(text, "off") != 0)
		return config_error_set(err, "\"%.40s\" is neither on nor off: write one of these",
					text);
	*member = on;
	return 0;
}

static int set_size(const struct config_field *field, uint64_t *member, const char *text,
		    struct config_error *err)
{
	char bound[CONFIG_TEXT_LEN];
	uint64_t value;
	int ret = config_text_size(text, &value, err);

	if (ret < 0)
		return ret;
	if (value < field->min) {
		config_text_from_size(field->min, bound);
		return config_error_set(err, "%.40s is too little: write at least %s", text, bound);
	}
	if (field->max && value > field->max) {
		config_text_from_size(field->max, bound);
		return config_error_set(err, "%.40s is too much: write at most %s", text, bound);
	}
	*member = value;
	return 0;
}

static int set_number(const struct config_field *field, void *member, const char *text,
		      struct config_error *err)
{
	uint64_t value;
	int ret = config_text_uint(text, field->min, field->max, &value, err);

	if (ret < 0)
		return ret;
	if (field->type == CONFIG_TYPE_UINT16)
		*(uint16_t *)member = (uint16_t)value;
	else if (field->type == CONFIG_TYPE_UINT)
		*(unsigned *)member = (unsigned)value;
	else
		*(uint64_t *)member = value;
	return 0;
}

int config_field_set(const struct config_field *field, void *obj, const char *text,
		     struct config_error *err)
{
	void *member = member_of(field, obj);

	switch (field->type) {
	case CONFIG_TYPE_FLAG:
		return set_flag(member, text, err);
	case CONFIG_TYPE_TEXT:
	case CONFIG_TYPE_FILE:
		return set_text(member, text, err);
	case CONFIG_TYPE_UINT:
	case CONFIG_TYPE_UINT16:
	case CONFIG_TYPE_UINT64:
		return set_number(field, member, text, err);
	case CONFIG_TYPE_SIZE:
		return set_size(field, member, text, err);
	case CONFIG_TYPE_RATE:
		return config_text_rate(text, member, err);
	case CONFIG_TYPE_DURATION:
		return config_text_duration(text, member, err);
	case CONFIG_TYPE_ENUM:
		return set_enum(field, member, text, err);
	case CONFIG_TYPE_MAC:
		return config_text_mac(text, member, err);
	case CONFIG_TYPE_LIST:
	case CONFIG_TYPE_ACTION:
		break;
	}
	assert(false); /* not a scalar */
	return -EINVAL;
}

int config_field_set_json(const struct config_field *field, void *obj, const json_t *value,
			  struct config_error *err)
{
	char digits[CONFIG_TEXT_LEN];

	if (field->type == CONFIG_TYPE_FLAG && json_is_boolean(value)) {
		*(bool *)member_of(field, obj) = json_is_true(value);
		return 0;
	}
	if (field->type == CONFIG_TYPE_FLAG && !json_is_string(value))
		return config_error_set(err, "must be true or false");
	if (json_is_string(value))
		return config_field_set(field, obj, json_string_value(value), err);
	if (json_is_integer(value)) {
		snprintf(digits, sizeof(digits), "%" JSON_INTEGER_FORMAT,
			 json_integer_value(value));
		return config_field_set(field, obj, digits, err);
	}
	return config_error_set(err, "must be a text in quotes, or a whole number");
}

static json_t *print_text(const char *text)
{
	return text ? json_string(text) : json_null();
}

json_t *config_field_print(const struct config_field *field, const void *obj)
{
	const void *member = (const char *)obj + field->offset;
	char buf[CONFIG_TEXT_LEN];

	switch (field->type) {
	case CONFIG_TYPE_FLAG:
		return json_boolean(*(const bool *)member);
	case CONFIG_TYPE_TEXT:
	case CONFIG_TYPE_FILE:
		return print_text(*(char *const *)member);
	case CONFIG_TYPE_UINT:
		return json_integer(*(const unsigned *)member);
	case CONFIG_TYPE_UINT16:
		return json_integer(*(const uint16_t *)member);
	case CONFIG_TYPE_UINT64:
		return json_integer((json_int_t) * (const uint64_t *)member);
	case CONFIG_TYPE_SIZE:
	case CONFIG_TYPE_RATE:
		config_text_from_size(*(const uint64_t *)member, buf);
		return json_string(buf);
	case CONFIG_TYPE_DURATION:
		config_text_from_duration(*(const uint64_t *)member, buf);
		return json_string(buf);
	case CONFIG_TYPE_ENUM:
		return json_string(field->words[*(const unsigned *)member]);
	case CONFIG_TYPE_MAC:
		config_text_from_mac(member, buf);
		return json_string(buf);
	case CONFIG_TYPE_LIST:
	case CONFIG_TYPE_ACTION:
		break;
	}
	assert(false); /* not a scalar */
	return NULL;
}

void config_fields_free(const struct config_field *fields, size_t count, void *obj)
{
	for (size_t i = 0; i < count; i++) {
		char **text = member_of(&fields[i], obj);

		if (fields[i].type != CONFIG_TYPE_TEXT && fields[i].type != CONFIG_TYPE_FILE)
			continue;
		free(*text);
		*text = NULL;
	}
}

const struct config_field *config_field_find(const struct config_field *fields, size_t count,
					     const char *name)
{
	for (size_t i = 0; i < count; i++) {
		if (strcmp(fields[i].name, name) == 0)
			return &fields[i];
	}
	return NULL;
}

int config_field_unknown(const struct config_field *fields, size_t count, const char *dashes,
			 const char *name, struct config_error *err)
{
	struct suggest suggest = { .typed = name };
	char list[160] = "";
	size_t len = 0;

	for (size_t i = 0; i < count; i++) {
		suggest_add(&suggest, fields[i].name);
		if (len < sizeof(list))
			len += (size_t)snprintf(list + len, sizeof(list) - len, "%s%s%s",
						i ? ", " : "", dashes, fields[i].name);
	}
	if (suggest.nearest)
		return config_error_set(err, "unknown: did you mean %s%s?", dashes,
					suggest.nearest);
	if (len < sizeof(list))
		return config_error_set(err, "unknown: the words are %s", list);
	return config_error_set(err, "unknown: see vmm run --help");
}

static bool is_set(const struct config_field *field, const void *obj)
{
	static const uint8_t zero[sizeof(uint64_t)];
	static const size_t sizes[] = {
		[CONFIG_TYPE_FLAG] = sizeof(bool),
		[CONFIG_TYPE_TEXT] = sizeof(char *),
		[CONFIG_TYPE_FILE] = sizeof(char *),
		[CONFIG_TYPE_UINT] = sizeof(unsigned),
		[CONFIG_TYPE_UINT16] = sizeof(uint16_t),
		[CONFIG_TYPE_UINT64] = sizeof(uint64_t),
		[CONFIG_TYPE_SIZE] = sizeof(uint64_t),
		[CONFIG_TYPE_RATE] = sizeof(uint64_t),
		[CONFIG_TYPE_DURATION] = sizeof(uint64_t),
		[CONFIG_TYPE_ENUM] = sizeof(unsigned),
		[CONFIG_TYPE_MAC] = 6,
	};

	return memcmp((const char *)obj + field->offset, zero, sizes[field->type]) != 0;
}

/* One word of a spec; VALUE is NULL when there is no '='. */
static int set_word(const struct config_field *field, void *obj, const char *value,
		    struct config_error *err)
{
	struct config_error inner;
	int ret;

	if (is_set(field, obj) && field->type != CONFIG_TYPE_UINT)
		return config_error_set(err, "%s is given twice: leave one out", field->name);
	if (!value && field->type == CONFIG_TYPE_FLAG)
		value = "on";
	if (!value)
		return config_error_set(err, "%s needs a value: write %s=%s", field->name,
					field->name, field->arg);
	ret = config_field_set(field, obj, value, &inner);
	if (ret < 0)
		config_error_set(err, "%s: %s", field->name, inner.text);
	return ret;
}

int config_fields_parse_spec(const struct config_field *fields, size_t count,
			     const struct config_field *first, void *obj, char *text,
			     struct config_error *err)
{
	struct config_error inner;
	bool is_first = true;
	char *word;

	while ((word = config_text_next_word(&text))) {
		char *equals = strchr(word, '=');
		const struct config_field *field;
		int ret;

		if (equals)
			*equals = '\0';
		field = config_field_find(fields, count, word);
		if (!field && is_first && first) {
			if (equals)
				*equals = '=';
			ret = config_field_set(first, obj, word, err);
		} else if (!field) {
			ret = config_field_unknown(fields, count, "", word, &inner);
			config_error_set(err, "\"%.40s\" is %s", word, inner.text);
		} else {
			ret = set_word(field, obj, equals ? equals + 1 : NULL, err);
		}
		if (ret < 0)
			return ret;
		is_first = false;
	}
	return 0;
}

int config_fields_parse_object(const struct config_field *fields, size_t count, void *obj,
			       json_t *object, const char **bad_key, struct config_error *err)
{
	const char *key;
	json_t *value;

	json_object_foreach(object, key, value)
	{
		const struct config_field *field = config_field_find(fields, count, key);
		int ret;

		*bad_key = key;
		if (!field)
			return config_field_unknown(fields, count, "", key, err);
		if (json_is_null(value))
			continue;
		ret = config_field_set_json(field, obj, value, err);
		if (ret < 0)
			return ret;
	}
	*bad_key = NULL;
	return 0;
}

json_t *config_fields_print_object(const struct config_field *fields, size_t count, const void *obj)
{
	json_t *object = json_object();

	for (size_t i = 0; object && i < count; i++) {
		if (!is_set(&fields[i], obj))
			continue;
		if (json_object_set_new(object, fields[i].name,
					config_field_print(&fields[i], obj)) < 0) {
			json_decref(object);
			return NULL;
		}
	}
	return object;
}
