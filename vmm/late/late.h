/*
 * Shared libraries that are opened when one of their functions is first called, not at the start:
 * the dynamic linker takes 0.05 ms for each, and most machines need none of them. A file of this
 * room defines, under the library's own names, functions that hand on to the library's, so that
 * callers include the library's header and know nothing of it. Any thread.
 */
#ifndef VMM_LATE_LATE_H
#define VMM_LATE_LATE_H

struct late_library {
	const char *soname;
	const char *package; /* Debian's, for who lacks it */
	void *handle;	     /* set once, atomically */
};

/* The function NAME of LIBRARY. Without it there is no going on: says so, and exits with 125. */
void *late_symbol(struct late_library *library, const char *name);

/* Opens LIBRARY beside other work, before it is needed. Whether it is there is told by the first
 * call. */
void late_open(struct late_library *library);
/* The same for libelf. */
void late_elf_open(void);
/* Ends the program at once where jansson is missing, instead of when there is something to write.
 */
void late_jansson_open(void);

/* Defines NAME with PARAMETERS, which calls LIBRARY's with ARGUMENTS. */
#define LATE(library, result, name, parameters, arguments)                                         \
	result name parameters                                                                     \
	{                                                                                          \
		static __typeof__(&name) found;                                                    \
		__typeof__(&name) function = __atomic_load_n(&found, __ATOMIC_RELAXED);            \
                                                                                                   \
		if (!function) {                                                                   \
			function = (__typeof__(&name))late_symbol(&(library), #name);              \
			__atomic_store_n(&found, function, __ATOMIC_RELAXED);                      \
		}                                                                                  \
		return function arguments;                                                         \
	}

#endif
