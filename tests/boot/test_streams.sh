#!/bin/bash
# timeout: 900
# What goes between a command in a machine and whoever started it: much data, ends, signals, a
# terminal. Two machines at a time.
# shellcheck disable=SC2002,SC2016,SC2030,SC2031,SC2317 # a pipe is wanted; texts for other shells; cases by name
set -u

cd "$(dirname "$0")/../.." || exit 1
. tests/boot/lib.sh
boot_enter "$@"

export XDG_CACHE_HOME=$work/cache
root=$work/root
mkdir -p "$root/bin" "$root/tmp"
cp "$(command -v busybox)" "$root/bin/busybox"
for name in sh cat head sleep stty tty wc yes; do
	ln -s busybox "$root/bin/$name"
done

# Ours, when it was built: it boots quickest. Else a stock one.
# shellcheck disable=SC2012 # names are ours
kernel=$(ls -dt "$BOOT_KERNELS"/full-*/vmlinux 2>/dev/null | head -n 1)
kernel=${kernel:-$BOOT_VMLINUX}

# run OPTION... -- COMMAND
run()
{
	"$vmm" run --kernel "$kernel" --rootfs "$root" --memory 128M --net none --timeout 300 "$@"
}

status_is()
{
	expect 7 run -- sh -c 'exit 7' </dev/null
}

# much MIB OPTION...: so much through a pipe into the machine and through another one out of it.
much()
{
	set -o pipefail
	head -c "${1}M" /dev/urandom >"$work/$vm.random"
	cat "$work/$vm.random" |
		expect 3 run --stats "$work/$vm.stats" "${@:2}" -- sh -c 'echo apart >&2; cat; echo end >&2; exit 3' 2>"$work/$vm.err" |
		cmp - "$work/$vm.random"
	rm "$work/$vm.random"
	cat "$work/$vm.err"
	[ "$(cat "$work/$vm.err")" = "apart
end" ]
	jq -c '[.loops[0].rounds, .loops[0].syscalls, .vcpus[0].kvm.exits]' "$work/$vm.stats"
	# Few system calls for each piece that a pipe holds, both ways.
	jq -e '.loops[0].syscalls < 20000' "$work/$vm.stats"
}

# An end of either side is heard on the other.
ends()
{
	set -o pipefail
	printf 12345 | run -- wc -c | grep -x 5
	run -- sh -c 'yes; echo "yes: $?" >&2' </dev/null 2>"$work/$vm.err" | head -n 1 | grep -x y
	grep -x 'yes: 141' "$work/$vm.err"
}

# A shell's background job does not hear SIGINT, unless it is told to.
signals()
{
	local pid signal

	env --default-signal=INT "$vmm" run --kernel "$kernel" --rootfs "$root" --memory 128M \
		--net none --timeout 300 -- sh -c '
		for name in INT USR1 HUP; do trap "echo $name" $name; done
		trap "echo TERM; exit 9" TERM
		echo ready
		while :; do sleep 0.1; done' </dev/null >"$work/$vm.out" &
	pid=$!
	wait_for 200 grep -qx ready "$work/$vm.out"
	for signal in USR1 HUP INT TERM; do
		kill -s "$signal" "$pid"
		wait_for 60 grep -qx "$signal" "$work/$vm.out"
		# The second wish to end within 5 s would be for the monitor.
		[ "$signal" != INT ] || sleep 6
	done
	expect 9 wait "$pid"
}

stubborn()
{
	local pid

	"$vmm" run --kernel "$kernel" --rootfs "$root" --memory 128M --net none --timeout 300 -- \
		sh -c 'trap "" TERM; echo ready; while :; do sleep 0.1; done' </dev/null >"$work/$vm.out" &
	pid=$!
	wait_for 200 grep -qx ready "$work/$vm.out"
	kill "$pid"
	sleep 0.5
	kill -0 "$pid"
	kill "$pid"
	expect 143 wait "$pid"
}

terminal()
{
	command -v script >/dev/null || skip_case "there is no script(1)"
	export vmm kernel root work vm
	cat >"$work/$vm.sh" <<-'END'
		stty cols 91 rows 33
		(
			until grep -q 'size 33 91' "$work/$vm.tty"; do sleep 0.2; done
			stty cols 101 rows 37 </dev/tty
		) &
		"$vmm" run --kernel "$kernel" --rootfs "$root" --memory 128M --net none --timeout 300 -- sh -c '
			trap "echo size \$(stty size)" WINCH
			test -t 0 && test -t 1 && test -t 2 && echo "size $(stty size)"
			while [ "$(stty size)" = "33 91" ]; do sleep 0.1; done
			sleep 1
			exit 4'
		echo "status $?"
	END
	: >"$work/$vm.tty"
	SHELL=$BASH script -qefc "bash $work/$vm.sh" /dev/null >"$work/$vm.tty"
	cat "$work/$vm.tty"
	grep -q 'size 33 91' "$work/$vm.tty"
	grep -q 'size 37 101' "$work/$vm.tty"
	grep -q 'status 4' "$work/$vm.tty"
}

# One image first, so that no case makes one while another waits for it.
check "a command's status is the monitor's" status_is
beside "64 MiB go through a machine unchanged" much 64
beside "8 MiB by epoll" much 8 --io-engine epoll
beside "ends of streams are heard on the other side" ends
beside "SIGINT, SIGTERM, SIGHUP and SIGUSR1 reach the command" signals
beside "a second SIGTERM ends the machine at once" stubborn
beside "a terminal is one, and is resized" terminal
boot_finish
