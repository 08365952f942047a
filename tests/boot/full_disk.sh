#!/bin/bash
# timeout: 1500
# What a disk does to its image on the host, seen from both sides: discards, overlays, a host that
# is full, a second writer. Small boots of stock kernels.
# shellcheck disable=SC2016,SC2030,SC2031,SC2317 # guests' texts; cases by name
set -u

cd "$(dirname "$0")/../.." || exit 1
. tests/boot/lib.sh
boot_enter "$@"

# Kibibytes that a file takes.
taken()
{
	du -k "$1" | cut -f 1
}

new_image()
{
	truncate -s 64M "$1"
	mke2fs -q -t ext4 -O ^has_journal "$1"
}

fill_and_trim='
set -e
mount -t ext4 /dev/vda /mnt
dd if=/dev/urandom of=/mnt/file bs=1M count=24 conv=fsync 2>/dev/null
rm /mnt/file
sync
fstrim -v /mnt
umount /mnt
'

# discard OPTION...: a file of 24 MiB is written and removed; after fstrim the host has it back.
discard()
{
	local image=$work/$vm.img start end

	new_image "$image"
	start=$(taken "$image")
	small "$fill_and_trim" --disk "$image" "$@"
	end=$(taken "$image")
	echo "$start KiB at first, $end KiB afterwards"
	machine_output | grep trimmed
	e2fsck -fn "$image"
	[ "$end" -lt $((start + 2048)) ]
}

overlay_keeps()
{
	local image=$work/$vm.img before

	new_image "$image"
	before=$(md5sum <"$image")
	small "$fill_and_trim" --disk "$image,overlay" "$@"
	machine_output | grep trimmed
	[ "$(md5sum <"$image")" = "$before" ]
}

# A host file system of 16 MiB under an image of 64: the guest is told, and goes on.
full_host()
{
	local dir=$work/$vm.full

	mkdir "$dir"
	mount -t tmpfs -o size=16M tmpfs "$dir"
	truncate -s 64M "$dir/disk.img"
	small '
		dd if=/dev/zero of=/dev/vda bs=1M count=4 conv=fsync || exit 1
		dd if=/dev/urandom of=/dev/vda bs=1M count=40 conv=fsync 2>/tmp/said && exit 2
		cat /tmp/said
		grep -Ei "no space|i/o error|input/output" /tmp/said || exit 3
		# What was there is still read, and can be written again.
		echo 3 >/proc/sys/vm/drop_caches
		dd if=/dev/vda of=/dev/null bs=1M count=4 || exit 4
		dd if=/dev/zero of=/dev/vda bs=1M count=4 conv=fsync || exit 5
		echo went on' --disk "$dir/disk.img" "$@"
	machine_output | grep '^went on$'
	umount "$dir"
}

second_writer()
{
	local status=0

	vm=first
	truncate -s 1M "$work/one.img"
	small_ends 0 'echo up; sleep 100' --disk "$work/one.img" &
	wait_for 120 is_locked "$work/one.img"
	"$vmm" run --kernel "$work/small/vmlinuz-6.12" --net none --disk "$work/one.img" \
		--timeout 20 2>"$work/said" || status=$?
	cat "$work/said"
	kill -KILL "$(cat "$work/first.pid")"
	[ "$status" = 125 ]
	grep "one.img is in use by process [0-9]* (vmm)" "$work/said"
}

is_locked()
{
	grep -q ":$(stat -c %i "$1") " /proc/locks
}

check "a second writer is refused by name" second_writer
beside "discard on PCI with io_uring makes the image smaller" \
	discard --io-engine io_uring
beside "discard on MMIO with epoll makes the image smaller" \
	discard --io-engine epoll --transport mmio
beside "an overlay with io_uring leaves the image's checksum alone" \
	overlay_keeps --io-engine io_uring
beside "an overlay with epoll leaves the image's checksum alone" \
	overlay_keeps --io-engine epoll --transport mmio
beside "a full host with io_uring gives the guest an error and the machine goes on" \
	full_host --io-engine io_uring
beside "a full host with epoll gives the guest an error and the machine goes on" \
	full_host --io-engine epoll --cpus 2
boot_finish
