#!/bin/bash
# Ours over PCI, looking for more work for 32 us before it sleeps, as QEMU's iothreads do by default.
here=$(dirname "$0")
VMM_OPTIONS="--poll 32 ${VMM_OPTIONS:-}" exec "$here/vmm-pci.sh"
