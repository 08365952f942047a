/* Values are read as people write them, and written so that they are read back the same. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "vmm/config_text.h"
#include "vmm/suggest.h"

static struct config_error err;

static void sizes_need_a_unit(void **state)
{
	static const struct {
		const char *text;
		uint64_t bytes;
	} good[] = { { "512M", 512u << 20 },	   { "2g", UINT64_C(2) << 30 }, { "64KiB", 65536 },
		     { "1TB", UINT64_C(1) << 40 }, { "4096B", 4096 },		{ "0M", 0 } };
	static const char *const bad[] = { "",
					   "512",
					   "M",
					   "1.5G",
					   "-1M",
					   " 1M",
					   "1M ",
					   "1X",
					   "1MM",
					   "1Mi",
					   "99999999999999999999M",
					   "16777216T" };
	uint64_t bytes;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		assert_int_equal(config_text_size(good[i].text, &bytes, &err), 0);
		assert_int_equal(bytes, good[i].bytes);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(config_text_size(bad[i], &bytes, &err), -EINVAL);
	assert_int_equal(config_text_size("512", &bytes, &err), -EINVAL);
	assert_non_null(strstr(err.text, "write 512M"));
}

static void sizes_are_written_in_the_largest_exact_unit(void **state)
{
	static const uint64_t values[] = {
		0, 1, 1023, 1024, 1536, 512u << 20, UINT64_C(3) << 40, (UINT64_C(1) << 30) + 1
	};
	char text[CONFIG_TEXT_LEN];
	uint64_t bytes;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
		config_text_from_size(values[i], text);
		assert_int_equal(config_text_size(text, &bytes, &err), 0);
		assert_int_equal(bytes, values[i]);
	}
	config_text_from_size(512u << 20, text);
	assert_string_equal(text, "512M");
}

static void durations_are_seconds_unless_said(void **state)
{
	static const struct {
		const char *text;
		uint64_t ms;
	} good[] = { { "30", 30000 },  { "30s", 30000 },  { "500ms", 500 },
		     { "5m", 300000 }, { "2h", 7200000 }, { "0", 0 } };
	static const char *const bad[] = { "",	  "s",	"1.5s",	 "-1",
					   "5 m", "5d", "9000h", "18446744073709551616" };
	char text[CONFIG_TEXT_LEN];
	uint64_t ms;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		assert_int_equal(config_text_duration(good[i].text, &ms, &err), 0);
		assert_int_equal(ms, good[i].ms);
		config_text_from_duration(good[i].ms, text);
		assert_int_equal(config_text_duration(text, &ms, &err), 0);
		assert_int_equal(ms, good[i].ms);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(config_text_duration(bad[i], &ms, &err), -EINVAL);
}

static void rates_may_say_per_second(void **state)
{
	uint64_t rate;

	(void)state;
	assert_int_equal(config_text_rate("100M/s", &rate, &err), 0);
	assert_int_equal(rate, 100u << 20);
	assert_int_equal(config_text_rate("100M", &rate, &err), 0);
	assert_int_equal(config_text_rate("/s", &rate, &err), -EINVAL);
	assert_int_equal(config_text_rate("100", &rate, &err), -EINVAL);
}

static void macs_must_be_of_one_card(void **state)
{
	static const char *const bad[] = { "",
					   "02:00:00:00:00",
					   "02:00:00:00:00:0",
					   "02-00-00-00-00-01",
					   "02:00:00:00:00:01:",
					   "0g:00:00:00:00:01",
					   "01:00:5e:00:00:01",
					   "00:00:00:00:00:00",
					   "ff:ff:ff:ff:ff:ff" };
	char text[CONFIG_TEXT_LEN];
	uint8_t mac[6];

	(void)state;
	assert_int_equal(config_text_mac("02:aB:cd:EF:00:01", mac, &err), 0);
	config_text_from_mac(mac, text);
	assert_string_equal(text, "02:ab:cd:ef:00:01");
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(config_text_mac(bad[i], mac, &err), -EINVAL);
}

static void words_are_cut_at_commas_that_are_not_escaped(void **state)
{
	char text[] = "a\\,b,c\\\\,d\\e,,path=x,y\\,z";
	char *rest = text;

	(void)state;
	assert_string_equal(config_text_next_word(&rest), "a,b");
	assert_string_equal(config_text_next_word(&rest), "c\\");
	assert_string_equal(config_text_next_word(&rest), "d\\e");
	assert_string_equal(config_text_next_word(&rest), "");
	assert_string_equal(config_text_next_word(&rest), "path=x,y\\,z");
	assert_null(config_text_next_word(&rest));
}

static const char *nearest(const char *typed)
{
	static const char *const words[] = { "kernel", "memory", "cpus", "cmdline",
					     "cmdline-only" };
	struct suggest suggest = { .typed = typed };

	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		suggest_add(&suggest, words[i]);
	return suggest.nearest;
}

static void what_is_near_is_suggested_and_what_is_far_is_not(void **state)
{
	(void)state;
	assert_string_equal(nearest("memroy"), "memory");
	assert_string_equal(nearest("kernle"), "kernel");
	assert_string_equal(nearest("mem"), "memory");
	assert_string_equal(nearest("cpu"), "cpus");
	assert_string_equal(nearest("cmdline-onyl"), "cmdline-only");
	assert_null(nearest("frobnicate"));
	assert_null(nearest(""));
	assert_null(nearest("xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sizes_need_a_unit),
		cmocka_unit_test(sizes_are_written_in_the_largest_exact_unit),
		cmocka_unit_test(durations_are_seconds_unless_said),
		cmocka_unit_test(rates_may_say_per_second),
		cmocka_unit_test(macs_must_be_of_one_card),
		cmocka_unit_test(words_are_cut_at_commas_that_are_not_escaped),
		cmocka_unit_test(what_is_near_is_suggested_and_what_is_far_is_not),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
