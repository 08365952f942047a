/*
 * The monitor's end of the relay (vmm/guest/relay.h): the ports of a command that runs in a
 * machine.
 *
 * The streams run by themselves (devices/char/char_stream.h). The control port carries signals and
 * the terminal's size to the guest, and how the command ended from it. That word comes when the
 * guest has handed all output over; the machine ends when the host has taken it, however long that
 * takes. The guest is not trusted: what breaks the protocol ends the machine.
 *
 * Main thread: create, destroy; all else is the main loop's.
 */
#include "vmm/boundary/relay.h"

#include <signal.h>
#include <string.h>

#include "devices/char/char_stream.h"
#include "devices/char/terminal.h"
#include "vmm/guest/keep.h"
#include "vmm/guest/relay.h"
#include "vmm/guest/relay_parse.h"
#include "vmm/log.h"

/* Messages that wait for the guest; what has no room is dropped: nobody needs a hundred signals. */
#define WAITING_LEN 512
/* How soon it is looked again whether all output is out, where nothing tells. */
#define DRAIN_NS    2000000ull
#define STREAMS_MAX 4

struct relay {
	struct run_owner owner;
	struct relay_options options;
	struct terminal terminal;
	struct loop *loop; /* these three borrowed, from attach to detach */
	struct end *end;
	struct timeline *timeline;
	struct char_port control;
	struct relay_parser parser;
	uint8_t waiting[WAITING_LEN];
	size_t waiting_len;
	struct char_stream *streams[STREAMS_MAX];
	unsigned stream_count;
	struct loop_timer drain_timer;
	bool started; /* the command was */
	bool exiting; /* it has ended with STATUS */
	int status;
};

/* ---- to the guest ---- */

static void relay_send_waiting(struct relay *relay)
{
	const struct char_front_ops *front = relay->control.front_ops;
	size_t taken;

	if (relay->waiting_len == 0 || !front)
		return;
	taken = front->input(relay->control.front, relay->waiting, relay->waiting_len);
	relay->waiting_len -= taken;
	memmove(relay->waiting, relay->waiting + taken, relay->waiting_len);
}

static void relay_send(struct relay *relay, uint8_t type, const uint8_t *payload, size_t len)
{
	uint8_t message[RELAY_MESSAGE_MAX];
	size_t message_len = relay_encode(message, type, payload, len);

	if (message_len > sizeof(relay->waiting) - relay->waiting_len)
		return;
	memcpy(relay->waiting + relay->waiting_len, message, message_len);
	relay->waiting_len += message_len;
	relay_send_waiting(relay);
}

static void relay_send_size(struct relay *relay)
{
	uint8_t payload[4];
	uint16_t columns, rows;

	if (!relay_get_size(relay, &columns, &rows))
		return;
	relay_put16(payload, columns);
	relay_put16(payload + 2, rows);
	relay_send(relay, RELAY_RESIZE, payload, sizeof(payload));
}

static bool relay_on_signal(void *opaque, int signal)
{
	struct relay *relay = opaque;
	uint8_t payload[4];

	if (signal == SIGWINCH) {
		relay_send_size(relay);
	} else if (signal == SIGCONT) {
		if (relay->options.terminal)
			terminal_enter_raw(&relay->terminal);
		relay_send_size(relay);
	} else {
		relay_put32(payload, (uint32_t)signal);
		relay_send(relay, RELAY_SIGNAL, payload, sizeof(payload));
	}
	return true;
}

/* ---- from the guest ---- */

/* Ends the machine once the host has taken all output. */
static void relay_try_end(struct relay *relay)
{
	bool drained = true;

	if (!relay->exiting || end_said(relay->end))
		return;
	for (unsigned i = 0; i < relay->stream_count; i++)
		drained &= char_stream_drain(relay->streams[i]);
	if (drained)
		end_say(relay->end, END_STATUS, relay->status);
	else
		loop_timer_arm(relay->loop, &relay->drain_timer, loop_now_ns() + DRAIN_NS);
}

static void relay_on_timer(struct loop_timer *timer)
{
	relay_try_end(container_of(timer, struct relay, drain_timer));
}

static void relay_on_idle(void *opaque)
{
	relay_try_end(opaque);
}

static void relay_on_ready(struct relay *relay)
{
	relay->started = true;
	timeline_mark(relay->timeline, "the command starts");
	timeline_log(relay->timeline);
	relay_send_size(relay);
}

static void relay_on_exit(struct relay *relay, const uint8_t *payload)
{
	if (relay->exiting)
		return;
	relay->status = (int)relay_get32(payload);
	if (relay_get32(payload + 4) & RELAY_EXIT_OUT_OF_MEMORY)
		log_err("the command was killed: the machine's %llu MiB of memory are too little; "
			"give it more by --memory",
			(unsigned long long)relay->options.memory_len >> 20);
	relay->exiting = true;
	relay_try_end(relay);
}

static void relay_on_message(struct relay *relay, const struct relay_message *message)
{
	switch (message->type) {
	case RELAY_READY:
		relay_on_ready(relay);
		break;
	case RELAY_EXIT:
		relay_on_exit(relay, message->payload);
		break;
	case RELAY_FAILED:
		if (!end_said(relay->end))
			log_err("the machine cannot run the command: %.*s", (int)message->len,
				(const char *)message->payload);
		end_say(relay->end, END_STATUS, EXIT_STATUS_HOST);
		break;
	default:
		break;
	}
}

