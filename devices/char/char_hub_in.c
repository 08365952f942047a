/*
 * The console hub: what is typed, on its way to a port. On the loop's thread.
 */
#include <string.h>

#include "devices/char/char_hub_parts.h"

static void hub_key(struct char_hub *hub, enum terminal_key key)
{
	if (key == TERMINAL_KEY_QUIT && hub->options.quit)
		hub->options.quit(hub->options.opaque);
	if (key != TERMINAL_KEY_HELP)
		return;
	pthread_mutex_lock(&hub->lock);
	char_sink_put(&hub->sink, terminal_help, strlen(terminal_help));
	char_hub_flush(hub, loop_now_ns());
	pthread_mutex_unlock(&hub->lock);
}

/* Takes the monitor's keys out of what was typed. */
static void hub_filter(struct char_hub *hub)
{
	size_t pos = 0;
	size_t kept = 0;

	if (!hub->terminal.raw)
		return;
	while (pos < hub->in_end) {
		size_t len = hub->in_end - pos;
		size_t consumed;
		enum terminal_key key;

		key = terminal_keys_filter(&hub->keys, hub->in + pos, &len, &consumed);
		memmove(hub->in + kept, hub->in + pos, len);
		kept += len;
		pos += consumed;
		hub_key(hub, key);
	}
	hub->in_end = kept;
}

/* Fills the input buffer. False when there is nothing to go on with. */
static bool hub_read(struct char_hub *hub)
{
	int64_t len;

	if (hub->in_ended || hub->sink.in_fd < 0)
		return false;
	/* From the background a read would stop the process. */
	if (hub->terminal.fd >= 0 && !hub->terminal.raw)
		return false;
	len = char_sink_read(&hub->sink, hub->in, sizeof(hub->in));
	if (len == -EAGAIN || (len < 0 && hub->sink.drop_unread))
		return false;
	if (len <= 0) {
		/* The end of a script's input is no end of the machine; a terminal's is. */
		hub->in_ended = true;
		loop_event_del(hub->loop, &hub->in_event);
		if (hub->terminal.fd >= 0)
			char_hub_closed(hub);
		return false;
	}
	hub->in_start = 0;
	hub->in_end = (size_t)len;
	hub_filter(hub);
	return true;
}

/* Who gets what is typed: the port that is shown. A script's lines wait for the machine's console.
 */
static struct char_port *hub_input_port(struct char_hub *hub)
{
	bool serial;

	pthread_mutex_lock(&hub->lock);
	serial = !hub->options.virtio_console || (!hub->show.virtio_up && hub->terminal.raw);
	pthread_mutex_unlock(&hub->lock);
	return serial ? &hub->serial.port : &hub->virtio.port;
}

void char_hub_pump(struct char_hub *hub)
{
	for (;;) {
		size_t len = hub->in_end - hub->in_start;
		struct char_port *port;
		size_t taken = 0;

		if (len == 0) {
			if (!hub_read(hub))
				return;
			continue;
		}
		port = hub_input_port(hub);
		/* Set before it is offered: room may come the moment after it was refused. */
		__atomic_store_n(&hub->input_held, true, __ATOMIC_SEQ_CST);
		if (port->front_ops && port->front_ops->input)
			taken = port->front_ops->input(port->front, hub->in + hub->in_start, len);
		hub->in_start += taken;
		if (taken < len)
			return;
		__atomic_store_n(&hub->input_held, false, __ATOMIC_SEQ_CST);
	}
}
