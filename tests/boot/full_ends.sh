#!/bin/bash
# timeout: 1500
# How machines with a real kernel end by what the host does to them, what they leave there then,
# and what the monitor needs while they idle. Small boots.
# shellcheck disable=SC2016,SC2030,SC2031,SC2317 # guests' texts; cases by name
set -u

cd "$(dirname "$0")/../.." || exit 1
. tests/boot/lib.sh
boot_enter "$@"

# The resident memory of process $1 without the guest's, in KiB: the guest's is what no dump takes.
own_memory()
{
	awk '
		/^[0-9a-f]+-[0-9a-f]+ / { name = $6 }
		$1 == "Rss:" { rss = $2 }
		$1 == "VmFlags:" {
			if ($0 !~ / dd( |$)/ || name ~ /^\[/)
				sum += rss
		}
		END { print sum }' "/proc/$1/smaps"
}

# A guest that sleeps with a disk and a network: measured, then told to end twice, which it ignores.
idle_and_killed()
{
	local machine pid own

	truncate -s 1M "$work/$vm.img"
	ip tuntap add dev "tap-$vm" mode tap vnet_hdr
	small_ends 143 '
		ip link set eth0 up
		dd if=/dev/vda of=/dev/null 2>/dev/null
		echo asleep
		sleep 1000' --disk "$work/$vm.img" --net "tap=tap-$vm" "$@" &
	machine=$!
	wait_for 300 has_said '^asleep'
	sleep 2
	pid=$(cat "$work/$vm.pid")
	own=$(own_memory "$pid")
	grep -E "^(VmRSS|RssAnon|RssFile)" "/proc/$pid/status"
	echo "$own KiB are the monitor's own"
	kill -TERM "$pid"
	sleep 1
	kill -0 "$pid"
	kill -TERM "$pid"
	wait "$machine"
	[ "$own" -gt 500 ]
	[ "$own" -le 4096 ]
}

time_limit()
{
	local start=$SECONDS

	small_ends 124 'sleep 1000' --timeout 3
	[ $((SECONDS - start)) -lt 60 ]
}

reboot_ends()
{
	small_ends 0 'echo started; reboot -f' --on-reboot exit
	machine_output | grep -c '^started' | grep -qx 1
}

panic_ends()
{
	small_ends 120 "$1"'echo c >/proc/sysrq-trigger' "${@:2}"
	grep "Kernel panic - not syncing: sysrq triggered crash" "$work/$vm.err"
}

panic_resets()
{
	local machine

	small_ends 137 'echo started; echo c >/proc/sysrq-trigger' --on-panic reset &
	machine=$!
	wait_for 300 said_twice '^started'
	grep 'Kernel panic - not syncing' "$work/$vm.out"
	kill -KILL "$(cat "$work/$vm.pid")"
	wait "$machine"
}

said_twice()
{
	[ "$(grep -c "$1" "$work/$vm.out")" -ge 2 ]
}

# ---- on a terminal ----

# on_terminal COMMAND: a machine on a terminal of its own, as the shell there would have it: the
# terminal's mode before and after, and the status. What is typed comes from descriptor 7.
on_terminal()
{
	small_initrd 'sleep 1000'
	mkfifo "$work/$vm.keys"
	exec 7<>"$work/$vm.keys"
	cat >"$work/$vm.sh" <<-TEXT
	echo \$\$ >$work/$vm.shell
	stty -g >$work/$vm.before
	$work/vmm run --kernel $work/small/vmlinuz-$series --initrd $work/$vm.initrd --net user \
		--memory 192M --timeout 200
	echo \$? >$work/$vm.status
	stty -g >$work/$vm.after
	TEXT
	script -q -f -c "sh $work/$vm.sh" "$work/$vm.out" <&7 7>&- >"$work/$vm.shown" &
	terminal=$!
	wait_for 300 has_said 'Linux version'
	# Raw by now: no line discipline between the keys and the monitor.
	running=$(pgrep -P "$(cat "$work/$vm.shell")")
}

# The monitor, its guardian and its passt.
processes_of()
{
	pgrep -s "$(ps -o sid= -p "$1" | tr -d ' ')"
	pgrep -P "$1"
}

ctrl_a_x()
{
	on_terminal
	printf '\001h' >&7
	wait_for 120 has_said 'Ctrl-a x  end the machine'
	printf '\001x' >&7
	wait_for 120 [ -s "$work/$vm.after" ]
	exec 7>&-
	[ "$(cat "$work/$vm.status")" = 0 ]
	cmp "$work/$vm.before" "$work/$vm.after"
}

crash_restores()
{
	on_terminal
	kill -KILL "$running"
	wait_for 120 [ -s "$work/$vm.after" ]
	exec 7>&-
	[ "$(cat "$work/$vm.status")" = 137 ]
	cmp "$work/$vm.before" "$work/$vm.after"
}

closed_terminal()
{
	local left pid

	on_terminal
	left=$(processes_of "$running" | sort -u)
	ps -o pid,ppid,sid,comm -p "$(echo "$left" | paste -sd,)"
	echo "$left" | grep -qx "$running"
	kill -KILL "$terminal"
	wait_for 120 all_gone "$left"
	exec 7>&-
}

all_gone()
{
	local pid

	for pid in $1; do
		! kill -0 "$pid" || return 1
	done
}

beside "an idle machine needs 4 MiB beside its memory, a second SIGTERM gives 143 (io_uring)" \
	idle_and_killed --io-engine io_uring
beside "an idle machine needs 4 MiB beside its memory, a second SIGTERM gives 143 (epoll)" \
	idle_and_killed --io-engine epoll --transport mmio
beside "the time limit gives 124" time_limit
beside "a reboot with --on-reboot exit gives 0" reboot_ends
beside "a panic on the serial console gives 120" panic_ends '' --console serial
beside "a panic with --on-panic reset boots again" panic_resets
beside "Ctrl-a h helps, Ctrl-a x gives 0 and the terminal back" ctrl_a_x
beside "a killed monitor gives the terminal back" crash_restores
beside "a closed terminal leaves no process behind" closed_terminal
boot_finish
