/*
 * The console hub: the way of the ports' bytes to the host. Which of them are shown is
 * char_show.c's, the way back char_hub_in.c's.
 *
 * Threads: the serial port writes on vCPU threads, all else is the loop's. One lock guards the hub;
 * it is a leaf: a device writes with its own lock held, so front ends are called without the hub's.
 *
 * Output goes into the sink's buffer. virtio-console's is written once at the end of the loop's
 * round. The serial line's comes a byte at a time on a vCPU thread: it is written there at a line's
 * end, or when nothing was written for a moment (so that echo is prompt); a timer on the loop
 * writes out what a line without an end leaves. During a burst the timer stays armed, so that no
 * byte costs a wake-up of the loop.
 */
#include "devices/char/char_hub.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include "devices/char/char_hub_parts.h"
#include "vmm/log.h"

#define PROMPT_NS	 4000000ull  /* serial output after a pause this long goes out at once */
#define TAIL_FLUSH_NS	 10000000ull /* the rest of a line waits this long at most */
#define REPLAY_WAIT_NS	 50000000ull /* a line without an end is not part of a replay */
#define SERIAL_BATCH_LEN 4096

static void hub_wake(struct char_hub *hub)
{
	static const uint64_t one = 1;

	if (hub->kick_fd >= 0 && write(hub->kick_fd, &one, sizeof(one)) < 0) {
		/* Full: it is ringing already. */
	}
}

/* ---- output, hub->lock held ---- */

/* Work is left for the loop: a timer to arm, a front end to tell, a closed terminal to report. */
static void hub_need_loop(struct char_hub *hub)
{
	if (hub->kicked)
		return;
	hub->kicked = true;
	hub_wake(hub);
}

void char_hub_flush(struct char_hub *hub, uint64_t now_ns)
{
	char_sink_flush(&hub->sink);
	hub->flushed_ns = now_ns;
	if (hub->sink.gone && !hub->closed_said)
		hub_need_loop(hub);
}

/* The port took less than it was offered: where EPOLLOUT does not tell of room, the timer looks. */
static void hub_note_blocked(struct char_hub *hub, struct hub_port *from, bool blocked)
{
	from->blocked = blocked;
	if (blocked && !hub->sink.out_pollable)
		hub_need_loop(hub);
}

static void hub_panic(struct char_hub *hub)
{
	if (hub->options.panicked)
		hub->options.panicked(hub->options.opaque);
}

static size_t serial_write(struct char_port *port, const uint8_t *data, size_t len)
{
	struct hub_port *from = (struct hub_port *)port;
	struct char_hub *hub = from->hub;
	bool panic = false;
	size_t taken;

	pthread_mutex_lock(&hub->lock);
	taken = char_show_serial(&hub->show, data, len, &panic);
	if (char_show_is_serial(&hub->show)) {
		uint64_t now_ns = loop_now_ns();

		hub_note_blocked(hub, from, taken < len);
		if (memchr(data, '\n', taken) || hub->sink.len >= SERIAL_BATCH_LEN ||
		    now_ns - hub->flushed_ns >= PROMPT_NS)
			char_hub_flush(hub, now_ns);
		else if (!hub->timer_armed)
			hub_need_loop(hub);
	}
	pthread_mutex_unlock(&hub->lock);
	if (panic)
		hub_panic(hub);
	return taken;
}

static size_t virtio_write(struct char_port *port, const uint8_t *data, size_t len)
{
	struct hub_port *from = (struct hub_port *)port;
	struct char_hub *hub = from->hub;
	bool panic = false;
	size_t taken;

	pthread_mutex_lock(&hub->lock);
	taken = char_show_virtio(&hub->show, data, len, &panic);
	if (hub->options.virtio_console) {
		hub_note_blocked(hub, from, taken < len);
		if (hub->show.held_len > 0 && !hub->timer_armed)
			hub_need_loop(hub);
		if (hub->loop)
			loop_defer(hub->loop, &hub->flush);
	}
	pthread_mutex_unlock(&hub->lock);
	if (panic)
		hub_panic(hub);
	return taken;
}

static void hub_flush_deferred(struct loop_deferred *deferred)
{
	struct char_hub *hub = container_of(deferred, struct char_hub, flush);

	pthread_mutex_lock(&hub->lock);
	char_hub_flush(hub, loop_now_ns());
	pthread_mutex_unlock(&hub->lock);
}

/* ---- the loop's side ---- */

static void port_writable(struct hub_port *to)
{
	if (to->port.front_ops && to->port.front_ops->writable)
		to->port.front_ops->writable(to->port.front);
}

/* Writes on, and tells those who wait for room. */
static void hub_drain(struct char_hub *hub)
{
	bool serial, virtio;

	pthread_mutex_lock(&hub->lock);
	char_hub_flush(hub, loop_now_ns());
	if (hub->sink.len > CHAR_SINK_ROOM / 2) {
		pthread_mutex_unlock(&hub->lock);
		return;
	}
	serial = hub->serial.blocked;
	virtio = hub->virtio.blocked;
	hub->serial.blocked = false;
	hub->virtio.blocked = false;
	pthread_mutex_unlock(&hub->lock);
	if (serial)
		port_writable(&hub->serial);
	if (virtio)
		port_writable(&hub->virtio);
}

