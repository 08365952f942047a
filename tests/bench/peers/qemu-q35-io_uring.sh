#!/bin/bash
# QEMU's q35 machine, virtio over PCI with MSI-X, disks by io_uring.
# shellcheck source-path=SCRIPTDIR source=../qemu.sh
. "$(dirname "$0")/../qemu.sh"
qemu q35 pci io_uring
