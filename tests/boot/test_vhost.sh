#!/bin/bash
# timeout: 300
# vhost=on: a tap's queues in the host's kernel, on both transports. Small boots.
# shellcheck disable=SC2016,SC2030,SC2031,SC2317 # guests' texts; cases by name
set -u

cd "$(dirname "$0")/../.." || exit 1
. tests/boot/lib.sh
boot_enter "$@"

# rate NAME OPTION...: what iperf3's client says, once the guest's server listens.
rate()
{
	local way=$1 file=$work/$vm.iperf3

	shift
	wait_for 120 iperf3_client "$@"
	echo "$way: $(jq '.end.sum_received.bits_per_second / 1e6 | floor' "$file") Mbit/s"
}

iperf3_client()
{
	timeout 60 iperf3 --json --connect-timeout 20000 -c "$address" -t 2 "$@" >"$work/$vm.iperf3"
}

# The kernel's worker is a thread of the process since 6.4, before that one of the kernel's own.
has_worker()
{
	local pid

	pid=$(cat "$work/$vm.pid")
	cat "/proc/$pid"/task/*/comm /proc/[0-9]*/comm | grep -x "vhost-$pid"
}

# in_kernel NUMBER OPTION...: ping, and iperf3 both ways.
in_kernel()
{
	local tap=vtap$1 net=10.7.$1 address=10.7.$1.2 machine

	shift
	ip tuntap add dev "$tap" mode tap vnet_hdr
	ip addr add "$net.1/24" dev "$tap"
	ip link set "$tap" up
	small '
		set -e
		card=$(ls -d /sys/class/net/*/device | cut -d / -f 5)
		ip link set $card up
		ip addr add '"$address"'/24 dev $card
		iperf3 -s -1 >/dev/null
		iperf3 -s -1 >/dev/null
		cd /sys/class/net/$card/statistics
		grep . rx_packets tx_packets rx_errors tx_errors rx_dropped tx_dropped' \
		--net "tap=$tap,vhost=on" "$@" &
	machine=$!
	wait_for 150 ping -c 1 -W 1 "$address"
	has_worker
	ping -q -i 0.02 -c 50 "$address" | tail -n 2
	rate "host to guest"
	rate "guest to host" -R
	wait "$machine"
	machine_output | tail -n 8
}

beside "PCI: ping and iperf3 both ways by the host's kernel" in_kernel 1
beside "MMIO: the same, with interrupts by the loop" in_kernel 2 --transport mmio
boot_finish
