/*
 * What every file needs to handle failure: the must-check marker, scoped cleanup, and a few
 * helpers.
 *
 * Convention: functions return 0 or a positive result, or -errno. The function that knows the name
 * of the failing thing logs it once (see vmm/log.h); its callers only unwind.
 */
#ifndef VMM_ERR_H
#define VMM_ERR_H

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

#define MUST_CHECK			__attribute__((warn_unused_result))
#define PRINTF_LIKE(f, a)		__attribute__((format(printf, f, a)))

#define ARRAY_SIZE(a)			(sizeof(a) / sizeof((a)[0]))

#define container_of(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

static inline void err_cleanup_close(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

static inline void err_cleanup_free(void *ptr)
{
	free(*(void **)ptr);
}

/* A descriptor closed when it goes out of scope; set it to -1 to hand it over. */
#define auto_close __attribute__((cleanup(err_cleanup_close)))
/* Heap memory freed when it goes out of scope; set it to NULL to hand it over. */
#define auto_free __attribute__((cleanup(err_cleanup_free)))

#endif
