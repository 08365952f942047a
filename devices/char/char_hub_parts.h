/*
 * Between the files of the console hub; nobody else includes it.
 */
#ifndef DEVICES_CHAR_CHAR_HUB_PARTS_H
#define DEVICES_CHAR_CHAR_HUB_PARTS_H

#include <pthread.h>

#include "devices/char/char_hub.h"
#include "devices/char/char_show.h"
#include "devices/char/char_sink.h"
#include "devices/char/terminal.h"

#define CHAR_HUB_INPUT_ROOM 4096

struct hub_port {
	struct char_port port; /* first: ops get this */
	struct char_hub *hub;
	bool blocked; /* took less than offered: writable is owed */
};

struct char_hub {
	struct char_hub_options options;
	pthread_mutex_t lock;
	struct loop *loop; /* NULL until attached */
	struct char_sink sink;
	struct terminal terminal;
	struct terminal_keys keys;
	struct hub_port serial;
	struct hub_port virtio;

	struct char_show show;
	bool closed_said;

	struct loop_event in_event;
	struct loop_event out_event;
	struct loop_event kick_event;
	int kick_fd;
	bool kicked;
	bool in_added;
	bool out_added;
	bool in_ended;
	struct loop_deferred flush;
	struct loop_timer timer;
	bool timer_armed;
	uint64_t flushed_ns;

	/* Input, the loop's thread only, but for input_held. */
	uint8_t in[CHAR_HUB_INPUT_ROOM];
	size_t in_start;
	size_t in_end;
	bool input_held; /* atomic: bytes wait for char_input_ready */
};

/* Writes what the sink holds; hub->lock is held. Any thread. */
void char_hub_flush(struct char_hub *hub, uint64_t now_ns);
/* The terminal is gone: says so, once. Loop thread. */
void char_hub_closed(struct char_hub *hub);
/* Offers to the port that is shown what was typed, until it takes no more. Loop thread. */
void char_hub_pump(struct char_hub *hub);

#endif
