/*
 * Carrying bytes from one descriptor to another; see pump.h. In guest-init, and on the host in
 * tests.
 */
#include "vmm/guest/pump.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

/* Pieces before the other streams get their turn. */
#define PIECES_MAX 16
#define SPLICE_LEN (1u << 20)

void pump_init(struct pump *pump, int from, int to, bool splice, bool closes_to)
{
	*pump = (struct pump){ .from = from, .to = to, .splice = splice, .closes_to = closes_to };
}

void pump_end(struct pump *pump)
{
	if (pump->ended)
		return;
	pump->ended = true;
	close(pump->from);
	pump->from = -1;
	if (pump->closes_to)
		close(pump->to);
	pump->to = -1;
	free(pump->data);
	pump->data = NULL;
}

void pump_poll(const struct pump *pump, struct pollfd fds[2])
{
	/* A source that has ended says so for ever: while there is no room it is not asked. */
	fds[0] = (struct pollfd){ .fd = pump->wants_room ? -1 : pump->from, .events = POLLIN };
	fds[1] = (struct pollfd){ .fd = pump->to, .events = pump->wants_room ? POLLOUT : 0 };
}

/* True when something was carried and more may be. */
static bool splice_once(struct pump *pump, bool readable)
{
	ssize_t len = splice(pump->from, NULL, pump->to, NULL, SPLICE_LEN,
			     SPLICE_F_MOVE | SPLICE_F_NONBLOCK);

	if (len > 0)
		return true;
	if (len == 0 || errno == EINTR)
		return false; /* nothing there; the end is told by poll */
	if (errno == EAGAIN)
		pump->wants_room = readable;
	else if (errno == EINVAL)
		pump->splice = false; /* not to this kind of descriptor */
	else
		pump_end(pump);
	return !pump->ended && !pump->splice;
}

/* Fills the buffer; a port gives a page a time. */
static bool read_some(struct pump *pump)
{
	ssize_t len = 1;

	if (!pump->data)
		pump->data = malloc(PUMP_ROOM);
	if (!pump->data)
		return false;
	while (pump->end < PUMP_ROOM && len > 0) {
		len = read(pump->from, pump->data + pump->end, PUMP_ROOM - pump->end);
		if (len > 0)
			pump->end += (size_t)len;
	}
	if (pump->end > 0)
		return true; /* an end or an error comes again */
	if (len == 0 || (errno != EAGAIN && errno != EINTR))
		pump_end(pump);
	return false;
}

static bool write_some(struct pump *pump)
{
	ssize_t len = write(pump->to, pump->data + pump->start, pump->end - pump->start);

	if (len > 0) {
		pump->start += (size_t)len;
		if (pump->start == pump->end)
			pump->start = pump->end = 0;
		return true;
	}
	if (len < 0 && errno == EAGAIN)
		pump->wants_room = true;
	else if (len < 0 && errno != EINTR)
		pump_end(pump);
	return false;
}

void pump_step(struct pump *pump, const struct pollfd fds[2])
{
	bool readable = fds[0].revents & POLLIN;
	bool go_on = true;

	if (pump->ended || !(fds[0].revents | fds[1].revents))
		return;
	if (fds[1].revents & (POLLERR | POLLHUP | POLLNVAL)) {
		pump_end(pump); /* nobody takes it any more */
		return;
	}
	if (fds[1].revents & POLLOUT)
		pump->wants_room = false;
	if (pump->splice && fds[0].revents && !readable) {
		pump_end(pump);
		return;
	}
	for (int i = 0; i < PIECES_MAX && go_on && !pump->ended; i++) {
		if (pump->splice)
			go_on = splice_once(pump, readable && i == 0);
		else if (pump->end > 0)
			go_on = write_some(pump);
		else
			go_on = read_some(pump);
	}
}
