/*
 * What a machine shall be, as a value: made from the command line and configuration files,
 * completed by config_finish, printed by --print-config. Pure: no descriptor is open and nothing
 * was asked of KVM.
 */
#ifndef VMM_CONFIG_H
#define VMM_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "arch/arch.h"
#include "vmm/err.h"
#include "vmm/loop.h"

#define CONFIG_DISKS_MAX   16
#define CONFIG_NETS_MAX	   8
#define CONFIG_PUBLISH_MAX 16
#define CONFIG_VOLUMES_MAX 12
#define CONFIG_WORDS_MAX   4096 /* of a command, or of its environment */

/* Limits of one device; 0: none. A name joins devices into one shared limit. */
struct config_limit {
	uint64_t bytes_per_s;
	uint64_t ops_per_s; /* requests, or packets */
	uint64_t burst_ms;
	char *group;
};

struct config_disk {
	char *path;
	char *id; /* serial number, at most 20 bytes; NULL: none */
	bool read_only;
	bool direct;
	bool overlay;
	unsigned queues; /* 1.. */
	struct config_limit limit;
};

enum config_net_kind {
	CONFIG_NET_NONE,
	CONFIG_NET_TAP,
	CONFIG_NET_FD,
	CONFIG_NET_USER,
	CONFIG_NET_HOST,   /* the host's own; stands alone */
	CONFIG_NET_BRIDGE, /* of the host, for containers; stands alone */
};

struct config_publish {
	char *host_addr; /* NULL: every address */
	uint16_t host_port;
	uint16_t guest_port;
	bool udp;
};

struct config_net {
	enum config_net_kind kind;
	char *tap; /* interface name */
	int fd;	   /* passed tap descriptor */
	bool vhost;
	bool has_mac;
	uint8_t mac[6];	 /* after config_finish always set */
	uint16_t mtu;	 /* 0: the back end's */
	unsigned queues; /* pairs */
	char *ip;	 /* for the kernel's own configuration: dhcp, or ADDR/PREFIX; NULL: none */
	char *gateway;	 /* with an address; NULL: none */
	struct config_limit limit;
};

/* What contains a command: see vmm/boundary/boundary.h. */
enum config_as {
	CONFIG_AS_PLAIN, /* no command: a machine that boots a kernel, its console the terminal's */
	CONFIG_AS_MACHINE,
	CONFIG_AS_CONTAINER,
	CONFIG_AS_HOST,
};

struct config_volume {
	char *source; /* on the host: a directory or an image */
	char *target; /* in the root: absolute, without "..", not "/" */
	bool read_only;
};

/* Whether memory that the guest frees goes back to the host; after config_finish not auto. */
enum config_balloon { CONFIG_BALLOON_AUTO, CONFIG_BALLOON_ON, CONFIG_BALLOON_OFF };
enum config_console { CONFIG_CONSOLE_VIRTIO, CONFIG_CONSOLE_SERIAL };
enum config_console_to { CONFIG_TO_TERMINAL, CONFIG_TO_FILE, CONFIG_TO_PTY, CONFIG_TO_NONE };
enum config_transport { CONFIG_TRANSPORT_PCI, CONFIG_TRANSPORT_MMIO };
enum config_on_reboot { CONFIG_REBOOT_RESET, CONFIG_REBOOT_EXIT };
enum config_on_panic { CONFIG_PANIC_EXIT, CONFIG_PANIC_RESET, CONFIG_PANIC_PAUSE };

struct config {
	char *kernel;	    /* path */
	char *initrd;	    /* path or NULL */
	char *cmdline;	    /* what the user gave, or NULL */
	char *cmdline_only; /* or NULL */
	char *cmdline_full; /* what the guest gets; config_finish */
	char *root;	    /* derived root=, or NULL */
	enum arch_entry entry;
	unsigned cpus;
	uint64_t memory_len; /* bytes */
	enum config_balloon balloon;
	bool cpus_given,
		memory_given; /* typed: for a container these are limits, else it has none */
	struct config_disk disks[CONFIG_DISKS_MAX];
	unsigned disk_count;
	struct config_net nets[CONFIG_NETS_MAX];
	unsigned net_count;
	bool net_given; /* a --net was typed: no default */
	struct config_publish publish[CONFIG_PUBLISH_MAX];
	unsigned publish_count;
	enum config_console console;
	enum config_console_to console_to;
	char *console_path;
	enum config_transport transport;
	enum config_on_reboot on_reboot;
	enum config_on_panic on_panic;
	uint64_t timeout_ms; /* 0: none */
	char *name;
	/* With --rootfs only. After config_finish `as` is not plain, the hostname is set, and each
	 * variable of ENV has its value. */
	enum config_as as;
	char *rootfs; /* directory, never changed */
	char *keep;   /* directory for what was written, or NULL: thrown away */
	struct config_volume volumes[CONFIG_VOLUMES_MAX];
	unsigned volume_count;
	char **env; /* NAME=VALUE, each name once; ends with NULL; NULL when there is none */
	unsigned env_count;
	char *workdir; /* absolute, or NULL: / */
	char *user;    /* NAME|UID[:GROUP|GID], or NULL: root */
	char *hostname;
	char **command; /* ends with NULL; NULL when there is none */
	unsigned command_count;
	enum loop_engine io_engine;
	unsigned io_threads; /* 0: the main loop does it all */
	unsigned poll_usec;
	char *stats; /* file for counts at the end, or NULL */
	bool verbose;
	bool print_config;
};

/* The defaults: all that needs no look at the host. Main thread, as is all below. */
void config_init(struct config *config);
/* Frees what the members point at, and makes CONFIG empty. */
void config_fini(struct config *config);

/*
 * Reads the words after "run". Errors are logged in one line that names the cure. 0, -EINVAL, or 1
 * when help was asked for and printed.
 */
int config_parse(struct config *config, int argc, char **argv) MUST_CHECK;

/*
 * Fills in what follows from the rest: kernel path, root= (reading a partition table on the first
 * disk), console=, MACs, default network, the full command line. Reads files, opens no device. 0 or
 * -errno, logged.
 */
int config_finish(struct config *config) MUST_CHECK;

/*
 * The guest's command line with BOARD_WORDS (NULL: none) after the derived words and before the
 * user's text, so that what was typed wins; with --cmdline-only just that text. On the heap, NULL
 * when memory is short. After config_finish, whose cmdline_full is the same without BOARD_WORDS.
 */
char *config_cmdline(const struct config *config, const char *board_words) MUST_CHECK;

/* Whether the machine has a PCI host: --transport pci, and a device that would sit on it. */
bool config_has_pci(const struct config *config);

/* The whole effective configuration as JSON on stdout; can be fed back by --config. */
int config_print(const struct config *config) MUST_CHECK;

#endif
