#!/bin/bash
# boot-icount.sh [--json] VMLINUX [BZIMAGE [VMM]]: what a boot costs, counted in the lab with --icount: a kernel with
# 256 MiB, serial console and no device, whose init ends the machine at once. Million instructions of guest, monitor and
# host kernel from exec to the first KVM_RUN and to the monitor's end, exits to user space, all exits, page faults that
# KVM handled. The lab's clock is 2 ns an instruction; the fewest of three runs, since the host's own timers add some.
set -eu
json=
[ "${1:-}" != --json ] || { json=1; shift; }
top=$(cd "$(dirname "$0")/../.." && pwd)

# In the lab: boot-icount.sh --inside DIR LABEL... (DIR has vmm, exec_clock, initrd and a kernel of each label)
inside()
{
	local tracing=/sys/kernel/tracing dir=/tmp/bench label run
	cp -r "$1" $dir
	shift
	mount -t tracefs tracefs $tracing 2>/dev/null || :
	modprobe -a kvm_amd kvm_intel 2>/dev/null || :
	echo 0 >$tracing/tracing_on
	echo mono >$tracing/trace_clock
	for label in "$@"; do
		run=("$dir/exec_clock" "$dir/vmm" run --kernel "$dir/$label" --initrd "$dir/initrd" --memory 256M
			--net none --console "serial,to=none" --cmdline quiet --timeout 60s)
		"${run[@]}" >/dev/null 2>&1 # warms the page cache
		for _ in 1 2 3; do
			"${run[@]}" 2>&1 | sed -n "s/^exec_clock:.*took_ns=\([0-9]*\).*status=\([0-9]*\)/$label took \1 \2/p"
		done
		# Until its first entry a traced run does nothing that is traced but its exec.
		echo traceoff >$tracing/events/kvm/kvm_entry/trigger
		echo 1 >$tracing/events/kvm/kvm_entry/enable
		for _ in 1 2 3; do
			echo >$tracing/trace
			echo 1 >$tracing/tracing_on
			"${run[@]}" >/tmp/log 2>&1
			sed -n "s/^exec_clock: exec_ns=\([0-9]*\).*/$label exec \1/p" /tmp/log
			sed -n "s/.* \([0-9]*\)\.\([0-9]*\): kvm_entry.*/$label entry \1\2/p" \
				$tracing/trace | head -n 1
		done
		echo 0 >$tracing/events/kvm/kvm_entry/enable
		echo '!traceoff' >$tracing/events/kvm/kvm_entry/trigger
		for event in kvm_userspace_exit kvm_exit kvm_page_fault; do
			echo 'hist:keys=common_pid' >$tracing/events/kvm/$event/trigger
		done
		echo 1 >$tracing/tracing_on
		"${run[@]}" >/dev/null 2>&1
		echo 0 >$tracing/tracing_on
		for event in kvm_userspace_exit kvm_exit kvm_page_fault; do
			sed -n "s/^ *Hits: /$label $event /p" $tracing/events/kvm/$event/hist
			echo '!hist:keys=common_pid' >$tracing/events/kvm/$event/trigger
		done
	done
}

if [ "${1:-}" = --inside ]; then
	shift
	inside "$@"
	exit
fi
[ $# -ge 1 ] || { echo "usage: boot-icount.sh [--json] VMLINUX [BZIMAGE [VMM]]" >&2; exit 2; }

work=$(mktemp -d /var/tmp/vmm-bench.XXXXXX) # not /tmp, which the lab does not show
trap 'rm -rf "$work"' EXIT
mkdir "$work/in"
"${CC:-cc}" -O2 -static -o "$work/in/exec_clock" "$top/tests/bench/exec_clock.c"
"$top/tests/image/initramfs-end.sh" "$work/in/initrd"
cp "${3:-$top/build/x86_64/vmm}" "$work/in/vmm"
cp "$1" "$work/in/vmlinux"
labels=(vmlinux)
if [ -n "${2:-}" ]; then
	cp "$2" "$work/in/bzImage"
	labels+=(bzImage)
fi
"$top/tests/lab/run" --icount --timeout 600 -- "$top/tests/bench/boot-icount.sh" --inside "$work/in" "${labels[@]}" \
	>"$work/out"
awk -v json="$json" '
	$2 == "took" { if ($4 != 0) bad[$1] = $4; if (!($1 in took) || $3 < took[$1]) took[$1] = $3
		if (!seen[$1]++) label[++count] = $1 }
	$2 == "exec" { exec_ns[$1] = $3 }
	$2 == "entry" { ns = $3 * 1000 - exec_ns[$1]; if (!($1 in first) || ns < first[$1]) first[$1] = ns }
	/kvm_/ { hits[$1, $2] = $3 }
	END {
		if (!count) exit 1
		if (json) printf "{"
		else printf "%-8s %22s %14s %11s %9s %11s\n", "kernel", "to first KVM_RUN, M", "to exit, M",
			"user exits", "exits", "page faults"
		for (i = 1; i <= count; i++) {
			l = label[i]
			format = json ? "%s\"%s\": {\"first_kvm_run_minstr\": %.1f, \"exit_minstr\": %.1f, " \
				"\"user_exits\": %d, \"exits\": %d, \"page_faults\": %d}" \
				: "%s%-8s %22.1f %14.1f %11d %9d %11d\n"
			printf format, (json && (i > 1)) ? ", " : "", l, first[l] / 2e6, took[l] / 2e6,
				hits[l, "kvm_userspace_exit"], hits[l, "kvm_exit"], hits[l, "kvm_page_fault"]
			if (l in bad) { print "boot-icount.sh: " l ": status " bad[l] >"/dev/stderr"; failed = 1 }
		}
		if (json) printf "}\n"
		exit failed
	}' "$work/out" || { cat "$work/out" >&2; exit 1; }
