/* The manual page names every option of the table and every word of an option. Run in the source
 * tree's root. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "vmm/config_options.h"

static char page[65536];

static int read_page(void **state)
{
	FILE *file = fopen("vmm/vmm.1", "re");
	size_t len;

	(void)state;
	if (!file)
		return -1;
	len = fread(page, 1, sizeof(page) - 1, file);
	fclose(file);
	return len == 0 || len == sizeof(page) - 1;
}

static void assert_named(const char *macro, const char *name)
{
	char text[64];
	const char *at = page;
	size_t len = (size_t)snprintf(text, sizeof(text), "%s%s", macro, name);

	while ((at = strstr(at, text))) {
		at += len;
		if (*at == ' ' || *at == '\n')
			return;
	}
	fail_msg("vmm/vmm.1 does not name %s%s", macro, name);
}

static void every_option_is_named(void **state)
{
	(void)state;
	for (size_t i = 0; i < config_option_count; i++)
		assert_named("Fl Fl ", config_options[i].name);
}

static void every_word_of_an_option_is_named(void **state)
{
	(void)state;
	for (size_t i = 0; i < config_option_count; i++) {
		const struct config_list *list = config_options[i].list;

		for (size_t j = 0; list && j < list->field_count; j++) {
			const char *name = list->fields[j].name;

			if (strcmp(name, "none") == 0)
				assert_named("Cm none | ", "user");
			else if (strcmp(name, "user") == 0 || strchr(name, '|'))
				continue;
			else if (strcmp(name, "tap") == 0)
				assert_named("user | ", name);
			else
				assert_named("Cm ", name);
		}
	}
}

static void every_value_of_an_option_is_named(void **state)
{
	(void)state;
	for (size_t i = 0; i < config_option_count; i++) {
		const char *const *words = config_options[i].words;
		char text[128];
		size_t len;

		if (!words)
			continue;
		len = (size_t)snprintf(text, sizeof(text), "Fl Fl %s Cm ", config_options[i].name);
		for (size_t j = 0; words[j]; j++)
			len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%s",
						j ? " | " : "", words[j]);
		if (!strstr(page, text))
			fail_msg("vmm/vmm.1 does not say %s", text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_option_is_named),
		cmocka_unit_test(every_word_of_an_option_is_named),
		cmocka_unit_test(every_value_of_an_option_is_named),
	};

	return cmocka_run_group_tests(tests, read_page, NULL);
}
