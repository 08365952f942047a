/*
 * Which port is shown, and what of it. Under the console hub's lock, on the thread that writes: a
 * vCPU's for the serial line, the loop's for virtio-console.
 */
#include "devices/char/char_show.h"

#include <string.h>

#include "vmm/loop.h"

static void show_line(struct char_show *show, const struct char_line *from)
{
	char_tail_add(&show->tail, from);
	if (from == &show->serial && show->virtio_console)
		char_replay_remember(&show->replay, from);
}

/* Looks at what a port says. True when it contained the panic line for the first time. */
static bool scan(struct char_show *show, struct char_line *from, const uint8_t *data, size_t len,
		 bool shown)
{
	bool panic = false;

	for (size_t at = 0, part; at < len; at += part) {
		if (!char_line_take(from, data + at, len - at, &part))
			continue;
		if (shown)
			show_line(show, from);
		if (!show->panicked && char_line_is_panic(from)) {
			show->panicked = true;
			show->panic_port = from;
			panic = true;
		}
	}
	return panic;
}

bool char_show_is_serial(const struct char_show *show)
{
	return !show->virtio_console || !show->virtio_up;
}

/* hvc0 takes over: nothing is glued to an unfinished line of the serial port. */
static void take_over(struct char_show *show)
{
	show->virtio_up = true;
	if (show->serial.len > 0 && !show->serial.complete) {
		show_line(show, &show->serial);
		show->serial.complete = true;
		char_sink_put(show->sink, "\r\n", 2);
	}
	show->replay.over = show->replay.count == 0;
}

void char_show_release(struct char_show *show)
{
	char_sink_put(show->sink, show->held, show->held_len);
	show->held_len = 0;
}

/* One byte of hvc0 while the kernel may be repeating itself. True when a new panic line ended. */
static bool replay_byte(struct char_show *show, uint8_t byte)
{
	struct char_line *from = &show->virtio;
	bool panic = false;

	if (show->held_len == 0)
		show->held_since_ns = loop_now_ns();
	show->held[show->held_len++] = (char)byte;
	if (char_line_add(from, byte)) {
		if (char_replay_repeats(&show->replay, from)) {
			show->held_len = 0;
		} else {
			panic = !show->panicked && char_line_is_panic(from);
			show->panicked |= panic;
			if (panic)
				show->panic_port = from;
			show_line(show, from);
			char_show_release(show);
		}
	}
	if (show->held_len == sizeof(show->held))
		show->replay.over = true; /* nothing but CR: no kernel's log */
	if (show->replay.over)
		char_show_release(show);
	return panic;
}

/* True when what is held back finds room in the sink whenever it is released. */
static bool has_held_room(struct char_show *show)
{
	if (CHAR_SINK_ROOM - show->sink->len < 2 * sizeof(show->held))
		char_sink_flush(show->sink);
	return CHAR_SINK_ROOM - show->sink->len >= 2 * sizeof(show->held);
}

static size_t put(struct char_show *show, struct char_line *from, const uint8_t *data, size_t len,
		  bool *panic)
{
	size_t taken = char_sink_put(show->sink, data, len);

	*panic |= scan(show, from, data, taken, true);
	return taken;
}

size_t char_show_serial(struct char_show *show, const uint8_t *data, size_t len, bool *panic)
{
	if (char_show_is_serial(show))
		return put(show, &show->serial, data, len, panic);
	*panic |= scan(show, &show->serial, data, len, false);
	return len;
}

size_t char_show_virtio(struct char_show *show, const uint8_t *data, size_t len, bool *panic)
{
	size_t taken = 0;

	if (!show->virtio_console) {
		*panic |= scan(show, &show->virtio, data, len, false);
		return len;
	}
	if (!show->virtio_up && len > 0)
		take_over(show);
	while (taken < len && !show->replay.over && has_held_room(show))
		*panic |= replay_byte(show, data[taken++]);
	if (show->replay.over)
		taken += put(show, &show->virtio, data + taken, len - taken, panic);
	return taken;
}

void char_show_release_old(struct char_show *show, uint64_t now_ns, uint64_t wait_ns)
{
	if (show->held_len == 0 || now_ns - show->held_since_ns < wait_ns)
		return;
	show->replay.over = true;
	char_show_release(show);
}

void char_show_forget_panic(struct char_show *show)
{
	show->panicked = false;
	char_tail_forget_panic(&show->tail);
}

void char_show_reset(struct char_show *show)
{
	char_show_release(show);
	char_show_forget_panic(show);
	show->virtio_up = false;
	memset(&show->replay, 0, sizeof(show->replay));
	show->serial.complete = true;
	show->virtio.complete = true;
}

bool char_show_panic_is_last(const struct char_show *show)
{
	return show->panicked && show->panic_port->complete &&
	       char_line_ends_panic(show->panic_port);
}
