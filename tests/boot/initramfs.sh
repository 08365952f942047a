#!/bin/bash
# initramfs.sh: prints a directory with what small boots of Debian's stock kernels need:
#   vmlinuz-6.1 vmlinuz-6.12          the kernels
#   initramfs-6.1 initramfs-6.12      busybox, ethtool, iperf3, mke2fs, fstrim, the modules for
#                                     virtio and pvpanic, and an init that runs /script
#   random.img                        256 MiB that no cache can guess
# /script comes in a second archive behind the first. Its output is the console's; a line
# "VMM-TEST-RESULT status" says how it ended, and the machine powers off.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../.." && pwd)
modules="virtio_pci virtio_mmio virtio_console virtio_blk virtio_net ext4 crc32c_generic"
modules="$modules pvpanic-mmio"
programs="$(command -v ethtool iperf3 mke2fs fstrim)"

kernels=
for series in 6.1 6.12; do
	kernels="$kernels $("$top/tests/support/stock-kernel.sh" "$series")"
done
key=$({
	cat "$0"
	echo "$kernels $programs"
} | sha256sum | cut -c 1-16)
final=$top/build/boot-$key
if [ -d "$final" ]; then
	echo "$final"
	exit 0
fi
mkdir -p "$top/build"
work=$(mktemp -d "$top/build/.boot-XXXXXX")
trap 'rm -rf "$work"' EXIT

# copy_program FILE ROOT: with the libraries it names.
copy_program()
{
	local file

	for file in "$1" $(ldd "$1" | grep -o '/[^ ]*'); do
		mkdir -p "$2$(dirname "$file")"
		cp -L "$file" "$2$file"
	done
}

# add_modules DIR ROOT: unpacked and in the order of loading; pvpanic's for the script to load.
add_modules()
{
	local module file name release

	release=$(basename "$1"/lib/modules/*)
	for module in $modules; do
		modprobe -d "$1" -S "$release" --show-depends "$module" 2>/dev/null || :
	done | awk '$1 == "insmod" && !seen[$2]++ { print $2 }' | while read -r file; do
		name=$(basename "${file%.xz}")
		case $file in
		*.xz) xz -dc "$file" ;;
		*) cat "$file" ;;
		esac >"$2/modules/$name"
		case $name in
		pvpanic*) ;;
		*) echo "$name" ;;
		esac
	done >"$2/modules/order"
}

write_init()
{
	cat >"$1/init" <<-'TEXT'
	#!/bin/busybox sh
	/bin/busybox --install -s /bin
	export PATH=/bin:/sbin:/usr/bin:/usr/sbin HOME=/
	mount -t proc proc /proc
	mount -t sysfs sys /sys
	mount -t devtmpfs dev /dev
	mount -t tmpfs tmp /tmp
	while read -r module; do
		insmod "/modules/$module" || echo "no $module"
	done </modules/order
	ln -s /proc/self/fd /dev/fd
	ip link set lo up
	# Of the modules, the console's may be the last to come: opened by name, not inherited.
	cd /
	sh /script </dev/null >/dev/console 2>&1
	echo "VMM-TEST-RESULT $?" >/dev/console
	poweroff -f
	TEXT
	# What udhcpc found out, put to use.
	cat >"$1/dhcp" <<-'TEXT'
	#!/bin/sh
	[ "$1" = bound ] || exit 0
	ip addr add "$ip/${mask:-24}" dev "$interface"
	ip route add default via "$router" dev "$interface"
	echo "$router" >/gateway
	for server in $dns; do
		echo "nameserver $server"
	done >/etc/resolv.conf
	TEXT
	# The address of the first card by DHCP.
	cat >"$1/bin/online" <<-'TEXT'
	#!/bin/sh
	card=$(basename "$(dirname "$(ls -d /sys/class/net/*/device | head -n 1)")")
	ip link set "$card" up
	udhcpc -q -n -t 20 -T 1 -i "$card" -s /dhcp
	TEXT
	chmod 755 "$1/init" "$1/dhcp" "$1/bin/online"
}

for dir in $kernels; do
	series=$(basename "$dir"/lib/modules/* | cut -d . -f 1-2)
	root=$work/root-$series
	mkdir -p "$root"/{bin,dev,etc,proc,sys,tmp,mnt,modules}
	cp "$(command -v busybox)" "$root/bin/busybox"
	for program in $programs; do
		copy_program "$program" "$root"
	done
	add_modules "$dir" "$root"
	write_init "$root"
	(cd "$root" && find . | LC_ALL=C sort | cpio -o -H newc --quiet --owner=0:0) \
		>"$work/initramfs-$series"
	cp "$dir"/boot/vmlinuz-* "$work/vmlinuz-$series"
	rm -rf "$root"
done
head -c 268435456 /dev/urandom >"$work/random.img"
chmod 755 "$work"
mv -T "$work" "$final" 2>/dev/null || [ -d "$final" ]
find "$top/build" -maxdepth 1 -name 'boot-*' ! -path "$final" -mtime +1 -exec rm -rf {} +
echo "$final"
