#!/bin/bash
# start.sh [--json] [--runs N] KERNEL [VMM]: what a start costs on this machine's own /dev/kvm, with one disk and, where
# a tap can be made, one tap. Medians of N runs (11) of the table of -v, from exec to the first KVM_RUN; resident memory
# without the guest's; the stripped program's size.
# A run begins when the ones before it are gone: their machines and taps are taken down by the kernel for a while.
set -eu
json=
runs=11
while [ $# -gt 0 ]; do
	case $1 in
	--json) json=1 ;;
	--runs) runs=$2; shift ;;
	-*) echo "usage: start.sh [--json] [--runs N] KERNEL [VMM]" >&2; exit 2 ;;
	*) break ;;
	esac
	shift
done
top=$(cd "$(dirname "$0")/../.." && pwd)
[ $# -ge 1 ] || { echo "usage: start.sh [--json] [--runs N] KERNEL [VMM]" >&2; exit 2; }
kernel=$1
vmm=${2:-$top/build/$(uname -m)/vmm}
[ -w /dev/kvm ] || { echo "start.sh: no /dev/kvm here" >&2; exit 1; }
work=$(mktemp -d)
tap=vmmbench$$
trap 'rm -rf "$work"; ip link del "$tap" 2>/dev/null || :' EXIT
"${CC:-cc}" -O2 -static -o "$work/exec_clock" "$top/tests/bench/exec_clock.c"
truncate -s 64M "$work/disk"
cp "$vmm" "$work/vmm"
strip "$work/vmm"
net=none
# A tap that is there, as a provider has it; the monitor makes one that is not, which takes 0.2 ms longer.
ip tuntap add dev "$tap" mode tap vnet_hdr 2>/dev/null && net=tap=$tap
start=("$work/vmm" run --kernel "$kernel" --disk "$work/disk" --net "$net" --memory 256M
	--console "serial,to=none" --on-panic exit)

median()
{
	sort -n | awk '{ v[NR] = $1 } END { print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'
}

for ((i = 0; i <= runs; i++)); do # the first one warms
	sleep 0.15
	"$work/exec_clock" "${start[@]}" -v --timeout 100ms 2>"$work/log" </dev/null || :
	[ $i = 0 ] && continue
	awk '/main began at/ { main = $5 } /^exec_clock/ { split($2, a, "="); exec = a[2] }
		END { printf "%.3f\n", (main - exec) / 1e6 }' "$work/log" >>"$work/before"
	sed -n '/^vmm: step /,/first KVM_RUN/p' "$work/log" | tail -n +2 | awk '{
		took = $(NF - 1); at = $NF; $1 = $(NF - 1) = $NF = ""
		gsub(/^ +| +$/, ""); print took "|" at "|" $0 }' >>"$work/steps"
done
paste -d+ "$work/before" <(sed -n 's/^[^|]*|\([^|]*\)|first KVM_RUN$/\1/p' "$work/steps") |
	awk -F+ '{ print $1 + $2 }' >"$work/total"

# Resident memory without the guest's: neighbouring mappings as large as it together are the guest's.
"${start[@]}" --timeout 3s >/dev/null 2>&1 </dev/null &
pid=$!
sleep 1
rss=$(awk -v guest=$((256 << 10)) '
	function flush() { if (size < guest) total += rss; size = rss = 0 }
	/^[0-9a-f]+-[0-9a-f]+ / { split($1, a, "-"); if (a[1] != end) flush(); end = a[2] }
	/^Size:/ { size += $2 }
	/^Rss:/ { rss += $2 }
	END { flush(); print total }' "/proc/$pid/smaps")
wait $pid || :
size=$(stat -c %s "$work/vmm")
total=$(median <"$work/total")
before=$(median <"$work/before")

mapfile -t names < <(cut -d'|' -f3 "$work/steps" | awk '!seen[$0]++')
if [ -n "$json" ]; then
	printf '{"runs": %d, "net": "%s", "exec_to_first_kvm_run_ms": %s, "rss_without_guest_kib": %d, "stripped_bytes": %d,\n' \
		"$runs" "$net" "$total" "$rss" "$size"
	printf ' "steps_ms": {"exec to main": %s' "$before"
	for name in "${names[@]}"; do
		printf ', "%s": %s' "$name" "$(awk -F'|' -v n="$name" '$3 == n { print $1 }' "$work/steps" | median)"
	done
	printf '}}\n'
else
	printf '%-34s %9s\n' step 'median ms' 'exec to main' "$before"
	for name in "${names[@]}"; do
		printf '%-34s %9s\n' "$name" "$(awk -F'|' -v n="$name" '$3 == n { print $1 }' "$work/steps" | median)"
	done
	printf '%-34s %9s\n' "exec to first KVM_RUN, net $net" "$total" 'RSS without the guest, KiB' "$rss" 'stripped program, bytes' "$size"
fi
