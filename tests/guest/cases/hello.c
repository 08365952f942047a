/*
 * The least a machine must do: print on the serial port and leave with the status that the command
 * line asks for.
 */
#include "tests/guest/lib/guest.h"

int guest_main(void)
{
	serial_puts("hello from a bare guest\n");
	if (guest_cmdline_has("status=7"))
		return 7;
	return 0;
}
