# shellcheck shell=bash
# shellcheck disable=SC2054 # the emulator's options have commas
# Sourced by the QEMU peers: qemu MACHINE-OPTIONS BUS AIO [OPTION...] runs it as its documentation recommends
# for disks and cards of its own threads: an iothread for the disk, aio as said, the host's page cache unless
# DIRECT asks otherwise, a tap with virtio-net and no vhost unless VHOST asks for it. The iothread looks for
# work for POLL_MAX_NS before it sleeps, or for its default of 32 us.
qemu()
{
	local machine=$1 bus=$2 aio=$3 words

	shift 3
	words=(qemu-system-x86_64 -nodefaults -no-user-config -display none -accel kvm -cpu host -M "$machine"
		-m "$MEMORY" -name "debug-threads=on" -kernel "$KERNEL" -append "$CMDLINE"
		-device isa-debug-exit,iobase=0x501,iosize=1 -no-reboot)
	if [ "${CONSOLE:-serial}" = virtio ]; then
		words+=(-chardev stdio,id=c,signal=off -device "virtio-serial-$bus" -device virtconsole,chardev=c)
	else
		words+=(-chardev stdio,id=c,signal=off -serial chardev:c)
	fi
	[ -z "${INITRD:-}" ] || words+=(-initrd "$INITRD")
	[ -z "${DISK:-}" ] || words+=(-object "iothread,id=io${POLL_MAX_NS:+,poll-max-ns=$POLL_MAX_NS}"
		-drive "id=d,file=$DISK,format=raw,if=none,aio=$aio,cache=$([ -n "${DIRECT:-}" ] && echo none || echo writeback)"
		-device "virtio-blk-$bus,drive=d,iothread=io")
	[ -z "${TAP:-}" ] || words+=(-netdev "tap,id=n,ifname=$TAP,script=no,downscript=no${VHOST:+,vhost=on}"
		-device "virtio-net-$bus,netdev=n$([ "$bus" != pci ] || echo ,romfile=)") # no ROM to boot from the network
	exec "${words[@]}" "$@"
}
