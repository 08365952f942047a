/* MC146818 clock, without an interrupt. Patched: 0x5AC5 its first I/O port. */
DefinitionBlock ("", "SSDT", 2, "VMM", "RTC", 1)
{
	Scope (\_SB)
	{
		Device (RTC)
		{
			Name (_HID, EisaId ("PNP0B00"))
			Name (_CRS, ResourceTemplate () {
				IO (Decode16, 0x5AC5, 0x5AC5, 1, 2)
			})
		}
	}
}
