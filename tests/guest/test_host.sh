#!/bin/bash
# timeout: 300
# Hosts that break: what is refused at the start gives status 125 and one line with the cure; what breaks
# while the machine runs is the guest's failed request, one line or a few, and the machine goes on.
# shellcheck disable=SC2317 # functions called by check
set -u

cd "$(dirname "$0")/../.." || exit 1
. tests/support/cases.sh
build=build/$(uname -m)
vmm=${VMM:-$build/vmm}
guest=$build/guest/host
# Under build/, as /tmp may be in memory.
work=$(mktemp -d "$PWD/build/host.XXXXXX") || exit 1
trap 'rm -rf "$work" "$cases_log"' EXIT

if ! { : <>/dev/kvm; } 2>/dev/null; then
	echo "/dev/kvm cannot be opened"
	exit 77
fi

# machine WORDS OPTION...: 40 s at most, no network but where one is asked for.
machine()
{
	local words=$1

	shift
	[[ $* == *--net* ]] || set -- --net none "$@"
	[[ $* == *--console* ]] || set -- --console serial "$@"
	"$vmm" run --kernel "$guest" --cmdline "$words" --memory 64M --timeout 40 "$@"
}

image()
{
	rm -f "$work/disk.img"
	truncate -s 4M "$work/disk.img"
}

# said COUNT PATTERN: at most COUNT lines on stderr, and one with the pattern.
said()
{
	cat "$work/err"
	[ "$(wc -l <"$work/err")" -le "$1" ]
	[ -z "$2" ] || grep -qE -e "$2" "$work/err"
}

# refused PATTERN COMMAND...: status 125 and one line.
refused()
{
	local pattern=$1

	shift
	expect 125 "$@" 2>"$work/err" >/dev/null </dev/null
	said 1 "$pattern"
}

# goes_on LINES PATTERN COMMAND...: the guest's own status, whatever the host did, and few lines.
goes_on()
{
	local lines=$1 pattern=$2

	shift 2
	expect 7 "$@" 2>"$work/err" >"$work/out" </dev/null
	said "$lines" "$pattern"
}

# during ACTION COMMAND...: runs COMMAND, ACTION once the guest is ready, and then gives it a byte.
during()
{
	local action=$1 i pid status=0

	shift
	rm -f "$work/in"
	mkfifo "$work/in"
	: >"$work/out"
	"$@" <"$work/in" >"$work/out" 2>"$work/err" &
	pid=$!
	exec 9>"$work/in"
	for ((i = 0; i < 200; i++)); do
		! grep -q ready "$work/out" || break
		sleep 0.05
	done
	"$action" "$pid" || status=1
	# It may have ended by itself.
	(trap '' PIPE; echo >&9) 2>/dev/null || true
	wait "$pid" || status=$?
	exec 9>&-
	cat "$work/out" "$work/err"
	[ "$status" = "${ends_with:-7}" ]
}

has()
{
	tr -d '\r' <"$work/out" | grep -qx "$1" || {
		cat "$work/out"
		echo "no line $1"
		return 1
	}
}

as_root()
{
	[ "$(id -u)" = 0 ] || skip_case "needs root"
}

# private COMMAND...: with mounts of its own. COMMAND may be a function of this file.
private()
{
	as_root
	# shellcheck disable=SC2163 # the function that $1 names
	export -f machine image expect said refused goes_on "$1"
	export vmm guest work
	unshare -m --propagation private bash -c 'set -e; "$@"' private "$@"
}

# ---- at the start ----

empty_disk()
{
	: >"$work/empty.img"
	refused 'empty.img is empty: give it a size \(truncate' machine do=fill --disk "$work/empty.img"
}

odd_disk()
{
	truncate -s 65800 "$work/odd.img"
	goes_on 1 'last 264 bytes are not a whole block' machine do=fill --disk "$work/odd.img"
	has 'written 1 failed 0 read 1'
}

pipe_disk()
{
	mkfifo "$work/pipe"
	refused 'pipe is a pipe: a disk is a file or a block device' machine do=fill --disk "$work/pipe"
	image
	refused 'pipe is a pipe: a disk is a file or a block device' machine do=fill --disk "$work/disk.img" \
		--disk "$work/pipe"
}

# Somebody who may use KVM, but not write to the file.
not_ours()
{
	image
	chmod 711 "$work"
	mknod -m 666 "$work/kvm" c 10 232
	mount --bind "$work/kvm" /dev/kvm
	chmod 444 "$work/disk.img"
	refused 'disk.img for writing \(,ro and ,overlay only need to read\): Permission denied' \
		setpriv --reuid 65534 --regid 65534 --clear-groups "$vmm" run --kernel "$guest" --net none \
		--disk "$work/disk.img"
}

second_writer_refused()
{
	local pid=$1

	(refused "disk.img is in use by process $pid .*: stop that first, or use ,ro or ,overlay in both" \
		machine do=fill --disk "$work/disk.img")
}

