#!/bin/bash
# Ours, virtio over PCI with MSI-X: the default.
words=("$VMM" run --kernel "$KERNEL" --memory "$MEMORY" --console "${CONSOLE:-serial}")
[ -z "${CMDLINE:-}" ] || words+=(--cmdline "$CMDLINE")
[ -z "${INITRD:-}" ] || words+=(--initrd "$INITRD")
[ -z "${DISK:-}" ] || words+=(--disk "$DISK${DIRECT:+,direct}")
if [ -n "${TAP:-}" ]; then
	words+=(--net "tap=$TAP${VHOST:+,vhost=on}")
else
	words+=(--net none)
fi
# shellcheck disable=SC2086 # options for all of our machines, from whoever runs this
exec "${words[@]}" ${VMM_OPTIONS:-}
