/*
 * Users and groups by name, looked up in the files of a root directory: never through the name
 * service of the host, whose answers are not that root's. Used by the child that becomes a command,
 * on the host and within a container; needs nothing but libc.
 */
#ifndef VMM_BOUNDARY_PROCESS_USER_H
#define VMM_BOUNDARY_PROCESS_USER_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define PROCESS_GROUPS_MAX 64

struct process_user {
	uid_t uid;
	gid_t gid;
	gid_t groups[PROCESS_GROUPS_MAX]; /* gid first, then those that list the user */
	size_t group_count;
	char home[256]; /* "/" when the root knows none */
};

/*
 * Reads WHO (USER[:GROUP], names or numbers; NULL or empty: root) with the texts of the root's
 * /etc/passwd and /etc/group, of which either may be empty. A number need not be listed. False when
 * a name is not found. Pure.
 */
bool process_user_find(struct process_user *user, const char *who, const char *passwd,
		       size_t passwd_len, const char *group, size_t group_len);

/* The same with the files of the calling process's root. False as above, or when they are too long.
 */
bool process_user_look_up(struct process_user *user, const char *who);

#endif
