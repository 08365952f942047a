# shellcheck shell=sh
# Prints QEMU's command line, a word a line. Arguments: root, scratch, kernel, command...
# A microvm with the same kernel; its initramfs is the workload program and what it needs to be
# process 1, without the root's other files. Only what the workload program does by itself can run.
root=$1; scratch=$2; kernel=$3; shift 3
qemu=qemu-system-$(uname -m)
command -v "$qemu" >/dev/null || { echo "$qemu is not installed" >&2; exit 1; }
[ -n "$kernel" ] || { echo "needs --kernel FILE" >&2; exit 1; }
[ -e "$root/bin/vmm-load" ] || { echo "vmm-load is not in the root" >&2; exit 1; }
[ "$1" = vmm-load ] || { echo "only the workload program runs here" >&2; exit 1; }
command -v cpio >/dev/null || { echo "cpio is not installed" >&2; exit 1; }
mkdir -p "$scratch/qemu/dev"
ln -f "$root/bin/vmm-load" "$scratch/qemu/init" 2>/dev/null || cp "$root/bin/vmm-load" "$scratch/qemu/init"
(cd "$scratch/qemu" && find . | cpio -o -H newc --quiet >../qemu.cpio)
shift
printf '%s\n' "$qemu" -M microvm,acpi=on,rtc=on -enable-kvm -cpu host -m 512 -nodefaults -no-user-config \
	-nographic -no-reboot -serial stdio -kernel "$kernel" -initrd "$scratch/qemu.cpio" \
	-append "console=ttyS0 quiet loglevel=0 panic=-1 reboot=t rdinit=/init -- $*"