second_writer()
{
	image
	during second_writer_refused "$vmm" run --kernel "$guest" --net none --console serial --memory 64M \
		--cmdline do=wait --timeout 40 --disk "$work/disk.img"
}

no_kvm()
{
	mount -t tmpfs none /dev
	mknod -m 666 /dev/null c 1 3
	refused 'open /dev/kvm \(load the module kvm-intel or kvm-amd' machine do=fill
}

denied_kvm()
{
	mount -t tmpfs none /dev
	mknod -m 666 /dev/null c 1 3
	mknod -m 600 /dev/kvm c 10 232
	chmod 711 "$work"
	refused 'open /dev/kvm \(add the user to group kvm\): Permission denied' \
		setpriv --reuid 65534 --regid 65534 --clear-groups "$vmm" run --kernel "$guest" --net none
}

few_descriptors()
{
	image
	ulimit -n 32
	goes_on 0 '' machine do=fill --disk "$work/disk.img"
}

too_few_descriptors()
{
	image
	ulimit -n "$1"
	refused 'Too many open files.*ulimit -n' machine do=fill --disk "$work/disk.img"
}

no_memlock()
{
	image
	ulimit -l 0
	goes_on 0 '' machine do=fill --disk "$work/disk.img" --io-engine "$1"
}

little_address_space()
{
	ulimit -v 300000
	refused 'map 1024 MiB of guest memory; a smaller --memory may fit: Cannot allocate memory' \
		machine do=fill --memory 1G
}

# ---- disks that break ----

# Room for 2 of 4 MiB.
full_disk()
{
	mount -t tmpfs -o size=2M none /mnt
	truncate -s 4M /mnt/disk.img
	goes_on 8 'a request failed: No space left on device' machine do=fill \
		--disk /mnt/disk.img,id=full --io-engine "$1"
	grep -q 'disk full' "$work/err"
	grep -q 'flush 0' "$work/out"
	grep -qE 'written 3[0-2] failed 3[2-4] read 64' "$work/out"
}

full_overlay()
{
	mount -t tmpfs -o size=2M none /mnt
	image
	TMPDIR=/mnt goes_on 8 'a request failed: No space left on device' machine do=fill \
		--disk "$work/disk.img,overlay" --io-engine "$1"
	grep -q "$work/disk.img: a request" "$work/err"
	grep -qE 'failed [1-9]' "$work/out"
	[ "$(tr -d '\0' <"$work/disk.img" | wc -c)" = 0 ]
}

long_file()
{
	image
	ulimit -f 2048
	goes_on 8 'a request failed: File too large' machine do=fill --disk "$work/disk.img${2:-}" \
		--io-engine "$1"
	has 'written 32 failed 32 read 64'
}

cut()
{
	truncate -s 1M "$work/disk.img"
}

grow()
{
	truncate -s 8M "$work/disk.img"
}

cut_disk()
{
	image
	during cut machine do=ends --disk "$work/disk.img${2:-}" --io-engine "$1"
	[ "$(grep -c '^first 0' "$work/out")" = 2 ]
	has 'first 0 last 1'
	said 8 'a request failed: Input/output error|'
}

cut_kernel_file()
{
	truncate -s 300K "$work/kernel"
}

# The request's own memory is gone: it fails; what a device has to look at itself: no machine any more.
cut_kernel()
{
	local disk=${2:-$work/disk.img}

	image
	[ "$disk" = "$work/disk.img" ] || head -c 4M /dev/zero >"$disk"
	cp "$guest" "$work/kernel"
	guest=$work/kernel
	ends_with=125 during cut_kernel_file machine do=cut --disk "$disk" --io-engine "$1"
	has 'write 1'
	said 2 'vmm: memory of the guest is gone: was the file of its kernel or initrd overwritten'
}

cut_kernel_in_memory()
{
	local disk

	disk=$(mktemp -p /dev/shm)
	# shellcheck disable=SC2064 # now
	trap "rm -f $disk" EXIT
	cut_kernel "$1" "$disk"
}

resized_disk()
{
	image
	during "$2" machine do=size --disk "$work/disk.img" --io-engine "$1"
	has 'last 0'
	has "sectors $3"
	said 1 'has changed its size'
}

# ---- consoles that break ----

full_console()
{
	mount -t tmpfs -o size=4k none /mnt
	goes_on 1 'console.*/mnt/log: No space left on device' machine do=talk \
		--console "$1,to=file:/mnt/log"
}

long_console()
{
	ulimit -f 4
	goes_on 1 'console.*File too large' machine do=talk --console "serial,to=file:$work/log"
}

closed_pipe()
{
	local status

	machine do=talk 2>"$work/err" </dev/null | head -n 1 >"$work/out"
	status=${PIPESTATUS[0]}
	cat "$work/err"
	[ "$status" = 7 ] || [ "$status" = 129 ]
}

