#!/bin/bash
# run.sh [quick|full]: kills machines at random moments, and looks for what was lost (crash.c).
# quick (the default): 22 kills; full: 230 kills, 100 with each engine and 30 while polling, and longer runs of
# the rest.
# timeout: 600
# shellcheck disable=SC2317 # functions called by check
set -u

cd "$(dirname "$0")/../.." || exit 1
. tests/support/cases.sh

build=build/$(uname -m)
size=${1:-quick}
vmm= # what starts the machine; empty: the program built
# Under build/, as /tmp may be in memory, where there is nothing to make durable.
work=$(mktemp -d "$PWD/build/crash.XXXXXX") || exit 1
trap 'rm -rf "$work" "$cases_log"' EXIT

if ! { : <>/dev/kvm; } 2>/dev/null; then
	echo "/dev/kvm cannot be opened"
	exit 77
fi

# crash KIND COUNT ENGINE WORDS [,DISK-OPTIONS] [OPTION...]
crash()
{
	local kind=$1 count=$2 engine=$3 words=$4 disk=${5:-} dir status=0

	shift $(($# < 5 ? 4 : 5))
	dir=$(mktemp -d "$work/XXXXXX")
	[ "$disk" != ,direct ] || can_do_direct "$dir" ||
		skip_case "the file system here has no direct I/O"
	# shellcheck disable=SC2086 # words
	"$build/tests/crash" "$kind" "$dir" "$count" -- ${vmm:-"$build/vmm"} run --kernel "$build/guest/crash" \
		--disk "$dir/disk.img$disk" --net none --console serial --memory 64M \
		--cmdline "$words" --io-engine "$engine" "$@" || status=$?
	rm -rf "$dir"
	[ "$status" != 125 ] || status=1
	return "$status"
}

# With O_DIRECT nothing is in the host's cache anyhow; the disk's own cache is emptied by fdatasync, seen
# here where it is a system call.
each_flush_is_fdatasync()
{
	local count

	command -v strace >/dev/null || skip_case "there is no strace"
	vmm="strace -D -f -qq -e trace=fdatasync -o $work/calls $build/vmm" \
		crash settle "$settles" epoll ask "${1:-}"
	sleep 0.2
	count=$(grep -cE 'fdatasync(\(| resumed).*= 0' "$work/calls")
	echo "$count fdatasync calls for $settles flushes"
	[ "$count" -ge "$settles" ]
}

can_do_direct()
{
	dd if=/dev/zero of="$1/probe" bs=4k count=1 oflag=direct status=none && rm -f "$1/probe"
}

if [ "$size" = full ]; then
	kills=(40 30 20 10) resets=20 settles=50 overlays=20
else
	kills=(4 2 2 2) resets=3 settles=5 overlays=3
fi
for engine in io_uring epoll; do
	check "$engine: what was flushed is there after ${kills[0]} kills" \
		crash kill "${kills[0]}" "$engine" flush
	check "$engine, direct: what was flushed is there after ${kills[1]} kills" \
		crash kill "${kills[1]}" "$engine" flush ,direct
	check "$engine, no write cache: what was written is there after ${kills[2]} kills" \
		crash kill "${kills[2]}" "$engine" writethrough
	check "$engine, mmio, a thread for I/O: what was flushed is there after ${kills[3]} kills" \
		crash kill "${kills[3]}" "$engine" "flush acpi=off" "" --transport mmio --io-threads 1
	check "$engine: what was flushed is there after $resets resets" \
		crash reset "$resets" "$engine" "ask-once reset=200"
	check "$engine, direct: what was flushed is there after $resets resets" \
		crash reset "$resets" "$engine" "ask-once reset=200" ,direct
	check "$engine: a flush is answered when nothing is in the host's cache only" \
		crash settle "$settles" "$engine" ask
	check "$engine, direct: a flush is answered when nothing is in the host's cache only" \
		crash settle "$settles" "$engine" ask ,direct
	check "$engine, no write cache: a write is answered when nothing is in that cache only" \
		crash settle "$settles" "$engine" "ask writethrough"
	check "$engine: $overlays kills leave nothing of an overlay behind, and the image as it was" \
		crash overlay "$overlays" "$engine" flush ,overlay
done
check "polling: what was flushed is there after ${kills[1]} kills" \
	crash kill "${kills[1]}" io_uring flush "" --poll 1000
check "each flush is an fdatasync" each_flush_is_fdatasync
check "direct: each flush is an fdatasync" each_flush_is_fdatasync ,direct
finish
