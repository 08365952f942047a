/*
 * Power-off and the power button (ACPI 6.5, 7.4.2 "\_Sx", 5.6.9 "GED", 4.8.2.2.1.2 "control method
 * power button"). Patched: 0x5AC5 the event register's port, 0xC4C4C4C4 its interrupt.
 */
DefinitionBlock ("", "SSDT", 2, "VMM", "POWER", 1)
{
	Name (\_S5, Package () { 5, 0, 0, 0 })

	Scope (\_SB)
	{
		Device (PWRB)
		{
			Name (_HID, "PNP0C0C")
		}

		Device (GED)
		{
			Name (_HID, "ACPI0013")
			Name (_UID, 0)
			Name (_CRS, ResourceTemplate () {
				Interrupt (ResourceConsumer, Edge, ActiveHigh, Exclusive) { 0xC4C4C4C4 }
			})
			OperationRegion (EREG, SystemIO, 0x5AC5, 1)
			Field (EREG, ByteAcc, NoLock, WriteAsZeros)
			{
				EVNT, 8 // reading acknowledges
			}
			Method (_EVT, 1, Serialized)
			{
				Local0 = EVNT
				If (Local0 & 1)
				{
					Notify (\_SB.PWRB, 0x80)
				}
			}
		}
	}
}
