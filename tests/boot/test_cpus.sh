#!/bin/bash
# timeout: 300
# A container's limit to one processor, where there are two. Alone in its lab: one with two processors
# breaks now and then, the sooner the more happens in it (tests/lab/README.md).
# shellcheck disable=SC2016,SC2317 # texts for other shells; cases by name
set -u

cd "$(dirname "$0")/../.." || exit 1
. tests/boot/lib.sh
boot_lab=(--memory 1G --timeout 200 --cpus 2)
boot_enter "$@"

root=$work/root
mkdir -p "$root/bin" "$root/tmp"
cp "$(command -v busybox)" "$root/bin/busybox"
for name in sh cat sed sleep yes; do
	ln -s busybox "$root/bin/$name"
done
chmod -R go+rX "$root"

# Two busy loops for three seconds: one processor's worth of time, where two are there.
cpu_limit()
{
	"$vmm" run --as container --rootfs "$root" --net none --cpus 1 -- sh -c '
		read -r from _ </proc/uptime
		yes >/dev/null & yes >/dev/null & sleep 3
		cat /proc/[0-9]*/stat | sed -n "s/^.*(yes) //p"
		read -r to _ </proc/uptime
		echo "time $from $to"' >"$work/said"
	awk '$1 == "time" { time = $3 - $2; next } { used += ($12 + $13) / 100 }
		END { print used " s of " time " s"; exit used > time * 1.25 }' "$work/said"
}

check "container: one processor of two is all it gets" cpu_limit
boot_finish