/* Always takes everything: what a guest may say is little. */
static size_t control_write(struct char_port *port, const uint8_t *data, size_t len)
{
	struct relay *relay = container_of(port, struct relay, control);
	struct relay_message message;
	size_t done = 0, used;
	int ret;

	if (relay->parser.broken)
		return len;
	do {
		ret = relay_parse(&relay->parser, data + done, len - done, &used, &message);
		done += used;
		if (ret > 0)
			relay_on_message(relay, &message);
	} while (ret > 0);
	if (ret < 0) {
		log_err("what the machine's guest-init says makes no sense: it is not trusted any "
			"more");
		end_say(relay->end, END_STATUS, EXIT_STATUS_HOST);
	}
	return len;
}

static void control_input_ready(struct char_port *port)
{
	relay_send_waiting(container_of(port, struct relay, control));
}

static const struct char_port_ops control_ops = {
	.write = control_write,
	.input_ready = control_input_ready,
};

/* ---- the machine's owner ---- */

static int relay_attach(void *opaque, struct loop *loop, struct end *end, struct timeline *timeline)
{
	struct relay *relay = opaque;
	int ret = 0;

	relay->loop = loop;
	relay->end = end;
	relay->timeline = timeline;
	for (unsigned i = 0; ret == 0 && i < relay->stream_count; i++)
		ret = char_stream_attach(relay->streams[i], loop);
	return ret;
}

static void relay_close_streams(struct relay *relay)
{
	while (relay->stream_count)
		char_stream_destroy(relay->streams[--relay->stream_count]);
	relay->owner.ports.count = 0;
}

static void relay_detach(void *opaque)
{
	struct relay *relay = opaque;

	relay_close_streams(relay);
	loop_timer_disarm(relay->loop, &relay->drain_timer);
	terminal_restore(&relay->terminal);
}

/* The guest was switched off, or its kernel reset it, before guest-init spoke. */
static int relay_on_ended(void *opaque)
{
	struct relay *relay = opaque;

	if (relay->exiting)
		return relay->status;
	log_err("the machine was switched off before the command ended");
	return EXIT_STATUS_HOST;
}

/* ---- life ---- */

static void relay_add_port(struct relay *relay, const char *name, struct char_port *port,
			   uint16_t in_size)
{
	struct machine_ports *ports = &relay->owner.ports;

	ports->port[ports->count++] =
		(struct machine_port){ .name = name, .port = port, .in_size = in_size };
}

/* A guest's Linux keeps IN_SIZE pages for input. */
static int relay_add_stream(struct relay *relay, const char *name, int in_fd, int out_fd,
			    uint16_t in_size)
{
	struct char_stream_options options = {
		.name = strchr(name, '.') + 1,
		.in_fd = in_fd,
		.out_fd = out_fd,
		.idle = relay_on_idle,
		.opaque = relay,
	};
	struct char_stream *stream;
	int ret = char_stream_create(&stream, &options);

	if (ret < 0)
		return ret;
	relay->streams[relay->stream_count++] = stream;
	relay_add_port(relay, name, char_stream_port(stream), in_size);
	return 0;
}

static int relay_open(struct relay *relay)
{
	const struct relay_options *options = &relay->options;
	int ret = 0;

	relay_add_port(relay, RELAY_PORT_CONTROL, &relay->control, 8);
	if (options->keeps)
		ret = relay_add_stream(relay, KEEP_PORT, -1, options->keep_fd, 2);
	if (ret < 0)
		return ret;
	if (options->terminal) {
		terminal_init(&relay->terminal, options->in_fd);
		ret = relay_add_stream(relay, RELAY_PORT_TTY, options->in_fd, options->out_fd, 8);
		if (ret == 0)
			terminal_enter_raw(&relay->terminal);
		return ret;
	}
	ret = relay_add_stream(relay, RELAY_PORT_STDIN, options->in_fd, -1, 32);
	if (ret == 0)
		ret = relay_add_stream(relay, RELAY_PORT_STDOUT, -1, options->out_fd, 2);
	if (ret == 0)
		ret = relay_add_stream(relay, RELAY_PORT_STDERR, -1, options->err_fd, 2);
	return ret;
}

int relay_create(struct relay **out, const struct relay_options *options)
{
	struct relay *relay = calloc(1, sizeof(*relay));
	int ret;

	if (!relay)
		return log_errno(ENOMEM, "set up the command's streams");
	relay->options = *options;
	relay->terminal = (struct terminal){ .fd = -1, .guardian_fd = -1 };
	relay->control.ops = &control_ops;
	relay->drain_timer.fn = relay_on_timer;
	relay_parser_init(&relay->parser, RELAY_TO_MONITOR);
	relay->owner = (struct run_owner){
		.attach = relay_attach,
		.detach = relay_detach,
		.signal = relay_on_signal,
		.ended = relay_on_ended,
		.opaque = relay,
	};
	ret = relay_open(relay);
	if (ret < 0) {
		relay_destroy(relay);
		return ret;
	}
	*out = relay;
	return 0;
}

void relay_destroy(struct relay *relay)
{
	if (!relay)
		return;
	relay_close_streams(relay);
	terminal_restore(&relay->terminal);
	terminal_fini(&relay->terminal);
	free(relay);
}

const struct run_owner *relay_owner(struct relay *relay)
{
	return &relay->owner;
}

bool relay_has_started(const struct relay *relay)
{
	return relay->started;
}

bool relay_get_size(struct relay *relay, uint16_t *columns, uint16_t *rows)
{
	return relay->options.terminal && terminal_get_size(&relay->terminal, columns, rows);
}
