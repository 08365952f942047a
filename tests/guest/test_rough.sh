#!/bin/bash
# timeout: 120
# Machines handled roughly: signals, alone and twice, from parents that ignore some; pipes for files.
# shellcheck disable=SC2317 # functions are called by way of check
set -u

cd "$(dirname "$0")/../.." || exit 1
. tests/support/cases.sh
arch=$(uname -m)
vmm=${VMM:-build/$arch/vmm}
guests=${GUESTS:-build/$arch/guest}
work=$(mktemp -d)
trap 'rm -rf "$work" "$cases_log"' EXIT

if ! { : <>/dev/kvm; } 2>/dev/null; then
	echo "/dev/kvm cannot be opened"
	exit 77
fi

# ---- signals ----

# busy SECONDS IGNORED SIGNAL...: the status of a machine whose guest does not end by itself within SECONDS,
# whose parent ignores the signals IGNORED, and which gets the others one after the other.
busy()
{
	local seconds=$1 ignored=$2 signal pid tries

	shift 2
	: >"$work/log"
	(
		# shellcheck disable=SC2064,SC2086 # one word a signal
		[ -z "$ignored" ] || trap '' $ignored
		exec "$vmm" run --kernel "$guests/end" --cmdline how=never --net none --memory 64M \
			--console serial --timeout "$seconds" -v
	) 2>"$work/log" &
	pid=$!
	for ((tries = 0; tries < 100; tries++)); do
		! grep -q 'first KVM_RUN' "$work/log" || break
		sleep 0.05
	done
	for signal; do
		kill "-$signal" "$pid"
		sleep 0.2
	done
	wait "$pid"
}

# ---- resets ----

# started COUNT: the guest has started as often.
started()
{
	local tries

	for ((tries = 0; tries < 200; tries++)); do
		! grep -q "start $1" "$work/out" || return 0
		sleep 0.05
	done
	return 1
}

# What a process has open, by kind, and the number of its threads.
holdings()
{
	readlink "/proc/$1/fd/"* | sed 's/[0-9]\+//g' | sort | uniq -c
	find "/proc/$1/task" -mindepth 1 -maxdepth 1 | wc -l
}

# resets OPTION...: after 30 resets the process holds what it held after one.
resets()
{
	local pid status=0 maps maps_of_one

	for count in 1 30; do
		rm -f "$work/disk.img"
		truncate -s 1M "$work/disk.img"
		: >"$work/out"
		"$vmm" run --kernel "$guests/end" --cmdline "acpi=off how=reset resets=$count stay" \
			--memory 64M --console serial --timeout 30 --disk "$work/disk.img" "$@" \
			>"$work/out" &
		pid=$!
		started $((count + 1))
		sleep 0.2
		holdings "$pid" >"$work/held.$count"
		maps=$(grep -c . "/proc/$pid/maps")
		[ "$count" != 1 ] || maps_of_one=$maps
		kill -TERM "$pid"
		sleep 0.2
		kill -TERM "$pid"
		wait "$pid" || status=$?
		[ "$status" = 143 ]
	done
	diff "$work/held.1" "$work/held.30"
	# Neighbours are one mapping or two as chance puts them; what is left behind is one for each reset.
	echo "$maps_of_one mappings after one, $maps after 30"
	[ "$maps" -le $((maps_of_one + 5)) ]
}

# With -v each start has a table of its own, with times from its reset on.
reset_tables()
{
	truncate -s 1M "$work/tables.img"
	expect 42 "$vmm" run --kernel "$guests/end" --cmdline "acpi=off how=reset resets=4" --net none \
		--memory 64M --console serial --timeout 30 --disk "$work/tables.img" -v 2>"$work/log"
	[ "$(grep -c 'step .*took ms' "$work/log")" = 5 ]
	[ "$(grep -c 'configuration ' "$work/log")" = 1 ]
	[ "$(grep -c 'first KVM_RUN ' "$work/log")" = 5 ]
}

# ---- terminals ----

# After raw mode: each line of the registers begins at the left.
registers_on_terminal()
{
	command -v script >/dev/null || skip_case "there is no script(1)"
	expect 122 script -qfec "$vmm run --kernel $guests/end --cmdline how=internal --net none \
		--memory 64M --console serial" /dev/null >"$work/out" || skip_case "no internal error here"
	grep -q '^gdt ' "$work/out"
	! grep -v $'\r$' "$work/out"
}

# ---- panics ----

# shown HOW OPTION...
shown()
{
	local how=$1

	shift
	"$vmm" run --kernel "$guests/end" --cmdline "how=$how" --net none --memory 64M --console serial \
		--timeout 10 "$@" 2>"$work/log"
}

# ---- pipes for files ----

# A pipe that nobody writes must not make a machine that no signal ends.
pipe_kernel()
{
	mkfifo "$work/pipe"
	expect 125 timeout -k 1 3 "$vmm" run --kernel "$work/pipe" --net none 2>"$work/log"
	grep -q "pipe: a pipe; expected" "$work/log"
	expect 125 timeout -k 1 3 "$vmm" run --kernel "$guests/hello" --initrd "$work/pipe" --net none \
		2>"$work/log"
	grep -q "pipe: a pipe; expected an initrd" "$work/log"
}

pipe_stats()
{
	mkfifo "$work/counts"
	expect 125 timeout -k 1 3 "$vmm" run --kernel "$guests/hello" --stats "$work/counts" --net none \
		2>"$work/log"
	grep -q "counts for --stats: nobody reads this pipe" "$work/log"
}

check "nohup: SIGHUP is ignored" expect 124 busy 7 HUP HUP
check "SIGINT ignored by the parent stays ignored" expect 124 busy 3 INT INT INT
check "SIGTERM counts though the parent ignores others" expect 143 busy 7 "INT HUP" TERM TERM
check "SIGTERM twice: status 143" expect 143 busy 7 "" TERM TERM
check "SIGHUP: status 129 when the guest goes on" expect 129 busy 10 "" HUP
for engine in io_uring epoll; do
	check "$engine: 30 resets leave nothing behind" resets --net none --io-engine $engine
	check "$engine: 30 resets with mmio and threads leave nothing behind" resets --net none \
		--io-engine $engine --transport mmio --io-threads 2
done
if [ -n "$(type -P passt)" ] && [ -n "$(ip route show default)" ]; then
	check "30 resets with passt leave nothing behind" resets --net user
fi
check "a panic on the console, then silence: status 120" expect 120 shown panic
check "the log of a panic, then power off: status 0" expect 0 shown log
check "the log of a panic, then a prompt: the machine goes on" expect 124 shown "log stay" --timeout 14
check "registers on a terminal are readable" registers_on_terminal
check "each reset has a table of times" reset_tables
check "a kernel or initrd that is a pipe is refused at once" pipe_kernel
check "counts into a pipe that nobody reads are refused at once" pipe_stats

finish
