#!/bin/bash
# timeout: 3300
# Stock Debian kernels with their own initrd, and Debian with systemd on a disk: to the login
# prompt, a file written, a reboot, the file read back, power off and panics. Kernels, numbers
# of CPUs, transports and engines are combined so that each value of one meets each of the others
# but for few; the small boots of the other scripts have these. 6.1 has its console on the serial
# port: its driver of hvc0 is a module that is not in its initrd, so that hvc0 comes too late for a
# login there.
# shellcheck disable=SC2016,SC2030,SC2031,SC2317 # guests' texts; cases by name
set -u

cd "$(dirname "$0")/../.." || exit 1
. tests/boot/lib.sh
boot_enter "$@"

# write_and_reboot MIB LAST: the script for both boots; LAST is run in the second.
write_and_reboot()
{
	cat <<-TEXT
	set -e
	# The prompt comes beside the script.
	until pgrep -x agetty >/dev/null; do sleep 1; done
	target=/dev/disk/by-id/virtio-target
	ip -4 -o addr show scope global
	[ "\$(systemctl --failed --no-legend | wc -l)" = 0 ]
	grep -q ' / ext4 rw' /proc/mounts
	if mount \$target /mnt 2>/dev/null; then
		echo "second boot"
		md5sum </mnt/file
		rm /mnt/file
		sync
		fstrim -v /mnt
		umount /mnt
		$2
	else
		echo "first boot, \$(nproc) CPUs, \$(uname -r)"
		mke2fs -q -t ext4 \$target
		mount \$target /mnt
		dd if=/dev/disk/by-id/virtio-source of=/mnt/file bs=1M count=$1 conv=fsync status=none
		echo reboot >/run/vmm-test-then
	fi
	TEXT
}

# came_back MIB CPUS: what the machine said tells of two boots, with the file alike in the second.
came_back()
{
	local sum

	sum=$(head -c "$1M" "$work/small/random.img" | md5sum)
	machine_output | grep "first boot, $2 CPUs, $series"
	machine_output | grep "second boot"
	machine_output | grep -F "$sum"
	machine_output | grep 'debian login:'
	e2fsck -fn "$work/$vm.img"
	# All that was written has been given back by fstrim.
	[ "$(du -k "$work/$vm.img" | cut -f 1)" -lt $((24 * 1024)) ]
}

# disks MIB: makes the disk to be written to, sets the options for it and for what is written.
disks()
{
	truncate -s "$(($1 * 5 / 4 + 48))M" "$work/$vm.img"
	chown "$user" "$work/$vm.img"
	run_as=("${as_user[@]}")
	disks=(--disk "$work/small/random.img,ro,id=source" --disk "$work/$vm.img,id=target")
}

# presses_button SERIES MIB CPUS OPTION...: SIGTERM when the second boot is done.
presses_button()
{
	local mib=$2 cpus=$3 machine

	series=$1
	shift 3
	disks "$mib"
	debian "$(write_and_reboot "$mib" "echo stay >/run/vmm-test-then")" "${disks[@]}" \
		--cpus "$cpus" "$@" &
	machine=$!
	wait_for 1400 came_to_stay
	kill -TERM "$(cat "$work/$vm.pid")"
	wait "$machine"
	came_back "$mib" "$cpus"
}

# The script has ended twice, and there are two prompts.
came_to_stay()
{
	[ "$(machine_output | grep -c "VMM-TEST-RESULT 0")" = 2 ] &&
		[ "$(machine_output | grep -c "debian login:")" = 2 ]
}

# poweroff SERIES MIB CPUS OPTION...
powers_off()
{
	local mib=$2 cpus=$3

	series=$1
	shift 3
	disks "$mib"
	debian "$(write_and_reboot "$mib" :)" "${disks[@]}" --cpus "$cpus" "$@"
	came_back "$mib" "$cpus"
}

# panics SERIES CPUS DRIVER OPTION...: with DRIVER loaded before, when there is one.
panics()
{
	local cpus=$2 driver=$3 sum

	series=$1
	shift 3
	disks 16
	sum=$(head -c 16M "$work/small/random.img" | md5sum)
	debian_ends 120 "
		until pgrep -x agetty >/dev/null; do sleep 1; done
		target=/dev/disk/by-id/virtio-target
		echo \"\$(nproc) CPUs, \$(uname -r)\"
		mke2fs -q -t ext4 \$target
		mount \$target /mnt
		dd if=/dev/disk/by-id/virtio-source of=/mnt/file bs=1M count=16 conv=fsync status=none
		echo 3 >/proc/sys/vm/drop_caches
		md5sum </mnt/file
		umount /mnt
		${driver:+modprobe $driver}
		sleep 3
		echo c >/proc/sysrq-trigger" "${disks[@]}" --cpus "$cpus" "$@"
	machine_output | grep "$cpus CPUs, $series"
	machine_output | grep -F "$sum"
	machine_output | grep 'debian login:'
	e2fsck -fn "$work/$vm.img"
	# The last of the last lines.
	grep "Kernel Offset" "$work/$vm.err"
}

beside "6.12, PCI, io_uring, 1 CPU: login, 256 MiB kept over a reboot, poweroff gives 0" \
	powers_off 6.12 256 1 --io-engine io_uring
beside "6.1, PCI, epoll, 4 CPUs: login, a file kept over a reboot, SIGTERM powers off and gives 0" \
	presses_button 6.1 16 4 --console serial --io-engine epoll
beside "6.12, MMIO, epoll, 4 CPUs: login, a file written and read, panic gives 120" \
	panics 6.12 4 '' --io-engine epoll --transport mmio
beside "6.1, MMIO, io_uring, 1 CPU: login, a file written and read, panic by pvpanic gives 120" \
	panics 6.1 1 pvpanic-mmio --console serial --io-engine io_uring --transport mmio
boot_finish
