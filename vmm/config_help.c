/*
 * `vmm run --help`, from the table of options. Main thread.
 */
#include <stdio.h>

#include "vmm/config_options.h"

#define HELP_COLUMN 30

static void print_option(const struct config_field *option)
{
	char left[128];
	int len;

	len = snprintf(left, sizeof(left), "  %c%c%c --%s%s%s", option->letter ? '-' : ' ',
		       option->letter ? option->letter : ' ', option->letter ? ',' : ' ',
		       option->name, option->arg ? " " : "", option->arg ? option->arg : "");
	if (len > HELP_COLUMN - 2)
		printf("%s\n%*s%s\n", left, HELP_COLUMN, "", option->help);
	else
		printf("%-*s%s\n", HELP_COLUMN, left, option->help);
}

void config_options_help(void)
{
	puts("Usage: vmm run [--kernel FILE] [--disk PATH] [OPTION...]\n"
	     "       vmm run --rootfs DIR [--as machine|container|host] [OPTION...] -- COMMAND "
	     "[ARG...]\n"
	     "\n"
	     "Boots Linux in a virtual machine, its console on this terminal. Ctrl-a x quits,\n"
	     "Ctrl-a h helps. An option is written --name VALUE or --name=VALUE.");
	for (size_t i = 0; i < config_option_count; i++) {
		if (config_options[i].group)
			printf("\n%s:\n", config_options[i].group);
		print_option(&config_options[i]);
	}
	puts("\nMore: vmm help rootfs, disk, net, console, config, kernel, stats, exit-codes.");
}
