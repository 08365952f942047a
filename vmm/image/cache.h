/*
 * The directory of cached images: files by key, made once, evicted when there are too many. Inner
 * header of vmm/image. Main thread.
 */
#ifndef VMM_IMAGE_CACHE_H
#define VMM_IMAGE_CACHE_H

#include <stdbool.h>
#include <stdint.h>

#include "vmm/err.h"
#include "vmm/image/tree.h"

struct cache {
	int dir_fd;
	char *path;
	struct tree_secret secret;
};

/* Opens $XDG_CACHE_HOME/vmm/images, or that in ~/.cache, or /var/cache for root without a home;
 * makes it when it is not there. 0 or -errno, logged. */
int cache_open(struct cache *cache) MUST_CHECK;
void cache_close(struct cache *cache);

/* The file of KEY, locked against eviction and marked as used now; -ENOENT, or -errno, not logged.
 */
int cache_lookup(struct cache *cache, const char *key) MUST_CHECK;

/* A file that is being made under KEY. */
struct cache_entry {
	int fd;		/* locked: nobody else makes it */
	char name[64];	/* in the cache's directory */
	char final[64]; /* what it will be called */
};

/*
 * Begins the file of KEY, waiting for whoever makes it already. 0; 1 when it was made meanwhile,
 * and *READY_FD is it; or -errno, logged. Then cache_commit or cache_abort.
 */
int cache_begin(struct cache *cache, const char *key, struct cache_entry *entry,
		int *ready_fd) MUST_CHECK;
/* Gives it its name; the result is as of cache_lookup. */
int cache_commit(struct cache *cache, struct cache_entry *entry) MUST_CHECK;
void cache_abort(struct cache *cache, struct cache_entry *entry);

/* Removes what is too much, and what killed processes left behind. */
void cache_evict(struct cache *cache, unsigned count_max, uint64_t len_max);

#endif
