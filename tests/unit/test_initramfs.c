/* What is written is an archive that cpio lists and unpacks as it was meant. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "vmm/image/initramfs.h"
#include "vmm/log.h"

/* What COMMAND, in which %d is FD, prints. */
static void output_of(const char *command, int fd, char *out, size_t out_len)
{
	char line[512];
	FILE *pipe;
	size_t len;

	snprintf(line, sizeof(line), command, fd);
	pipe = popen(line, "r");
	assert_non_null(pipe);
	len = fread(out, 1, out_len - 1, pipe);
	out[len] = '\0';
	assert_int_equal(pclose(pipe), 0);
}

static int make(void)
{
	static const char long_name[] = "vmm/a-name-that-is-a-little-longer";
	struct initramfs initramfs;
	int fd;

	assert_int_equal(initramfs_begin(&initramfs), 0);
	initramfs_add_dir(&initramfs, "vmm");
	initramfs_add_file(&initramfs, "init", 0755, "12345", 5);
	initramfs_add_file(&initramfs, "vmm/empty", 0644, "", 0);
	initramfs_add_file(&initramfs, long_name, 0600, "1234", 4);
	initramfs_add_char(&initramfs, "console", 5, 1);
	fd = initramfs_finish(&initramfs);
	assert_true(fd >= 0);
	/* Those that read it inherit it. */
	assert_int_equal(dup2(fd, 9), 9);
	close(fd);
	return 9;
}

static void cpio_lists_what_was_added(void **state)
{
	char out[1024];
	int fd = make();

	(void)state;
	output_of("cpio -t --quiet <&%d 2>&1", fd, out, sizeof(out));
	assert_string_equal(out, "vmm\ninit\nvmm/empty\nvmm/a-name-that-is-a-little-longer\n"
				 "console\n");
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	output_of("cpio -tvn --quiet <&%d 2>&1 | awk '{ print $1, $3, $5, $6, $NF }'", fd, out,
		  sizeof(out));
	assert_non_null(strstr(out, "drwxr-xr-x 0 0 "));
	assert_non_null(strstr(out, "-rwxr-xr-x 0 5 "));
	assert_non_null(strstr(out, "crw------- 0 5, 1 console"));
	close(fd);
}

static void cpio_unpacks_the_bytes(void **state)
{
	char out[64];
	int fd = make();

	(void)state;
	output_of("cpio -i --quiet --to-stdout init 'vmm/a*' <&%d", fd, out, sizeof(out));
	assert_string_equal(out, "123451234");
	close(fd);
}

static void every_byte_of_an_entry_is_as_the_format_says(void **state)
{
	static const char expected[] = "070701"
				       "00000001" /* inode */
				       "000081ed" /* mode */
				       "0000000000000000"
				       "00000001" /* links */
				       "00000000"
				       "00000005" /* length */
				       "0000000000000000"
				       "0000000000000000"
				       "00000002" /* length of the name with its end */
				       "00000000"
				       "a\0"
				       "abcde\0\0\0"
				       "070701";
	struct initramfs initramfs;
	char bytes[sizeof(expected)];
	int fd;

	(void)state;
	assert_int_equal(initramfs_begin(&initramfs), 0);
	initramfs_add_file(&initramfs, "a", 0755, "abcde", 5);
	fd = initramfs_finish(&initramfs);
	assert_int_equal(pread(fd, bytes, sizeof(expected) - 1, 0), sizeof(expected) - 1);
	assert_memory_equal(bytes, expected, sizeof(expected) - 1);
	close(fd);
}

static void what_is_too_large_is_told_at_the_end(void **state)
{
	struct initramfs initramfs;
	char name[300];
	void *large;

	(void)state;
	log_set_level(LOG_LEVEL_ERR);
	large = mmap(NULL, INITRAMFS_LEN_MAX, PROT_READ,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	assert_true(large != MAP_FAILED);
	assert_int_equal(initramfs_begin(&initramfs), 0);
	initramfs_add_file(&initramfs, "a", 0644, large, INITRAMFS_LEN_MAX);
	initramfs_add_file(&initramfs, "b", 0644, "", 0);
	assert_int_equal(initramfs_finish(&initramfs), -EFBIG);
	munmap(large, INITRAMFS_LEN_MAX);
	memset(name, 'a', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	assert_int_equal(initramfs_begin(&initramfs), 0);
	initramfs_add_dir(&initramfs, name);
	assert_int_equal(initramfs_finish(&initramfs), -EFBIG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cpio_lists_what_was_added),
		cmocka_unit_test(cpio_unpacks_the_bytes),
		cmocka_unit_test(every_byte_of_an_entry_is_as_the_format_says),
		cmocka_unit_test(what_is_too_large_is_told_at_the_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