void char_hub_closed(struct char_hub *hub)
{
	bool said;

	pthread_mutex_lock(&hub->lock);
	said = hub->closed_said;
	hub->closed_said = true;
	pthread_mutex_unlock(&hub->lock);
	if (!said && hub->options.closed)
		hub->options.closed(hub->options.opaque);
}

/* True when there is unfinished business that the timer has to look at again. */
static bool hub_timer_needed(const struct char_hub *hub)
{
	return hub->sink.len > 0 || hub->show.held_len > 0 || hub->serial.blocked ||
	       hub->virtio.blocked || loop_now_ns() - hub->flushed_ns < 2 * TAIL_FLUSH_NS;
}

static void hub_on_timer(struct loop_timer *timer)
{
	struct char_hub *hub = container_of(timer, struct char_hub, timer);
	uint64_t now_ns = loop_now_ns();
	bool again;

	pthread_mutex_lock(&hub->lock);
	char_show_release_old(&hub->show, now_ns, REPLAY_WAIT_NS);
	pthread_mutex_unlock(&hub->lock);
	hub_drain(hub);
	pthread_mutex_lock(&hub->lock);
	/* Where EPOLLOUT tells of room, a host that does not read needs no timer. */
	again = hub_timer_needed(hub) && !(hub->sink.len > 0 && hub->sink.out_pollable);
	hub->timer_armed = again;
	pthread_mutex_unlock(&hub->lock);
	if (again)
		loop_timer_arm(hub->loop, timer, now_ns + TAIL_FLUSH_NS);
}

static void port_input_ready(struct char_port *port)
{
	struct char_hub *hub = ((struct hub_port *)port)->hub;

	if (__atomic_exchange_n(&hub->input_held, false, __ATOMIC_SEQ_CST))
		hub_wake(hub);
}

static bool port_get_size(struct char_port *port, uint16_t *columns, uint16_t *rows)
{
	struct char_hub *hub = ((struct hub_port *)port)->hub;

	return terminal_get_size(&hub->terminal, columns, rows);
}

static void hub_on_input(struct loop_event *event, uint32_t events)
{
	(void)events;
	char_hub_pump(container_of(event, struct char_hub, in_event));
}

static void hub_on_output(struct loop_event *event, uint32_t events)
{
	(void)events;
	hub_drain(container_of(event, struct char_hub, out_event));
}

static void hub_on_kick(struct loop_event *event, uint32_t events)
{
	struct char_hub *hub = container_of(event, struct char_hub, kick_event);
	bool arm, gone;

	(void)events;
	pthread_mutex_lock(&hub->lock);
	hub->kicked = false;
	gone = hub->sink.gone && !hub->closed_said;
	arm = !hub->timer_armed && hub_timer_needed(hub);
	hub->timer_armed |= arm;
	pthread_mutex_unlock(&hub->lock);
	if (arm)
		loop_timer_arm(hub->loop, &hub->timer, loop_now_ns() + TAIL_FLUSH_NS);
	if (gone)
		char_hub_closed(hub);
	char_hub_pump(hub);
}

/* ---- life ---- */

static int hub_open(struct char_hub *hub)
{
	const struct char_hub_options *options = &hub->options;

	switch (options->to) {
	case CHAR_TO_TERMINAL:
		terminal_init(&hub->terminal, options->in_fd);
		char_sink_set_input(&hub->sink, options->in_fd);
		char_sink_set_output(&hub->sink, options->out_fd);
		terminal_enter_raw(&hub->terminal);
		return 0;
	case CHAR_TO_FILE:
		return char_sink_open_file(&hub->sink, options->path);
	case CHAR_TO_PTY:
		return char_sink_open_pty(&hub->sink);
	case CHAR_TO_NONE:
		break;
	}
	return 0;
}

static void port_init(struct hub_port *port, struct char_hub *hub, const struct char_port_ops *ops)
{
	port->port.ops = ops;
	port->hub = hub;
}

int char_hub_create(struct char_hub **out, const struct char_hub_options *options)
{
	static const struct char_port_ops serial_ops = {
		.write = serial_write,
		.input_ready = port_input_ready,
		.get_size = port_get_size,
	};
	static const struct char_port_ops virtio_ops = {
		.write = virtio_write,
		.input_ready = port_input_ready,
		.get_size = port_get_size,
	};
	struct char_hub *hub = calloc(1, sizeof(*hub));
	int ret;

	if (!hub)
		return log_errno(ENOMEM, "set up the console");
	hub->options = *options;
	hub->show.sink = &hub->sink;
	hub->show.virtio_console = options->virtio_console;
	hub->terminal = (struct terminal){ .fd = -1, .guardian_fd = -1 };
	hub->kick_fd = -1;
	pthread_mutex_init(&hub->lock, NULL);
	port_init(&hub->serial, hub, &serial_ops);
	port_init(&hub->virtio, hub, &virtio_ops);
	signal(SIGPIPE, SIG_IGN);
	ret = char_sink_init(&hub->sink, "standard output");
	if (ret < 0)
		log_errno(ret, "set up the console");
	else
		ret = hub_open(hub);
	if (ret < 0) {
		char_hub_destroy(hub);
		return ret;
	}
	*out = hub;
	return 0;
}

