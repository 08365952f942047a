# shellcheck shell=sh
# Prints QEMU's command line, a word a line. Arguments: vmm, root, scratch, kernel, command...
# A microvm with the kernel, the initramfs and the image of the root that vmm's own machine has: the
# last two are taken from one that runs the command, once. Its program speaks through virtio-console
# ports, which QEMU has, too; of control only the end is understood, when the machine is off.
vmm=$1; root=$2; scratch=$3; kernel=$4; shift 4
qemu=qemu-system-$(uname -m)
command -v "$qemu" >/dev/null || { echo "$qemu is not installed" >&2; exit 1; }
[ -n "$kernel" ] || { echo "needs --kernel FILE" >&2; exit 1; }
dir=$scratch/qemu-$(printf '%s\n' "$@" | cksum | cut -d ' ' -f 1)

# What process $1 has open under a name that ends in $2.
opened()
{
	for fd in "/proc/$1/fd"/*; do
		case $(readlink "$fd") in
		*"$2") echo "$fd"; return ;;
		esac
	done
	echo "vmm's machine has no $2" >&2
	return 1
}

if [ ! -e "$dir/initramfs" ]; then
	mkdir -p "$dir"
	mkfifo "$dir/in" "$dir/out"
	"$vmm" run --as machine --rootfs "$root" --kernel "$kernel" --net none -- "$@" <"$dir/in" >"$dir/out" &
	machine=$!
	trap 'kill $machine' EXIT
	exec 8>"$dir/in" 9<"$dir/out"
	# It runs when the command has said something.
	head -c 1 <&9 >/dev/null
	cp "$(opened $machine '/memfd:initramfs (deleted)')" "$dir/new"
	cp "$(opened $machine .erofs)" "$dir/image"
	trap - EXIT
	kill $machine
	exec 8>&- 9<&-
	wait $machine || :
	mv "$dir/new" "$dir/initramfs"
fi
printf '%s\n' "$qemu" -M microvm,acpi=on,pit=off,pic=off,rtc=on -enable-kvm -cpu host -m 512 -nodefaults \
	-no-user-config -display none -no-reboot -kernel "$kernel" -initrd "$dir/initramfs" \
	-append "console=hvc0 quiet panic=-1 8250.nr_uarts=1 pci=noearly noreplace-smp" \
	-global virtio-mmio.force-legacy=false \
	-drive "id=root,file=$dir/image,format=raw,readonly=on,if=none" -device virtio-blk-device,drive=root \
	-chardev null,id=console -chardev file,id=control,path=/dev/null -chardev stdio,id=in,signal=off \
	-chardev file,id=out,path=/dev/stdout -chardev file,id=err,path=/dev/stderr \
	-device virtio-serial-device -device virtconsole,chardev=console \
	-device virtserialport,chardev=control,name=vmm.control -device virtserialport,chardev=in,name=vmm.stdin \
	-device virtserialport,chardev=out,name=vmm.stdout -device virtserialport,chardev=err,name=vmm.stderr
