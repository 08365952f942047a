#!/bin/bash
# timeout: 1500
# Networks: passt as an ordinary user, taps with offloads, machines on a bridge. Small boots.
# shellcheck disable=SC2016,SC2030,SC2031,SC2317 # guests' texts; cases by name
set -u

cd "$(dirname "$0")/../.." || exit 1
. tests/boot/lib.sh
boot_enter "$@"

# ---- user mode ----

# Answers every question on this host's 127.0.0.1 with 192.0.2.77.
name_server()
{
	perl -MSocket -e '
		socket(my $s, PF_INET, SOCK_DGRAM, 0) or die;
		bind($s, sockaddr_in(53, inet_aton("127.0.0.1"))) or die "bind: $!";
		while (my $from = recv($s, my $ask, 512, 0)) {
			my $end = index($ask, "\0", 12) + 5;
			my ($question, $type) = (substr($ask, 12, $end - 12), substr($ask, $end - 4, 2));
			my $found = $type eq "\0\1";
			my $answer = substr($ask, 0, 2) . pack("n5", 0x8180, 1, $found, 0, 0) . $question;
			$answer .= pack("n3Nn", 0xc00c, 1, 1, 60, 4) . inet_aton("192.0.2.77") if $found;
			send($s, $answer, 0, $from);
		}' &
}

# DHCP, a name, and a page from this host's 127.0.0.1, which the guest sees as its gateway; and a
# port of the host that leads to a server in the guest.
user_mode()
{
	local machine web=$work/$vm.web

	mkdir "$web"
	echo "a page from the host" >"$web/page"
	echo "nameserver 127.0.0.1" >"$web/resolv.conf"
	mount --bind "$web/resolv.conf" /etc/resolv.conf
	busybox httpd -f -p 127.0.0.1:8081 -h "$web" &
	name_server
	run_as=("${as_user[@]}")
	small '
		set -e
		online
		ip -4 addr show scope global | grep inet
		cat /etc/resolv.conf
		nslookup some.example | tee /tmp/name
		grep -q 192.0.2.77 /tmp/name
		wget -q -O - http://$(cat /gateway):8081/page
		echo serving
		until grep -q GET /tmp/asked; do
			printf "HTTP/1.0 200 OK\r\n\r\na page from the guest\n" |
				timeout 60 nc -l -p 80 >/tmp/asked
		done 2>/dev/null' --net user --publish 127.0.0.1:8082:80 "$@" &
	machine=$!
	wait_for 300 has_said '^serving'
	wait_for 30 fetch 127.0.0.1:8082
	wait "$machine"
	machine_output | grep "^a page from the host"
}

fetch()
{
	curl -s -m 30 "http://$1/page" | grep "a page from the guest"
}

# ---- taps ----

# new_tap NAME ADDRESS: a tap for the ordinary user.
new_tap()
{
	ip tuntap add dev "$1" mode tap user "$user" vnet_hdr
	[ -z "$2" ] || ip addr add "$2" dev "$1"
	ip link set "$1" up
}

# Iperf3's report of the host's client: megabits a second, and segments sent again.
measure()
{
	local way=$1 file=$work/$vm.iperf3 rate again sent

	shift
	iperf3 --json --connect-timeout 20000 -c 10.9.0.2 -t 4 "$@" >"$file"
	rate=$(jq '.end.sum_received.bits_per_second / 1e6 | floor' "$file")
	again=$(jq '.end.sum_sent.retransmits' "$file")
	sent=$(jq '.end.sum_sent.bytes' "$file")
	echo "$way: $rate Mbit/s, $again segments sent again"
	[ "$rate" -gt 0 ]
	# A storm would be some in a hundred.
	[ $((again * 1448 * 50)) -lt "$sent" ]
}

# The guest's server has been started so many times.
listens()
{
	[ "$(grep -c "^Server listening" "$work/$vm.out")" -ge "$1" ]
}

# Both ways at a pace that only large frames allow, and the guest's own word on what is on.
tap_offloads()
{
	local machine

	new_tap tap0 10.9.0.1/24
	run_as=("${as_user[@]}")
	small '
		set -e
		card=$(ls -d /sys/class/net/*/device | cut -d / -f 5)
		ip link set $card up
		ip addr add 10.9.0.2/24 dev $card
		ethtool -k $card >/tmp/offloads
		for what in tx-checksumming tx-tcp-segmentation tx-tcp6-segmentation \
			generic-receive-offload rx-checksumming scatter-gather; do
			grep "^[[:space:]]*$what: on" /tmp/offloads
		done
		iperf3 -s -1
		iperf3 -s -1
		cd /sys/class/net/$card/statistics
		grep . rx_errors tx_errors rx_dropped tx_dropped' --net tap=tap0 "$@" &
	machine=$!
	wait_for 300 listens 1
	measure "host to guest"
	wait_for 120 listens 2
	measure "guest to host" -R
	wait "$machine"
	machine_output | tail -n 12
	ip tuntap del dev tap0 mode tap
}

# ---- two machines on a bridge ----

on_bridge()
{
	local first second setup

	ip link add bridge0 type bridge
	ip link set bridge0 up
	new_tap tap1 ''
	new_tap tap2 ''
	ip link set tap1 master bridge0
	ip link set tap2 master bridge0
	setup='card=$(ls -d /sys/class/net/*/device | cut -d / -f 5); ip link set $card up'
	vm=$vm-first
	small "$setup; ip addr add 10.8.0.1/24 dev \$card; "'
		echo "a word from the first" | timeout 150 nc -l -p 7' --name first --net tap=tap1 &
	first=$!
	vm=${vm%-first}-second
	small "$setup; ip addr add 10.8.0.2/24 dev \$card; "'
		for i in $(seq 150); do
			nc -w 5 10.8.0.1 7 </dev/null >/tmp/word && break
			sleep 0.5
		done
		cat /tmp/word
		grep -q "a word from the first" /tmp/word' --name second --net tap=tap2 --transport mmio &
	second=$!
	wait "$first"
	wait "$second"
	machine_output
}

beside "6.12, PCI: DHCP, DNS, a fetch from the host and a published port, as an ordinary user" \
	user_mode --io-engine io_uring --cpus 4
wait
beside "tap: iperf3 both ways with offloads and without a storm of retransmissions" tap_offloads
beside "two machines on one bridge reach each other" on_bridge
boot_finish
