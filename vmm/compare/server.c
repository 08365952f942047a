/* See server.h. */
#include "vmm/compare/server.h"

#include "vmm/log.h"

int server_start(struct server *server, const struct compare *compare)
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

void server_stop(struct server *server)
{
	if (server->running)
		child_fini(&server->child);
	server->running = false;
}
