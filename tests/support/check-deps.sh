#!/bin/sh
# Reads the include lines and fails on one that reaches into a room it may not know (see README.md, "Rooms").
# Each rule: files | the include paths they may name from this project.
set -eu
cd "$(dirname "$0")/../.."
six='vmm/(bus|irq|guest_mem|loop|log|err)\.h'
status=0

# check PATTERN ALLOWED: every project include in files matching PATTERN must match ALLOWED.
check() {
	for file in $(git ls-files -co --exclude-standard '*.c' '*.h' | grep -E "$1" || true); do
		bad=$(grep -nE '^#include (".*"|ARCH_LAYOUT_H)' "$file" |
			sed -E 's/#include "(.*)".*/\1/; s/#include (ARCH_LAYOUT_H)/\1/' |
			grep -vE "^[0-9]+:($2)\$" || true)
		[ -z "$bad" ] && continue
		echo "$bad" | sed "s#^#$file:#; s#\$# (may not be included here)#"
		status=1
	done
}

check '^devices/[^/]*\.[ch]$' "$six|devices/[^/]*\.h|devices/char/char\.h"
check '^devices/virtio/' "$six|devices/virtio/.*|devices/(pci|msix|limit)\.h|devices/(block/block|net/net(_iov)?|char/char)\.h"
check '^devices/block/' "vmm/(loop|log|err)\.h|devices/block/.*|devices/limit\.h"
check '^devices/net/' "vmm/(loop|log|err)\.h|devices/net/.*|devices/limit\.h"
check '^devices/char/' "vmm/(loop|log|err)\.h|devices/char/.*"
check '^arch/[a-z0-9_]+/' "$six|arch/.*|(acpi_tables|dsdt|ssdt).*\.h"
check '^vmm/cli/' "vmm/[^/]*\.h|vmm/cli/.*|vmm/boundary/boundary\.h|vmm/compare/.*|vmm/image/.*|arch/arch\.h"
check '^vmm/boundary/' "vmm/[^/]*\.h|vmm/boundary/.*|vmm/image/.*|vmm/guest/.*|arch/arch\.h|devices/char/.*"
check '^vmm/compare/[^/]*$' "vmm/(log|err|suggest|blob)\.h|vmm/compare/[^/]*"
check '^vmm/compare/workload/' "vmm/compare/workload/load\.h"
check '^vmm/image/' "vmm/(log|err)\.h|vmm/image/.*"
check '^vmm/late/' "vmm/(log|err)\.h|vmm/late/late\.h"
check '^vmm/guest/' "vmm/guest/.*"
# The core names a device in machine.c (and its parts machine_*.c) alone; a boundary carries a command's streams.
for file in $(git ls-files -co --exclude-standard 'vmm/*.c' 'vmm/*.h' | grep -vE '^vmm/(machine[a-z_]*\.[ch]$|boundary/)'); do
	bad=$(grep -nE '^#include "devices/' "$file" || true)
	[ -z "$bad" ] && continue
	echo "$bad" | sed "s#^#$file:#; s#\$# (only vmm/machine*.c may name a device)#"
	status=1
done
# Differences between architectures live in arch/ alone.
bad=$(git grep -nE '^#\s*(if|ifdef|elif).*(__x86_64__|__aarch64__)' -- vmm devices || true)
if [ -n "$bad" ]; then
	echo "$bad"
	echo "check-deps: an #ifdef on the architecture outside arch/"
	status=1
fi
[ $status -eq 0 ] && echo "check-deps: every include stays in its room"
exit $status
