#!/bin/bash
# timeout: 1800
# Bare guests (tests/guest/cases) in our monitor: how machines end, the devices as honest drivers see
# them, and what lying drivers can do, on both transports and with both I/O engines. A guest prints
# a line a case; its lines are passed on with the machine's kind before them. VMM and VMM_ASAN name the
# programs; TESTS=PATTERN picks machines by name; NOTIFICATIONS is how many one disk gets (a million).
# shellcheck disable=SC2317,SC2163 # functions are run by name, and exported
set -u

cd "$(dirname "$0")/../.." || exit 1
. tests/support/cases.sh
arch=$(uname -m)
vmm=${VMM:-build/$arch/vmm}
vmm_asan=${VMM_ASAN:-build/$arch-asan/vmm}
guests=${GUESTS:-build/$arch/guest}
exec= # "exec" where the monitor takes the shell's place
work=$(mktemp -d)
trap 'rm -rf "$work" "$cases_log"' EXIT

if ! { : <>/dev/kvm; } 2>/dev/null; then
	echo "/dev/kvm cannot be opened"
	exit 77
fi

# guest CASE WORDS OPTION...: a machine with the case as its kernel, 20 s at most. It has no network but
# where one is asked for.
guest()
{
	local case=$1 words=$2

	shift 2
	[[ $* == *--net* ]] || set -- --net none "$@"
	$exec "$vmm" run --kernel "$guests/$case" --cmdline "$words" --memory 64M --timeout 20 "$@"
}

# ---- how machines end ----

guest_ends()
{
	local wanted=$1 words=$2

	shift 2
	expect "$wanted" guest end "$words" --console serial "$@"
}

every_status()
{
	local status

	for status in 0 1 7 119; do
		guest_ends "$status" "status=$status"
	done
}

resets()
{
	truncate -s 1M "$work/count.img"
	guest_ends 42 "how=reset ${1:-}" --disk "$work/count.img" --transport "${2:-pci}"
	rm "$work/count.img"
}

reset_ends()
{
	truncate -s 1M "$work/count.img"
	guest_ends 0 how=reset --on-reboot exit --disk "$work/count.img"
	rm "$work/count.img"
}

internal_error()
{
	local status=0

	guest end how=internal --console serial || status=$?
	[ "$status" != 110 ] || skip_case "this /dev/kvm runs every instruction"
	[ "$status" = 122 ]
}

serial_prints()
{
	guest hello quiet --console serial >"$work/out"
	grep -qx 'hello from a bare guest' "$work/out"
}

pvh_entry()
{
	guest hello quiet --console serial --entry pvh >"$work/out"
	grep -qx 'hello from a bare guest' "$work/out"
}

# ---- consoles ----

hvc0_prints()
{
	guest console acpi=off "$@" >"$work/out"
	grep -q 'hello on hvc0' "$work/out"
}

hvc0_reads()
{
	echo 'some words that are longer than a buffer' >"$work/in"
	guest console 'acpi=off echo' "$@" <"$work/in" >"$work/out"
	grep -q 'typed: some words that are longer than a buffer' "$work/out"
}

# 256 KiB, not a byte lost, through a pipe that is slow to begin with.
hvc0_floods()
{
	guest console 'acpi=off flood' "$@" | {
		sleep 0.3
		cat >"$work/out"
	}
	[ "$(grep -c '^[0-o]\{63\}.\?$' "$work/out")" = 4096 ]
}

hvc0_resizes()
{
	command -v script >/dev/null || skip_case "there is no script(1)"
	export -f guest
	export vmm guests work exec
	cat >"$work/resize.sh" <<-'END'
		stty cols 80 rows 24
		(
			for ((i = 0; i < 50; i++)); do
				sleep 0.1
				! grep -q 'size 80' "$work/out" || break
			done
			# One value: each is a call, and the guest tells of the first.
			stty cols 101 </dev/tty
		) &
		guest console 'acpi=off resize' $*
	END
	# Its own default, /bin/sh, would drop the exported function.
	SHELL=$BASH script -qfec "bash $work/resize.sh $*" /dev/null >"$work/out"
	cat "$work/out"
	grep -q 'size 80 24' "$work/out"
	grep -q 'size 101 24' "$work/out"
}

