#!/bin/bash
# Ours, virtio over MMIO. Without ACPI the devices are on the command line, where bare guests look for them.
here=$(dirname "$0")
case $KERNEL in
*/guest/*) export CMDLINE="${CMDLINE:-} acpi=off" ;;
esac
VMM_OPTIONS="--transport mmio ${VMM_OPTIONS:-}" \
	exec "$here/vmm-pci.sh"
