/*
 * The fingerprint of a directory tree: it changes when anything in the tree does. Made from names
 * and what stat(2) tells, without opening a file, so that it costs a microsecond or two an entry.
 */
#ifndef VMM_IMAGE_TREE_H
#define VMM_IMAGE_TREE_H

#include <stdint.h>

#include "vmm/err.h"

struct tree_key {
	uint64_t word[2];
};

/* A random key keeps whoever makes a tree from choosing its fingerprint. */
struct tree_secret {
	uint64_t word[2];
};

struct tree_summary {
	struct tree_key key;
	uint64_t entry_count;
	int64_t newest_ns; /* CLOCK_REALTIME of the last change that any entry saw */
};

/*
 * Walks the tree below DIR, which is opened already; does not follow links, and goes into whatever
 * is mounted there. NAME is for messages. 0, or -errno, logged with the path that failed. Any
 * thread.
 */
int tree_summarize(int dir_fd, const char *name, const struct tree_secret *secret,
		   struct tree_summary *out) MUST_CHECK;

/* The path, below DIR, of a first file that this process may not read, on the heap; NULL: none. */
char *tree_find_unreadable(int dir_fd);

/* SipHash-2-4 of LEN bytes, for the test. */
uint64_t tree_hash(const struct tree_secret *secret, const void *data, unsigned len);

#endif
