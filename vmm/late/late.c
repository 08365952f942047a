/*
 * Opening a library on first use.
 */
#include "vmm/late/late.h"

#include <dlfcn.h>
#include <unistd.h>

#include "vmm/log.h"

#define EXIT_STATUS_LACKS 125 /* as for everything that is the host's fault */

static void *late_handle(struct late_library *library)
{
	void *handle = __atomic_load_n(&library->handle, __ATOMIC_ACQUIRE);

	if (!handle) {
		/* Opened twice by two threads, it is the same. */
		handle = dlopen(library->soname, RTLD_NOW | RTLD_LOCAL);
		__atomic_store_n(&library->handle, handle, __ATOMIC_RELEASE);
	}
	return handle;
}

void late_open(struct late_library *library)
{
	(void)late_handle(library);
}

void *late_symbol(struct late_library *library, const char *name)
{
	void *handle = late_handle(library);
	void *symbol = handle ? dlsym(handle, name) : NULL;

	if (!symbol) {
		log_hold(NULL); /* now or never */
		log_err("%s; install the package %s", dlerror(), library->package);
		_exit(EXIT_STATUS_LACKS);
	}
	return symbol;
}
