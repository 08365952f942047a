/*
 * The parts of a container's run, one file each: container.c (the parent), container_lxc.c (the
 * child that hands everything to liblxc and waits there), container_cgroup.c (limits),
 * container_freeze.c (stopping one that runs, from outside), container_bridge.c and
 * container_pasta.c (networks), container_ids.c (user namespaces). Main thread of their process.
 */
#ifndef VMM_BOUNDARY_CONTAINER_H
#define VMM_BOUNDARY_CONTAINER_H

#include <stdbool.h>

#include "vmm/boundary/process.h"
#include "vmm/boundary/process_ids.h"
#include "vmm/boundary/process_root.h"
#include "vmm/boundary/state.h"
#include "vmm/config.h"

/* Names of the cgroup hierarchies that limits need; on the unified one all are the same directory.
 */
#define CONTAINER_CGROUPS_MAX 4

struct container_cgroup {
	bool wanted;  /* a limit was asked for: without cgroups it is an error */
	bool unified; /* all limits are on the unified hierarchy */
	unsigned dir_count;
	struct {
		const char *controllers; /* static; what is limited there */
		char path[400];
		bool made;
	} dirs[CONTAINER_CGROUPS_MAX];
	int unified_fd; /* for clone3; -1: none */
};

struct container_bridge {
	bool used;
	char address[20]; /* of the container */
	char veth[16];	  /* its host's end */
};

struct container {
	const struct config *config;
	struct process process;
	struct process_root root;
	struct process_ids ids;
	struct state_dir state;
	struct state_entry entry;
	struct container_cgroup cgroup;
	struct container_bridge bridge;
	pid_t pasta;
	int ids_fd; /* child waits here until it is mapped; -1: not in a user namespace */
};

/* The kind of network: the first --net, or none. */
enum config_net_kind container_net_kind(const struct config *config);

/*
 * container_lxc.c: runs in the child: mounts, configures, starts, waits until the container is
 * gone. The child's exit status; what failed has been sent.
 */
int container_lxc_run(struct container *container);

/*
 * container_cgroup.c. Plans which cgroups there shall be, and notes them in the entry; then makes
 * them. Limits that cannot be set here are an error, logged; that there are no cgroups for us is
 * none as long as no limit was asked for.
 */
int container_cgroup_plan(struct container *container) MUST_CHECK;
int container_cgroup_make(struct container *container) MUST_CHECK;
/* Puts the calling process there; not needed where unified_fd was given to clone3. */
int container_cgroup_enter(const struct container_cgroup *cgroup) MUST_CHECK;
/* Whether the kernel killed for the memory limit. */
bool container_cgroup_hit_memory_limit(const struct container_cgroup *cgroup);
/*
 * Stops or continues all processes in the control group PATH, and waits until that is so. 0, or
 * -errno: -ENOENT where it cannot be frozen, -ETIMEDOUT when a process does not stop.
 */
int container_cgroup_freeze(const char *path, bool frozen) MUST_CHECK;
/* Kills what is left in it and removes it. 0 or -errno. */
int container_cgroup_remove_path(const char *path);
void container_cgroup_remove(struct container_cgroup *cgroup);

/* container_freeze.c: freezes or thaws the container that runs by NAME. 0 or -errno, logged. */
int container_freeze(const char *name, bool frozen) MUST_CHECK;

/*
 * container_bridge.c. Plans the address and notes it in the entry, with the lock over all runs
 * held; then makes bridge, rules and published ports, under the same lock.
 */
int container_bridge_plan(struct container *container) MUST_CHECK;
int container_bridge_make(struct container *container) MUST_CHECK;
/* Takes away what an entry's TEXT names: the published ports, and bridge and rules when no other
 * entry has an address. Nothing when it names no address. */
void container_bridge_remove(const struct state_dir *state, const char *text);
/* The address of the host's end, as seen by containers. */
#define CONTAINER_BRIDGE_GATEWAY   "10.77.0.1"
#define CONTAINER_BRIDGE_BROADCAST "10.77.255.255"
#define CONTAINER_BRIDGE_PREFIX	   16
#define CONTAINER_BRIDGE_NAME	   "vmm0"

/* container_pasta.c: user-mode network for the namespaces of process PID. 0 or -errno, logged. */
int container_pasta_start(struct container *container, pid_t pid) MUST_CHECK;
/* The pipe by which it says that it is ready, in the state directory. */
void container_pasta_name_pipe(char name[64]);
/* Ends it and waits until it is gone; the container is gone already. */
void container_pasta_stop(struct container *container);

#endif
