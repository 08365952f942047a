/* A kernel says how it was built, by the configuration inside it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <zlib.h>

#include "vmm/kernel_config.h"

static const char text[] = "CONFIG_64BIT=y\nCONFIG_VIRTIO_BLK=m\n# CONFIG_ACPI is not set\n"
			   "CONFIG_DEFAULT_HOSTNAME=\"(none)\"\n";

/* An image with the text inside as the kernel's build puts it there. */
static size_t make_image(uint8_t *image, size_t room)
{
	z_stream stream = { 0 };
	size_t len = 100;

	memset(image, 0xcc, room);
	memcpy(image + len, "IKCFG_ST", 8);
	len += 8;
	assert_int_equal(deflateInit2(&stream, 9, Z_DEFLATED, 16 + MAX_WBITS, 8, 0), Z_OK);
	stream.next_in = (Bytef *)(uintptr_t)text;
	stream.avail_in = sizeof(text) - 1;
	stream.next_out = image + len;
	stream.avail_out = (uInt)(room - len);
	assert_int_equal(deflate(&stream, Z_FINISH), Z_STREAM_END);
	len += stream.total_out;
	deflateEnd(&stream);
	memcpy(image + len, "IKCFG_ED", 8);
	return len + 8;
}

static void a_configuration_inside_is_found(void **state)
{
	uint8_t image[1024];
	size_t len = make_image(image, sizeof(image));
	struct kernel_config config = { .text = kernel_config_extract(image, len) };

	(void)state;
	assert_non_null(config.text);
	assert_string_equal(config.text, text);
	assert_int_equal(kernel_config_get(&config, "64BIT"), 'y');
	assert_int_equal(kernel_config_get(&config, "VIRTIO_BLK"), 'm');
	assert_int_equal(kernel_config_get(&config, "ACPI"), 'n');
	assert_int_equal(kernel_config_get(&config, "VIRTIO"), 'n');
	kernel_config_fini(&config);
}

static void a_damaged_or_cut_one_is_none(void **state)
{
	uint8_t image[1024];
	size_t len = make_image(image, sizeof(image));

	(void)state;
	assert_null(kernel_config_extract(image, 99));
	assert_null(kernel_config_extract(image, 108));
	assert_null(kernel_config_extract(image, len - 30));
	image[125] ^= 0x55;
	assert_null(kernel_config_extract(image, len));
}

static void what_is_no_kernel_is_named(void **state)
{
	struct kernel_config config;

	(void)state;
	assert_int_equal(kernel_config_load(&config, "/dev/null", NULL), -EINVAL);
	assert_non_null(config.problem);
	kernel_config_fini(&config);
	assert_int_equal(kernel_config_load(&config, "/no/such/file", NULL), -ENOENT);
	kernel_config_fini(&config);
	assert_int_equal(kernel_config_load(&config, NULL, "/etc/passwd"), -ENODATA);
	kernel_config_fini(&config);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_configuration_inside_is_found),
		cmocka_unit_test(a_damaged_or_cut_one_is_none),
		cmocka_unit_test(what_is_no_kernel_is_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
