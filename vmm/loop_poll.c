/*
 * What a spinning event loop looks at in memory: queues whose drivers need not ring meanwhile. The
 * loop's thread, or while there is none.
 */
#include "vmm/loop_engine.h"

bool loop_poll_add(struct loop *loop, struct loop_poll *poll)
{
	if (!loop->spins)
		return false;
	if (!poll->watched) {
		poll->watched = true;
		poll->next = loop->polls;
		loop->polls = poll;
	}
	return true;
}

void loop_poll_del(struct loop *loop, struct loop_poll *poll)
{
	struct loop_poll **at = &loop->polls;

	if (!poll->watched)
		return;
	while (*at != poll)
		at = &(*at)->next;
	*at = poll->next;
	if (loop->poll_next == poll)
		loop->poll_next = poll->next;
	poll->watched = false;
}

bool loop_poll_look(struct loop *loop)
{
	for (struct loop_poll *poll = loop->polls; poll; poll = poll->next)
		if (poll->look(poll))
			return true;
	return false;
}

void loop_poll_run(struct loop *loop)
{
	struct loop_poll *poll;

	/* Each once: one that asks to be watched again is put before those still to come. */
	loop->poll_next = loop->polls;
	while ((poll = loop->poll_next)) {
		loop->poll_next = poll->next;
		if (poll->look(poll)) {
			loop_poll_del(loop, poll);
			poll->fn(poll);
		}
	}
}

bool loop_poll_rest(struct loop *loop)
{
	struct loop_poll *next;

	for (struct loop_poll *poll = loop->polls; poll; poll = next) {
		next = poll->next;
		if (!poll->rest(poll))
			loop_poll_del(loop, poll);
	}
	return loop->polls;
}
