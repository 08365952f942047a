#!/bin/bash
# QEMU's microvm machine (docs/system/i386/microvm.rst), virtio over MMIO, disks by threads. A bare guest looks for
# devices on the command line, where QEMU puts them without ACPI.
# shellcheck source-path=SCRIPTDIR source=../qemu.sh
. "$(dirname "$0")/../qemu.sh"
case $KERNEL in
*/guest/*) acpi=off ;;
esac
qemu "microvm,pit=off,pic=off,rtc=off,acpi=${acpi:-on}" device threads -global virtio-mmio.force-legacy=false
