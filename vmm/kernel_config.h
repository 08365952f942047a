/*
 * A Linux kernel's build configuration, found beside or inside the kernel. Used by `vmm doctor`.
 * Calling thread.
 */
#ifndef VMM_KERNEL_CONFIG_H
#define VMM_KERNEL_CONFIG_H

#include <stddef.h>
#include <stdint.h>

#include "vmm/err.h"

struct kernel_config {
	char *text;	  /* lines as in .config */
	char *found;	  /* the file it came from */
	char version[64]; /* of the kernel; empty: not known */
	const char *problem;
};

/*
 * Reads CONFIG_PATH (plain or gzip); when that is NULL, what the KERNEL_PATH holds by
 * CONFIG_IKCONFIG, or lies beside it or in /boot by its version. 0; -ENOENT: no configuration was
 * found; -ENOEXEC or -EINVAL: that is no kernel, ->problem ends a sentence that starts with its
 * name; other -errno. Not logged. End with kernel_config_fini in every case.
 */
int kernel_config_load(struct kernel_config *config, const char *kernel_path,
		       const char *config_path) MUST_CHECK;
void kernel_config_fini(struct kernel_config *config);

/* The value of OPTION (without "CONFIG_"): its first letter, as 'y' or 'm'; 'n' when not set. */
char kernel_config_get(const struct kernel_config *config, const char *option);

/* The text of a configuration embedded in the LEN bytes of a kernel's image, on the heap; NULL when
 * there is none. */
char *kernel_config_extract(const uint8_t *image, size_t len);

#endif
