/*
 * vmm run: boots a machine, or runs one command within a boundary, and gives back how it ended.
 * Main thread.
 */
#include "vmm/run.h"

#include "vmm/boundary/boundary.h"
#include "vmm/cli/cli.h"
#include "vmm/config.h"
#include "vmm/end.h"
#include "vmm/log.h"
#include "vmm/timeline.h"

static int run(struct config *config, struct timeline *timeline, int argc, char **argv)
{
	int ret = config_parse(config, argc, argv);

	if (ret != 0)
		return ret > 0 ? 0 : EXIT_STATUS_HOST;
	if (config->verbose)
		log_set_level(LOG_LEVEL_DEBUG);
	if (config_finish(config) < 0)
		return EXIT_STATUS_HOST;
	if (config->print_config)
		return config_print(config) < 0 ? EXIT_STATUS_HOST : 0;
	timeline_mark(timeline, "configuration");
	if (config->rootfs)
		return boundary_run(config, timeline);
	log_debug("command line: %s", config->cmdline_full);
	return run_machine(config, timeline);
}

int cli_run(int argc, char **argv)
{
	struct timeline timeline;
	struct config config;
	int status;

	timeline_init(&timeline);
	config_init(&config);
	status = run(&config, &timeline, argc - 1, argv + 1);
	config_fini(&config);
	return status;
}
