#!/bin/bash
# timeout: 2400
# Ways into a kernel, sizes of machines, and what consoles show. The shortest boots: to an init that
# ends at once, or to a small script.
# shellcheck disable=SC2016,SC2030,SC2031,SC2317 # guests' texts; cases by name
set -u

cd "$(dirname "$0")/../.." || exit 1
. tests/boot/lib.sh
boot_lab=(--memory 9G --timeout 2000 --cpus 1)
boot_enter "$@"
tests/image/initramfs-end.sh "$work/end.initrd"

# ends_at_once KERNEL OPTION...
ends_at_once()
{
	local kernel=$1

	shift
	vmm_ends 0 --kernel "$kernel" --initrd "$work/end.initrd" --memory 192M --net none \
		--cmdline quiet --timeout 400 "$@"
}

# The kernels of each compression, when they have been built. They can do nothing but say who they
# are, since they have neither ACPI nor an initramfs.
compressed()
{
	local kernel machine

	kernel=$(find "$BOOT_KERNELS"/*/ -maxdepth 1 -name "bzImage.$1" 2>/dev/null | head -n 1)
	[ -n "$kernel" ] || skip_case "guest-kernel-configs/build.sh --compressions has not been run"
	vmm_ends 137 --kernel "$kernel" --memory 64M --net none --console serial --timeout 300 \
		--cmdline earlycon=uart8250,io,0x3f8 --entry elf -v &
	machine=$!
	wait_for 250 has_said "Linux version 6.12"
	kill -KILL "$(cat "$work/$vm.pid")"
	wait "$machine"
	grep "($1), unpacked on the host" "$work/$vm.err"
}

many_cpus()
{
	small '
		nproc
		[ $(nproc) = 16 ]
		# One package with a core for each.
		[ $(grep "^cpu cores" /proc/cpuinfo | sort -u | grep -o "[0-9]*") = 16 ]' \
		--cpus 16
}

much_memory()
{
	small '
		grep MemTotal /proc/meminfo
		[ $(grep MemTotal /proc/meminfo | grep -o "[0-9]*") -gt 4800000 ] || exit 1
		grep "System RAM" /proc/iomem | grep "^.*100000000-"' --memory 5G
}

# each_line_once FILE: of the kernel's lines, which have their time, none comes twice.
each_line_once()
{
	local twice

	grep -c '^\[ *[0-9]*\.[0-9]*\] ' "$1"
	[ "$(grep -c '^\[ *[0-9]*\.[0-9]*\] ' "$1")" -ge 50 ]
	[ "$(grep -c "Linux version" "$1")" = 1 ]
	grep "Freeing unused kernel image" "$1"
	[ "$(grep -c "the script speaks" "$1")" = 1 ]
	twice=$(tr -d '\r' <"$1" | grep '^\[ *[0-9]*\.[0-9]*\] ' | sort | uniq -d)
	[ -z "$twice" ] || {
		echo "more than once:"
		echo "$twice"
		return 1
	}
}

said='echo the script speaks'

console_file()
{
	echo "what was there before" >"$work/$vm.console"
	small_ends 0 "$said" --cmdline 'loglevel=7' --console "$1,to=file:$work/$vm.console"
	head -n 1 "$work/$vm.console" | grep -x "what was there before"
	each_line_once "$work/$vm.console"
	[ ! -s "$work/$vm.out" ]
}

console_output()
{
	series=${2:-6.12}
	small "$said" --cmdline 'loglevel=7' --console "$1"
	each_line_once "$work/$vm.out"
}

# A pty is read by who opens it; what is typed there reaches the guest.
console_pty()
{
	local machine pty

	# The keys come from the machine's console, which the script's own input is not.
	small_ends 0 '
		echo ready
		read -r word </dev/console
		echo "got <$word>"' --console virtio,to=pty &
	machine=$!
	wait_for 120 grep -q "console is on" "$work/$vm.err"
	pty=$(grep -o '/dev/pts/[0-9]*' "$work/$vm.err")
	exec 8<>"$pty"
	cat <&8 >"$work/$vm.seen" &
	wait_for 300 grep -q '^ready' "$work/$vm.seen"
	printf 'word\r' >&8
	wait_for 120 grep -q 'got <word>' "$work/$vm.seen"
	exec 8>&-
	wait "$machine"
}

console_none()
{
	small_ends 0 "$said" --console virtio,to=none
	[ ! -s "$work/$vm.out" ]
}

stock=$work/small/vmlinuz-6.12
beside "a vmlinux boots by its 64-bit entry" ends_at_once "$BOOT_VMLINUX" --entry elf
beside "a vmlinux boots by its PVH note" ends_at_once "$BOOT_VMLINUX" --entry pvh --transport mmio
beside "a bzImage's payload is entered by its PVH note" ends_at_once "$stock" --entry pvh --cpus 4
beside "a bzImage boots by its own entry" ends_at_once "$stock" --entry bzimage
beside "6.1's bzImage boots by its own entry" ends_at_once "$work/small/vmlinuz-6.1" --entry bzimage
for how in gzip bzip2 lzma xz lzo lz4 zstd; do
	beside "a bzImage with a payload of $how boots as the ELF it holds" compressed $how
done
beside "5 GiB go past the hole below 4 GiB" much_memory
beside "16 CPUs come up as cores of one socket" many_cpus
beside "the serial console in a file has each line once, behind what was there" console_file serial
beside "hvc0 in a file has each line once, behind what was there" console_file virtio
beside "the serial console on standard output has each line once" console_output serial
beside "hvc0 on standard output has each line once" console_output virtio
beside "6.1: hvc0, that comes with a module, has each line once" console_output virtio 6.1
beside "hvc0 on a pty is read and typed to" console_pty
beside "a console to none says nothing" console_none
boot_finish
