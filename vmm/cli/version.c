/*
 * vmm version. Main thread.
 */
#include <stdio.h>
#include <sys/utsname.h>

#include "vmm/cli/cli.h"
#include "vmm/cli/version.h"
#include "vmm/end.h"
#include "vmm/log.h"

int cli_version(int argc, char **argv)
{
	struct utsname host;

	if (argc > 1) {
		log_err("version: takes no words: leave out %s", argv[1]);
		return EXIT_STATUS_HOST;
	}
	if (uname(&host) < 0) {
		log_errno(errno, "ask the host's architecture");
		return EXIT_STATUS_HOST;
	}
	printf("vmm %s (%s)\n", VMM_VERSION, host.machine);
	return 0;
}
