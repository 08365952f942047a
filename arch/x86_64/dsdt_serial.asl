/* 16550A serial port. Patched: 0x5AC5 its first I/O port, 0xC4C4C4C4 its interrupt. */
DefinitionBlock ("", "SSDT", 2, "VMM", "SERIAL", 1)
{
	Scope (\_SB)
	{
		Device (COM1)
		{
			Name (_HID, EisaId ("PNP0501"))
			Name (_UID, 0)
			Name (_CRS, ResourceTemplate () {
				IO (Decode16, 0x5AC5, 0x5AC5, 1, 8)
				Interrupt (ResourceConsumer, Edge, ActiveHigh, Exclusive) { 0xC4C4C4C4 }
			})
		}
	}
}
