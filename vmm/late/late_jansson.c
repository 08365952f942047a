/*
 * jansson, as far as it is used here. Its functions of a variable number of arguments go by those
 * that take a va_list.
 */
#include <jansson.h>
#include <stdarg.h>

#include "vmm/late/late.h"

static struct late_library jansson = { .soname = "libjansson.so.4", .package = "libjansson4" };

void late_jansson_open(void)
{
	json_decref(json_null());
}

LATE(jansson, json_t *, json_object, (void), ())
LATE(jansson, json_t *, json_array, (void), ())
LATE(jansson, json_t *, json_string, (const char *value), (value))
LATE(jansson, json_t *, json_integer, (json_int_t value), (value))
LATE(jansson, json_t *, json_real, (double value), (value))
LATE(jansson, json_t *, json_true, (void), ())
LATE(jansson, json_t *, json_false, (void), ())
LATE(jansson, json_t *, json_null, (void), ())

LATE(jansson, void, json_delete, (json_t * json), (json))

LATE(jansson, json_t *, json_object_get, (const json_t *object, const char *key), (object, key))
LATE(jansson, int, json_object_set_new, (json_t * object, const char *key, json_t *value),
     (object, key, value))
LATE(jansson, void *, json_object_iter, (json_t * object), (object))
LATE(jansson, void *, json_object_key_to_iter, (const char *key), (key))
LATE(jansson, void *, json_object_iter_next, (json_t * object, void *iter), (object, iter))
LATE(jansson, const char *, json_object_iter_key, (void *iter), (iter))
LATE(jansson, json_t *, json_object_iter_value, (void *iter), (iter))

LATE(jansson, size_t, json_array_size, (const json_t *array), (array))
LATE(jansson, json_t *, json_array_get, (const json_t *array, size_t index), (array, index))
LATE(jansson, int, json_array_append_new, (json_t * array, json_t *value), (array, value))

LATE(jansson, const char *, json_string_value, (const json_t *string), (string))
LATE(jansson, json_int_t, json_integer_value, (const json_t *integer), (integer))
LATE(jansson, double, json_number_value, (const json_t *number), (number))

LATE(jansson, json_t *, json_vpack_ex,
     (json_error_t * error, size_t flags, const char *fmt, va_list args), (error, flags, fmt, args))
LATE(jansson, json_t *, json_vsprintf, (const char *fmt, va_list args), (fmt, args))

json_t *json_pack(const char *fmt, ...)
{
	va_list args;
	json_t *json;

	va_start(args, fmt);
	json = json_vpack_ex(NULL, 0, fmt, args);
	va_end(args);
	return json;
}

json_t *json_sprintf(const char *fmt, ...)
{
	va_list args;
	json_t *json;

	va_start(args, fmt);
	json = json_vsprintf(fmt, args);
	va_end(args);
	return json;
}

LATE(jansson, json_t *, json_loads, (const char *text, size_t flags, json_error_t *error),
     (text, flags, error))
LATE(jansson, json_t *, json_loadb,
     (const char *text, size_t len, size_t flags, json_error_t *error), (text, len, flags, error))
LATE(jansson, int, json_dumpf, (const json_t *json, FILE *output, size_t flags),
     (json, output, flags))
LATE(jansson, int, json_dumpfd, (const json_t *json, int output, size_t flags),
     (json, output, flags))
LATE(jansson, int, json_dump_file, (const json_t *json, const char *path, size_t flags),
     (json, path, flags))
