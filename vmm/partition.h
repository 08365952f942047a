/*
 * Finds the Linux root partition on a disk, so that root= need not be typed. UEFI 2.10 chapter 5
 * (GPT) and the classic MBR with extended partitions. Reads what a Linux guest would read: the
 * primary GPT only, behind a protective MBR.
 */
#ifndef VMM_PARTITION_H
#define VMM_PARTITION_H

#include <stdbool.h>
#include <stdint.h>

#include "vmm/err.h"

struct partition_root {
	bool has_table;	 /* the disk is divided; else it is one file system, or empty */
	unsigned number; /* as in /dev/vdaN; 0: no Linux partition in the table */
};

/*
 * Looks at the disk FD with sectors of SECTOR_LEN bytes (512 or 4096). MACHINE, as in uname -m,
 * chooses which root partition type counts most. A damaged table counts as none. 0 or -errno of
 * reading, not logged.
 */
int partition_find_root(int fd, uint32_t sector_len, const char *machine,
			struct partition_root *out) MUST_CHECK;

#endif
