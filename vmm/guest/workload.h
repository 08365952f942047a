/*
 * What a machine runs, and what guest-init prepares for it: the file WORKLOAD_PATH of the
 * initramfs, written by the monitor, read by guest-init. Only libc; shared by both.
 *
 * The file is a sequence of records, each a text that ends with a NUL: first WORKLOAD_MAGIC, then
 * KEY=VALUE, last "end". A list is its KEY as often as it has items, in order. The reader takes
 * nothing that the writer does not write: see workload.c for the keys.
 */
#ifndef VMM_GUEST_WORKLOAD_H
#define VMM_GUEST_WORKLOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define WORKLOAD_PATH	     "/vmm/workload"
#define WORKLOAD_MAGIC	     "vmm-workload 1"
#define WORKLOAD_LEN_MAX     (4u << 20)
#define WORKLOAD_MODULES_MAX 64
#define WORKLOAD_VOLUMES_MAX 16
#define WORKLOAD_GROUPS_MAX  64
#define WORKLOAD_NETS_MAX    8
#define WORKLOAD_WORDS_MAX   8192 /* of the command, or of its environment */

/* A disk that is mounted below the root. */
struct workload_volume {
	char *device; /* vdb: a name in /dev */
	char *type;   /* of its file system: ext4, erofs */
	char *target; /* in the root: absolute, without ".." */
	bool read_only;
};

/* A network card, by its place. */
struct workload_net {
	char *ip; /* dhcp, ADDRESS/LENGTH, or NULL: only up */
	char *gateway;
};

struct workload {
	char **argv; /* ended by NULL; the command is looked for in the PATH of envp */
	char **envp; /* ended by NULL */
	char *cwd;
	uid_t uid;
	gid_t gid;
	gid_t groups[WORKLOAD_GROUPS_MAX];
	unsigned group_count;
	bool terminal; /* one port behind a pseudo-terminal instead of three streams */
	uint16_t columns;
	uint16_t rows;
	/* What comes before it. */
	char *modules[WORKLOAD_MODULES_MAX]; /* files in the initramfs, in order */
	unsigned module_count;
	char *root; /* vda: a name in /dev, of an erofs image */
	struct workload_volume volumes[WORKLOAD_VOLUMES_MAX];
	unsigned volume_count;
	bool keep;	   /* what is written is wanted at the end */
	char *keep_device; /* vdc, of an erofs image of what earlier runs wrote; NULL: nothing */
	struct workload_net nets[WORKLOAD_NETS_MAX];
	unsigned net_count;
	char *hostname;
};

/*
 * Reads LEN bytes at TEXT, which must live as long as the strings are used; argv and envp are on
 * the heap, for workload_fini. False when anything is not as it should be: *WHY says what (static).
 */
bool workload_parse(struct workload *workload, char *text, size_t len, const char **why);
void workload_fini(struct workload *workload);

#endif
