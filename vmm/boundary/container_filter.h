/*
 * The system calls that a container may make, as a seccomp filter (seccomp(2), filter mode). Made
 * by the container's init from a table, in some ten microseconds: having libseccomp compile a
 * profile at every start costs as much as the rest of a container. Needs nothing but libc.
 */
#ifndef VMM_BOUNDARY_CONTAINER_FILTER_H
#define VMM_BOUNDARY_CONTAINER_FILTER_H

#include <linux/filter.h>
#include <stddef.h>

#define CONTAINER_FILTER_MAX 192

/*
 * Writes the program to CODE, which has room for CONTAINER_FILTER_MAX instructions, and returns
 * their number. What it does: calls of another architecture and those newer than this program end
 * with ENOSYS, so that programs fall back; those that reach beyond the container end with EPERM, as
 * do clone for new namespaces and typing into the terminal; the rest is allowed.
 */
size_t container_filter_build(struct sock_filter *code);

/* Installs it for the calling process and its children. 0 or -errno. */
int container_filter_install(void);

#endif
