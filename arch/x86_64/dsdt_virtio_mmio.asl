/*
 * One virtio-mmio device, as Linux's driver knows it. Patched: VMXX its name, 0xD1D1D1D1 its unique
 * id, 0xA5A10000 and 0x0011C300 base and length of its registers, 0xC4C4C4C4 its interrupt.
 */
DefinitionBlock ("", "SSDT", 2, "VMM", "VIRTIO", 1)
{
	Scope (\_SB)
	{
		Device (VMXX)
		{
			Name (_HID, "LNRO0005")
			Name (_UID, 0xD1D1D1D1)
			Name (_CRS, ResourceTemplate () {
				Memory32Fixed (ReadWrite, 0xA5A10000, 0x0011C300)
				Interrupt (ResourceConsumer, Edge, ActiveHigh, Exclusive) { 0xC4C4C4C4 }
			})
		}
	}
}
