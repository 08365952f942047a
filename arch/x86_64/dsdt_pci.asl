/*
 * PCI Express host bridge, configured through ECAM alone (PCI Firmware 3.3, 4.1.2: the window is
 * reserved by a motherboard resource). No _PRT: devices use MSI-X only. Patched: 0xA5A10000,
 * 0xA5B2C2FF and 0x0011C300 first, last and length of the BAR window; 0x5AD1, 0x9FA3 and 0x44D3
 * the same of the ports' window; 0x5AC3 and 0x5AC4 last bus and number of buses; 0xA6A60000 and
 * 0x00A7A700 base and length of ECAM.
 */
DefinitionBlock ("", "SSDT", 2, "VMM", "PCI", 1)
{
	Scope (\_SB)
	{
		Device (PCI0)
		{
			Name (_HID, EisaId ("PNP0A08"))
			Name (_CID, EisaId ("PNP0A03"))
			Name (_UID, 0)
			Name (_SEG, 0)
			Name (_BBN, 0)
			Name (_CRS, ResourceTemplate () {
				WordBusNumber (ResourceProducer, MinFixed, MaxFixed, PosDecode,
					0, 0, 0x5AC3, 0, 0x5AC4)
				WordIO (ResourceProducer, MinFixed, MaxFixed, PosDecode, EntireRange,
					0, 0x5AD1, 0x9FA3, 0, 0x44D3)
				DWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed,
					NonCacheable, ReadWrite,
					0, 0xA5A10000, 0xA5B2C2FF, 0, 0x0011C300)
			})
		}

		Device (ECAM)
		{
			Name (_HID, EisaId ("PNP0C02"))
			Name (_UID, 0)
			Name (_CRS, ResourceTemplate () {
				Memory32Fixed (ReadWrite, 0xA6A60000, 0x00A7A700)
			})
		}
	}
}
