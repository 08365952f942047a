/*
 * vmm freeze NAME, vmm thaw NAME: a running container stops for a while, and goes on. Main thread.
 */
#include <stdio.h>
#include <string.h>

#include "vmm/boundary/boundary.h"
#include "vmm/cli/cli.h"
#include "vmm/end.h"
#include "vmm/log.h"

int cli_freeze(int argc, char **argv)
{
	if (argc == 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
		printf("Usage: vmm freeze NAME\n"
		       "       vmm thaw NAME\n"
		       "\n"
		       "Stops all processes of the container that vmm run --as container --name "
		       "NAME\n"
		       "started, and has them go on.\n");
		return 0;
	}
	if (argc == 2 && argv[1][0])
		return boundary_freeze(argv[1], strcmp(argv[0], "freeze") == 0);
	if (argc > 2)
		log_err("%s: takes one name: leave out %s", argv[0], argv[2]);
	else
		log_err("%s: whom: write vmm %s NAME, the container's --name", argv[0], argv[0]);
	return EXIT_STATUS_HOST;
}