# ---- guests that print a line a case ----

# machine NAME COMMAND...: the guest's lines, and a line for the machine: it ends with 0, says little,
# and no sanitizer complains.
machine()
{
	local name=$1 status=0 what start lines bad

	shift
	what=${1/in_net/$2}
	what="$name: ${what%%_*}"
	# shellcheck disable=SC2053 # a pattern on purpose
	[ -z "$cases_only" ] || [[ $what == *$cases_only* ]] || return 0
	start=$(now_ms)
	"$@" >"$work/out" 2>"$work/err" </dev/null || status=$?
	tr -d '\r' <"$work/out" | sed -n "s/^\(ok\|FAIL\) /\1 $name: /p; s/^skip /skip $name: /p; s/^# /    | /p"
	bad=$(grep -c '^FAIL ' "$work/out")
	lines=$(wc -l <"$work/err")
	cases_failed=$((cases_failed + bad))
	if [ "$status" != "$bad" ] || [ "$lines" -gt 300 ] ||
		grep -qE 'Sanitizer|runtime error' "$work/err"; then
		cases_failed=$((cases_failed + 1))
		echo "FAIL $what ends well, status $status with ${bad:-?} failed cases, $lines lines of log"
		{ tail -n 10 "$work/out"; grep -m 1 -A 25 -E 'Sanitizer|runtime error' "$work/err" || tail -n 15 "$work/err"; } |
			sed 's/^/    | /'
	else
		echo "ok $what ends well, with $lines lines of log ($((($(now_ms) - start) / 100 * 100)) ms)"
	fi
}

blk_honest()
{
	truncate -s 16M "$work/disk.img"
	truncate -s 1M "$work/ro.img"
	guest blk acpi=off --console serial --disk "$work/disk.img,id=victim,queues=4" \
		--disk "$work/ro.img,ro" "$@"
}

rng_honest()
{
	truncate -s 1M "$work/any.img"
	guest rng acpi=off --console serial --disk "$work/any.img" "$@"
}

balloon_honest()
{
	guest balloon acpi=off --console serial --balloon on "$@"
}

# in_net COMMAND...: with a network of its own, where tap0 is 10.9.0.1.
in_net()
{
	export -f guest "$1"
	export vmm vmm_asan guests work exec ASAN_OPTIONS=quarantine_size_mb=1
	export -f resident
	unshare -n bash -c '
		ip tuntap add dev tap0 mode tap && ip addr add 10.9.0.1/24 dev tap0 &&
			ip link set tap0 up || exit 70
		"$@"' in_net "$@"
}

net_honest()
{
	guest net acpi=off --console serial --net tap=tap0 "$@"
}

# ---- guests that lie ----

# Kibibytes of memory that process $1 holds.
resident()
{
	sed -n 's/^VmRSS:[^0-9]*\([0-9]*\).*/\1/p' "/proc/$1/status"
}

# The monitor with sanitizers. Where the guest says "measure" its memory is read, and it may grow by 12 MiB
# (what requests are kept in is used when first needed) from the first time to the last.
hostile()
{
	local status=0 first='' last='' line pid

	truncate -s 16M "$work/victim.img" "$work/healthy.img"
	rm -f "$work/in" "$work/from"
	mkfifo "$work/in" "$work/from"
	exec 8<>"$work/in"
	exec=exec vmm=$vmm_asan guest hostile "acpi=off $1" --cpus 2 --console serial --timeout 480 \
		--disk "$work/victim.img,id=victim,queues=2" --disk "$work/healthy.img" \
		--balloon on --net tap=tap0 "${@:2}" <"$work/in" >"$work/from" 8>&- &
	pid=$!
	while IFS= read -r line; do
		echo "$line"
		case $line in
		measure*)
			last=$(resident "$pid")
			first=${first:-$last}
			echo >&8
			;;
		esac
	done <"$work/from"
	wait "$pid" || status=$?
	echo "# memory: $first KiB before, $last KiB after"
	[ $((last - first)) -le 12288 ] || echo "FAIL hostile: memory grew from $first to $last KiB"
	return "$status"
}

