/* See server.h. */
#include "vmm/compare/server.h"

#include <unistd.h>

#include "vmm/log.h"

/* SCRIPT by the shell; 0, -EINTR, or -EIO when it failed. */
static int run_script(const struct compare *compare, const char *script)
{
	char *words[] = { (char *)"/bin/sh", (char *)"-euc", (char *)script, NULL };
	struct child child;
	int ret = child_start(&child, words);

	if (!ret)
		ret = child_wait_end(&child, compare_patience_ms(compare, 10));
	if (!ret && child.status != 0)
		ret = -EIO;
	child_fini(&child);
	return ret;
}

/* One that a killed comparison left is made anew. */
static int tap_make(struct compare *compare)
{
	bool wanted = false;
	int ret;

	for (size_t i = 0; i < compare_row_count; i++)
		wanted |= compare->selected[i] &&
			  compare_row_task(&compare_rows[i])->net == COMPARE_NET_NAT;
	if (!wanted || geteuid() != 0)
		return 0;
	ret = run_script(compare, "ip link del " SERVER_TAP " 2>/dev/null || :\n"
				  "ip tuntap add dev " SERVER_TAP " mode tap\n"
				  "ip addr add " SERVER_TAP_ADDRESS " dev " SERVER_TAP "\n"
				  "ip link set " SERVER_TAP " up\n");
	compare->has_tap = ret == 0;
	return ret == -EINTR ? ret : 0;
}

int server_start(struct server *server, struct compare *compare)
{
	char *words[] = { compare->load, (char *)"serve", (char *)COMPARE_PORT, NULL };
	bool wanted = false;
	int ret;

	*server = (struct server){ .running = false };
	for (size_t i = 0; i < compare_row_count; i++)
		wanted |= compare->selected[i] &&
			  compare_row_task(&compare_rows[i])->net != COMPARE_NET_NONE;
	if (!wanted)
		return 0;
	ret = tap_make(compare);
	if (ret < 0)
		return ret;
	ret = child_start(&server->child, words);
	if (!ret)
		ret = child_wait_text(&server->child, "first", compare_patience_ms(compare, 10));
	if (!ret) {
		server->running = true;
		return 0;
	}
	if (ret != -EINTR) {
		char *reason = child_complaint(&server->child);

		log_warn("compare: no server for the network rows: %s", reason ? reason : "?");
		free(reason);
		ret = 0;
	}
	child_fini(&server->child);
	return ret;
}

void server_stop(struct server *server, struct compare *compare)
{
	int stopped = compare_stop;

	/* Ctrl-C is no reason to leave it. */
	compare_stop = 0;
	if (compare->has_tap && run_script(compare, "ip link del " SERVER_TAP) < 0)
		log_warn("compare: the tap " SERVER_TAP " is left: ip link del " SERVER_TAP);
	compare_stop |= stopped;
	if (server->running)
		child_fini(&server->child);
	server->running = false;
}