# The disk's descriptor must not get the number of a closed stream.
closed_streams()
{
	image
	expect 7 machine do=talk --disk "$work/disk.img" >&- 2>&- <&-
	[ "$(tr -d '\0' <"$work/disk.img" | wc -c)" = 0 ]
}

hang_up()
{
	local i pid

	command -v script >/dev/null || skip_case "there is no script(1)"
	rm -f "$work/typed"
	mkfifo "$work/typed"
	script -qfc "echo \$\$ >$work/pid; exec $vmm run --kernel $guest --cmdline do=wait --net none \
		--console serial --memory 64M --timeout 60" "$work/out" <"$work/typed" >/dev/null 2>&1 &
	pid=$!
	exec 9>"$work/typed"
	for ((i = 0; i < 200; i++)); do
		! grep -q ready "$work/out" 2>/dev/null || break
		sleep 0.05
	done
	kill -KILL "$pid"
	exec 9>&-
	pid=$(cat "$work/pid")
	for ((i = 0; i < 80; i++)); do
		kill -0 "$pid" 2>/dev/null || return 0
		sleep 0.1
	done
	echo "process $pid is still there"
	kill -KILL "$pid"
	return 1
}

# ---- networks that break ----

delete_tap()
{
	ip link del tap9
}

no_tap()
{
	as_root
	[ -w /dev/net/tun ] || skip_case "/dev/net/tun cannot be opened"
	export -f during machine delete_tap
	export vmm guest work
	unshare -n bash -c 'ip tuntap add dev tap9 mode tap && ip link set tap9 up || exit 77
		during delete_tap machine "do=link changes=1" --net tap=tap9 --io-engine '"$1"
	has 'link 1'
	has 'link 0'
	said 1 'tap9 is gone: the machine is cut off'
}

kill_passt()
{
	local child

	# shellcheck disable=SC2013 # words
	for child in $(cat /proc/"$1"/task/*/children); do
		[[ $(cat "/proc/$child/comm") != passt* ]] || kill -KILL "$child"
	done
}

no_passt()
{
	command -v passt >/dev/null || skip_case "passt is not installed"
	[ -n "$(ip route show default)" ] || skip_case "passt needs a default route"
	during kill_passt "$vmm" run --kernel "$guest" --net user --console serial --memory 64M \
		--cmdline "do=link changes=2" --timeout 40 --io-engine "$1"
	[ "$(tr -d '\r' <"$work/out" | grep '^link' | tr '\n' ' ')" = 'link 1 link 0 link 1 ' ]
	said 2 'passt has ended, the machine has no network; it is started again'
}

check "a disk that is a directory is refused" refused ' is a directory: a disk is a file or a block device' \
	machine do=fill --disk "$work"
check "a disk that is a pipe is refused" pipe_disk
check "a disk that is empty is refused" empty_disk
check "a disk that is not there is refused" refused 'there is no disk .*none.img: .* truncate -s' \
	machine do=fill --disk "$work/none.img"
check "a disk that is not whole sectors is cut, with a warning" odd_disk
check "a disk that may only be read is not written to" private not_ours
check "a second writer is told who is the first" second_writer
check "without /dev/kvm the cure is said" private no_kvm
check "/dev/kvm that is not allowed: the cure is said" private denied_kvm
check "32 descriptors are enough for a machine with a disk" few_descriptors
check "16 descriptors are not, and the cure is said" too_few_descriptors 16
check "8 descriptors are not, and the cure is said" too_few_descriptors 8
check "little address space: a smaller memory is proposed" little_address_space
for engine in io_uring epoll; do
	check "$engine: no locked memory is needed" no_memlock $engine
	check "$engine: a full disk fails requests, and the machine goes on" private full_disk $engine
	check "$engine: a full overlay fails requests, and the machine goes on" private full_overlay $engine
	check "$engine: a limit of file size fails requests, and the machine goes on" long_file $engine
	check "$engine, direct: a limit of file size fails requests, too" long_file $engine ,direct
	check "$engine: a disk cut underneath fails requests behind its end" cut_disk $engine
	check "$engine, direct: a disk cut underneath fails requests, too" cut_disk $engine ,direct
	check "$engine: a kernel's file cut underneath is named" cut_kernel $engine
	check "$engine: the same beside a disk in memory" cut_kernel_in_memory $engine
	check "$engine: a disk that grows is larger for the guest" resized_disk $engine grow 16384
	check "$engine: a disk that shrinks is smaller for the guest" resized_disk $engine cut 2048
	check "$engine: a tap that goes away takes the link down, and the machine goes on" no_tap $engine
	check "$engine: passt killed is started again, and the guest's link comes back" no_passt $engine
done
check "a console's file on a full disk: one warning, and the machine goes on" private full_console serial
check "a console's file that is too long: one warning, and the machine goes on" long_console
check "a console's pipe that nobody reads ends the machine, or it ends by itself" closed_pipe
check "closed standard streams: nothing is written into the disk" closed_streams
check "a terminal that hangs up leaves no process behind" hang_up

finish
