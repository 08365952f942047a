/*
 * The board: which devices a machine has, and the host side of each. Main thread.
 *
 * Two halves with different lives. `struct machine_host` holds what the host lends: disk files,
 * network back ends, the console. It is opened once. `struct machine` is the virtual hardware,
 * built on it for each boot: a reset destroys it and builds a new one, so that nothing of the old
 * boot can be left.
 */
#ifndef VMM_MACHINE_H
#define VMM_MACHINE_H

#include <stdbool.h>
#include <stdint.h>

#include "vmm/config.h"
#include "vmm/end.h"
#include "vmm/io_threads.h"
#include "vmm/timeline.h"

/* What a running machine tells its owner; any thread. */
struct machine_events {
	void (*panicked)(void *opaque);	     /* pvpanic */
	void (*console_panic)(void *opaque); /* a panic line was seen on a console */
	void (*quit)(void *opaque);	     /* the person asked at the console to end */
	void (*hangup)(void *opaque);	     /* the terminal is gone */
	void *opaque;
};

struct char_port;

/* A port of the console device beside hvc0, by which a machine's owner talks with its guest. */
struct machine_port {
	const char *name;	/* in the guest: /sys/class/virtio-ports/... */
	struct char_port *port; /* borrowed, on the main loop */
	uint16_t in_size;	/* buffers that the guest keeps for input; a power of two */
};

#define MACHINE_PORTS_MAX 5

struct machine_ports {
	struct machine_port port[MACHINE_PORTS_MAX];
	unsigned count;
};

struct beside;
struct kvm_host;
struct machine_host;
struct machine;

/* Opens every back end that CONFIG names, on the loops of IO. All arguments are borrowed; PORTS may
 * be NULL. 0 or -errno, logged. */
int machine_host_open(struct machine_host **out, const struct config *config, struct io_threads *io,
		      const struct machine_events *events,
		      const struct machine_ports *ports) MUST_CHECK;
void machine_host_close(struct machine_host *host);
/* See char_hub_panic_is_last and char_hub_forget_panic. Main loop. */
bool machine_host_panic_is_last(struct machine_host *host);
void machine_host_forget_panic(struct machine_host *host);
/* Writes out what the console holds and ends raw mode, for the last messages. Main thread. */
void machine_host_restore_terminal(struct machine_host *host);
/*
 * The console's last lines on FD, for a report; nothing when FD is the terminal on which they were
 * just shown. The terminal was restored. Loops stopped.
 */
void machine_host_print_last_lines(struct machine_host *host, int fd);
/* The terminal's window has changed. Main loop. */
void machine_host_terminal_resized(struct machine_host *host);
/* The process was stopped and goes on: the terminal is taken again. Main loop. */
void machine_host_continued(struct machine_host *host);

/* What a machine is built on; all is borrowed. */
struct machine_base {
	struct kvm_host *kvm;
	struct beside *beside;
	struct machine_host *host;
	struct io_threads *io;
	struct end *end;
	struct timeline *timeline;
};

/* Builds the hardware, loads the kernel, creates the vCPUs. 0 or -errno, logged. */
int machine_create(struct machine **out, const struct config *config,
		   const struct machine_base *base) MUST_CHECK;
/* The loops and vCPUs must be stopped. NULL is allowed. */
void machine_destroy(struct machine *machine);

/* Starts the vCPUs. 0 or -errno, logged. */
int machine_start(struct machine *machine) MUST_CHECK;
/* Takes every vCPU out of the guest and joins it. */
void machine_stop(struct machine *machine);
/* Any thread. */
void machine_press_power_button(struct machine *machine);
/* Shows counts at debug level and writes them to FD (-1: nowhere) as --stats does; after
 * machine_stop, loops stopped. 0 or -errno, logged. */
int machine_write_statistics(struct machine *machine, int fd) MUST_CHECK;

#endif
