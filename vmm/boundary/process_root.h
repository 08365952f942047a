/*
 * The root that a command sees on this kernel: an overlay over the directory, which is never
 * changed, with the volumes on it, in a mount namespace of its own. What is written goes to a tmpfs
 * that vanishes with that namespace, or to --keep's directory. Shared by container and host.
 */
#ifndef VMM_BOUNDARY_PROCESS_ROOT_H
#define VMM_BOUNDARY_PROCESS_ROOT_H

#include <limits.h>
#include <stdbool.h>

#include "vmm/config.h"
#include "vmm/err.h"

struct process_root {
	const struct config *config;
	char base[PATH_MAX]; /* where the tmpfs goes, in the namespace only: an existing directory
			      */
	char path[PATH_MAX]; /* of the root, once it is mounted */
	int rootfs_fd;
	int keep_fd;		  /* -1: writes are thrown away */
	char work_name[NAME_MAX]; /* --keep: the overlay's own directory, beside it */
	int keep_parent_fd;
	int keep_lock_fd; /* nobody else uses it */
	int volume_fds[CONFIG_VOLUMES_MAX];
	/* For the caller to change after process_root_open. */
	bool confined; /* devices in the root are none (false) */
	char mark[40]; /* the overlay's name in mountinfo ("vmm") */
};

/* Refuses volumes that are no directories here. 0 or -EINVAL, logged. */
int process_root_refuse(const struct config *config) MUST_CHECK;

/*
 * Opens all directories that CONFIG (borrowed) names, as they are seen by the calling process; BASE
 * is an existing directory that nothing needs meanwhile. 0 or -errno, logged; process_root_close in
 * either case.
 */
int process_root_open(struct process_root *root, const struct config *config,
		      const char *base) MUST_CHECK;
void process_root_close(struct process_root *root);

/* To be put into /etc. */
struct process_root_file {
	const char *name, *text;
};

/*
 * In a child with a new mount namespace: makes that private and mounts the root at root->path.
 * IN_USER_NS: the mount namespace belongs to a user namespace of ours. COUNT FILES are put over
 * those of the root's /etc or in the place of nothing; failing that is no error, but logged at
 * debug level. 0 or -errno; logged.
 */
int process_root_mount(struct process_root *root, bool in_user_ns,
		       const struct process_root_file *files, size_t count) MUST_CHECK;

/* Binds the directories and devices of the host at the same place of the root. 0 or -errno. */
int process_root_bind_host(const struct process_root *root) MUST_CHECK;

/* Binds the host's directory PATH at the same place of the root, with all below it read-only. 0 or
 * -errno, logged. */
int process_root_bind_read_only(const struct process_root *root, const char *path) MUST_CHECK;

/* In the child, covers the host's directory PATH with itself, read-only. 0 or -errno, logged. */
int process_root_protect(const char *path) MUST_CHECK;

/* The host's name servers, as text for a file "resolv.conf"; false when it has none. */
bool process_root_read_resolv_conf(char *text, size_t len);

#endif
