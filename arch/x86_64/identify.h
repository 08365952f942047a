/*
 * Names a file that was given as a kernel and is none, for the one line that the user reads.
 */
#ifndef ARCH_X86_64_IDENTIFY_H
#define ARCH_X86_64_IDENTIFY_H

#include <stddef.h>
#include <stdint.h>

/* "an arm64 Linux kernel Image", "an ext4 file system image" … for the LEN bytes at DATA, a whole
 * file. Static text. Any thread. */
const char *identify_file(const uint8_t *data, size_t len);

/* The same for what is no regular file: MODE is stat's. NULL for a regular file. */
const char *identify_mode(unsigned mode);

#endif