# The console's guest tells at the end, through the console; somebody types all the time.
hostile_console()
{
	truncate -s 16M "$work/healthy.img"
	yes | vmm=$vmm_asan guest hostile 'acpi=off console' --cpus 2 --timeout 120 \
		--disk "$work/healthy.img" "$@"
}

# The machine of a command, of which this guest runs nothing: the console has the relay's ports. The
# guest tells at the end, into a file; there is input all the time.
hostile_streams()
{
	local status=0

	truncate -s 16M "$work/healthy.img"
	mkdir -p "$work/root"
	rm -f "$work/said"
	yes | XDG_CACHE_HOME=$work/cache vmm=$vmm_asan guest hostile 'acpi=off console streams' --cpus 2 \
		--timeout 240 --rootfs "$work/root" --console "virtio,to=file:$work/said" \
		--disk "$work/healthy.img" "$@" -- nothing >/dev/null || status=$?
	cat "$work/said"
	return "$status"
}

guest_nothing()
{
	:
}

# Why there can be no network of our own, or nothing.
no_net()
{
	[ -w /dev/net/tun ] || { echo "/dev/net/tun cannot be opened"; return; }
	in_net guest_nothing 2>/dev/null || echo "no right to make a network namespace and a tap"
}

without_net=$(no_net)
check "status 0 to 119 is the guest's" every_status
check "serial: what the guest prints comes out" serial_prints
check "pvh: the same program by its other entry" pvh_entry
check "sleep register: status 0" guest_ends 0 how=sleep
check "reset register and keyboard controller: the machine starts again" resets
check "mmio: the machine starts again" resets acpi=off mmio
check "reset with --on-reboot exit: status 0" reset_ends
check "triple fault: status 121" guest_ends 121 how=triple
check "an instruction that KVM does not know: status 122" internal_error
check "a guest that spins: status 124" guest_ends 124 how=never --timeout 1
check "a guest that halts for ever: status 124" guest_ends 124 how=asleep --timeout 1

for transport in pci mmio; do
	for engine in io_uring epoll; do
		kind="$transport $engine"
		set -- --transport $transport --io-engine $engine
		check "$kind: hvc0 prints" hvc0_prints "$@"
		check "$kind: hvc0 reads what is typed" hvc0_reads "$@"
		check "$kind: hvc0 loses nothing" hvc0_floods "$@"
		check "$kind: hvc0 is resized" hvc0_resizes "$@"
		machine "$kind" rng_honest "$@"
		machine "$kind" balloon_honest "$@"
		machine "$kind" blk_honest "$@"
		if [ -n "$without_net" ]; then
			echo "skip $kind: net: $without_net"
		else
			machine "$kind" in_net net_honest "$@"
		fi
		machine "$kind, 2 threads" blk_honest "$@" --io-threads 2
	done
	# Long enough that most requests are found in memory.
	machine "$transport polling" blk_honest --transport $transport --poll 200
	machine "$transport polling, 2 threads" blk_honest --transport $transport --poll 200 --io-threads 2
	machine "$transport polling" rng_honest --transport $transport --poll 200
	check "$transport polling: hvc0 loses nothing" hvc0_floods --transport $transport --poll 200
	[ -n "$without_net" ] ||
		machine "$transport polling" in_net net_honest --transport $transport --poll 200
done

# The same lies on both transports and engines; many notifications in one of them.
for transport in pci mmio; do
	for engine in io_uring epoll; do
		kind="$transport $engine"
		set -- --transport $transport --io-engine $engine
		notifications=
		[ "$kind" != "pci io_uring" ] || notifications=notifications=${NOTIFICATIONS:-1000000}
		case $kind in "pci epoll" | "mmio io_uring") set -- "$@" --io-threads 2 ;; esac
		if [ -n "$without_net" ]; then
			echo "skip $kind: hostile: $without_net"
		else
			machine "$kind" in_net hostile "$notifications" "$@"
		fi
		machine "$kind" hostile_console "$@"
		# What is polled is the same on every transport.
		[ "$kind" != "pci io_uring" ] || [ -n "$without_net" ] ||
			machine "$kind, polling" in_net hostile "" "$@" --poll 200
		# Ports are the same on every transport and engine.
		[ "$kind" != "pci io_uring" ] || machine "$kind, ports" hostile_streams "$@"
	done
done

finish
