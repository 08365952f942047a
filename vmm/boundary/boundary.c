/*
 * The boundaries there are, and the order in which one is used. Called by vmm/cli/run.c and
 * freeze.c on the main thread.
 */
#include "vmm/boundary/boundary.h"

#include "vmm/end.h"
#include "vmm/log.h"

/* By enum config_as. */
static const struct boundary_ops *const boundaries[] = {
	[CONFIG_AS_MACHINE] = &boundary_machine,
	[CONFIG_AS_CONTAINER] = &boundary_container,
	[CONFIG_AS_HOST] = &boundary_host,
};

int boundary_run(const struct config *config, struct timeline *timeline)
{
	static const char *const names[] = { "plain", "machine", "container", "host" };
	const struct boundary_ops *boundary = boundaries[config->as];

	if (!boundary) {
		log_err("--as %s: this vmm was built without it", names[config->as]);
		return EXIT_STATUS_HOST;
	}
	if (boundary->refuse(config) < 0 || boundary->sweep() < 0)
		return EXIT_STATUS_HOST;
	return boundary->run(config, timeline);
}

int boundary_freeze(const char *name, bool frozen)
{
	int ret = -ESRCH;

	for (size_t i = 0; ret == -ESRCH && i < ARRAY_SIZE(boundaries); i++) {
		if (boundaries[i] && boundaries[i]->freeze)
			ret = boundaries[i]->freeze(name, frozen);
	}
	return ret < 0 ? EXIT_STATUS_HOST : 0;
}
