/*
 * The port on which a guest says that it panicked; Linux's pvpanic driver knows it by this HID.
 * Patched: 0x5AC5 the port.
 */
DefinitionBlock ("", "SSDT", 2, "VMM", "PVPANIC", 1)
{
	Scope (\_SB)
	{
		Device (PEVT)
		{
			Name (_HID, "QEMU0001")
			Name (_CRS, ResourceTemplate () {
				IO (Decode16, 0x5AC5, 0x5AC5, 1, 1)
			})
		}
	}
}