/* Regular files are always ready, and epoll refuses them. */
static bool hub_may_poll(int fd)
{
	return fd >= 0 && lseek(fd, 0, SEEK_CUR) < 0;
}

static int hub_add_event(struct char_hub *hub, struct loop_event *event, int fd, uint32_t events,
			 void (*fn)(struct loop_event *event, uint32_t events))
{
	*event = (struct loop_event){ .fn = fn, .fd = fd, .events = events };
	return loop_event_add(hub->loop, event);
}

int char_hub_attach(struct char_hub *hub, struct loop *loop)
{
	int ret;

	hub->loop = loop;
	hub->flush.fn = hub_flush_deferred;
	hub->timer.fn = hub_on_timer;
	hub->kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (hub->kick_fd < 0)
		return log_errno(errno, "eventfd for the console");
	ret = hub_add_event(hub, &hub->kick_event, hub->kick_fd, EPOLLIN, hub_on_kick);
	if (ret == 0 && hub->sink.out_pollable)
		ret = hub_add_event(hub, &hub->out_event, hub->sink.out_fd, EPOLLOUT,
				    hub_on_output);
	if (ret == 0 && hub_may_poll(hub->sink.in_fd))
		ret = hub_add_event(hub, &hub->in_event, hub->sink.in_fd, EPOLLIN, hub_on_input);
	hub_wake(hub);
	return ret;
}

void char_hub_destroy(struct char_hub *hub)
{
	if (!hub)
		return;
	if (hub->loop) {
		loop_event_del(hub->loop, &hub->in_event);
		loop_event_del(hub->loop, &hub->out_event);
		loop_event_del(hub->loop, &hub->kick_event);
		loop_timer_disarm(hub->loop, &hub->timer);
		loop_defer_cancel(hub->loop, &hub->flush);
	}
	if (hub->show.held_len > 0)
		char_show_release(&hub->show);
	if (hub->terminal.raw && hub->sink.last != '\n')
		char_sink_put(&hub->sink, "\r\n", 2);
	char_sink_fini(&hub->sink);
	terminal_fini(&hub->terminal);
	if (hub->kick_fd >= 0)
		close(hub->kick_fd);
	pthread_mutex_destroy(&hub->lock);
	free(hub);
}

struct char_port *char_hub_serial_port(struct char_hub *hub)
{
	return &hub->serial.port;
}

struct char_port *char_hub_virtio_port(struct char_hub *hub)
{
	return &hub->virtio.port;
}

void char_hub_reset(struct char_hub *hub)
{
	pthread_mutex_lock(&hub->lock);
	char_show_reset(&hub->show);
	hub->serial.blocked = false;
	hub->virtio.blocked = false;
	pthread_mutex_unlock(&hub->lock);
}

void char_hub_resized(struct char_hub *hub)
{
	struct char_port *port = &hub->virtio.port;
	uint16_t columns, rows;

	if (terminal_get_size(&hub->terminal, &columns, &rows) && port->front_ops &&
	    port->front_ops->resize)
		port->front_ops->resize(port->front, columns, rows);
}

void char_hub_continued(struct char_hub *hub)
{
	pthread_mutex_lock(&hub->lock);
	terminal_enter_raw(&hub->terminal);
	pthread_mutex_unlock(&hub->lock);
	char_hub_resized(hub);
	if (hub->loop)
		char_hub_pump(hub);
}

void char_hub_restore_terminal(struct char_hub *hub)
{
	if (!hub)
		return;
	pthread_mutex_lock(&hub->lock);
	char_sink_flush(&hub->sink);
	if (hub->terminal.raw && hub->sink.last != '\n')
		char_sink_put(&hub->sink, "\r\n", 2);
	char_sink_flush(&hub->sink);
	terminal_restore(&hub->terminal);
	pthread_mutex_unlock(&hub->lock);
}

bool char_hub_panicked(struct char_hub *hub)
{
	bool panicked;

	pthread_mutex_lock(&hub->lock);
	panicked = hub->show.panicked;
	pthread_mutex_unlock(&hub->lock);
	return panicked;
}

bool char_hub_panic_is_last(struct char_hub *hub)
{
	bool last;

	pthread_mutex_lock(&hub->lock);
	last = char_show_panic_is_last(&hub->show);
	pthread_mutex_unlock(&hub->lock);
	return last;
}

void char_hub_forget_panic(struct char_hub *hub)
{
	pthread_mutex_lock(&hub->lock);
	char_show_forget_panic(&hub->show);
	pthread_mutex_unlock(&hub->lock);
}

void char_hub_tail(struct char_hub *hub, void (*fn)(void *opaque, const char *line), void *opaque)
{
	pthread_mutex_lock(&hub->lock);
	char_tail_each(&hub->show.tail, fn, opaque);
	pthread_mutex_unlock(&hub->lock);
}
