/*
 * Locks on disk images between machines: any number of readers, or one writer.
 * Open-file-description locks, so that they go with the descriptor and never stay behind.
 */
#ifndef DEVICES_BLOCK_FILE_LOCK_H
#define DEVICES_BLOCK_FILE_LOCK_H

#include <stdbool.h>

#include "vmm/err.h"

/*
 * Locks all of FD, which is open for writing when WRITE is set. When another process has it, a line
 * names PATH, and that process where it can be found. A file system without locks is warned about
 * and used. 0 or -errno, logged.
 */
int file_lock_take(int fd, const char *path, bool write) MUST_CHECK;

#endif
