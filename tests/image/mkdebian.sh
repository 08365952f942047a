#!/bin/bash
# mkdebian.sh: prints the path of a directory with a Debian 12 disk image and what boots it:
#   disk.img                 2 GiB, sparse: GPT, one Linux root partition, ext4
#   vmlinuz-6.1  initrd-6.1  Debian's cloud kernels, each with the initrd that Debian's own
#   vmlinuz-6.12 initrd-6.12 initramfs-tools makes for it
# The image has systemd, DHCP on every Ethernet device, and a login for root without a password on
# every console. A disk with the serial number "vmm-test" holds a shell script: it is run with its
# output on the console, a line "VMM-TEST-RESULT status" says how it ended, and the machine powers
# off, or does what the word in /run/vmm-test-then says (reboot, stay).
#
# Needs root (debootstrap), takes about two minutes, mounts nothing. The directory lives in the
# cache under a key of its inputs, appears complete or not at all, and serves any number of
# callers; nobody writes to it: use an overlay or a copy.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
support=$here/../support
cache=${XDG_CACHE_HOME:-$HOME/.cache}/vmm
series="6.1 6.12"

packages=systemd-sysv,udev,dbus,systemd-resolved,libnss-resolve,iproute2,iputils-ping,curl,ethtool
packages=$packages,iperf3,fio,e2fsprogs,fdisk,kmod,procps,login,zstd,initramfs-tools,busybox-static

fail()
{
	echo "mkdebian: $*" >&2
	exit 1
}

key=$({
	cat "$0"
	for version in $series; do
		"$support/stock-kernel.sh" "$version"
	done
} | sha256sum | cut -c 1-16)
final=$cache/image/debian-$key
if [ -d "$final" ]; then
	echo "$final"
	exit 0
fi
"$support/install-deps.sh" test >&2
if [ "$(id -u)" != 0 ]; then
	sudo -n true 2>/dev/null || fail "needs root, for debootstrap"
	exec sudo -n -E PATH="$PATH" HOME="$HOME" "$0"
fi

mkdir -p "$cache/image" "$cache/debs"
exec 9>"$cache/image/.lock"
flock 9
if [ -d "$final" ]; then
	echo "$final"
	exit 0
fi
work=$(mktemp -d "$cache/image/.work-XXXXXX")
root=$work/root

cleanup()
{
	# debootstrap leaves these mounted when it is interrupted.
	umount "$root/proc" "$root/sys" 2>/dev/null || :
	mountpoint -q "$root/proc" || rm -rf --one-file-system "$work"
}
trap cleanup EXIT
trap 'exit 1' INT TERM HUP

make_root()
{
	local mirror

	# The archive that this machine uses itself, so that its proxy and its copies serve here.
	# shellcheck disable=SC2016 # apt's own $(...)
	mirror=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' 'Codename: bookworm' \
		2>/dev/null | grep -m 1 '/debian/*$' || :)
	debootstrap --variant=minbase --cache-dir="$cache/debs" --include="$packages" bookworm \
		"$root" "${mirror:-http://deb.debian.org/debian}" >"$work/log" 2>&1 || {
		tail -n 5 "$work/log" >&2
		fail "debootstrap failed"
	}
}

# Kernels: modules into the image, and for each an initrd made by the image's own tools.
add_kernels()
{
	local version dir release

	for version in $series; do
		dir=$("$support/stock-kernel.sh" "$version")
		release=$(basename "$dir"/lib/modules/*)
		mkdir -p "$root/lib/modules"
		cp -a "$dir/lib/modules/$release" "$root/lib/modules/"
		cp "$dir/boot/config-$release" "$root/boot/"
		chroot "$root" mkinitramfs -o /boot/initrd "$release" >"$work/log" 2>&1 || {
			tail -n 5 "$work/log" >&2
			fail "mkinitramfs failed for $release"
		}
		mv "$root/boot/initrd" "$work/initrd-$version"
		cp "$dir/boot/vmlinuz-$release" "$work/vmlinuz-$version"
		rm "$root/boot/config-$release"
	done
}

configure()
{
	local unit

	echo debian >"$root/etc/hostname"
	echo 127.0.0.1 localhost debian >"$root/etc/hosts"
	chroot "$root" passwd -q -d root
	# A name of its own from the start: an empty one makes systemd take the first boot for an
	# installation.
	echo d1ab0d1ab0d1ab0d1ab0d1ab0d1ab0d1 >"$root/etc/machine-id"
	echo "/dev/disk/by-partlabel/root / ext4 errors=remount-ro 0 0" >"$root/etc/fstab"
	cat >"$root/etc/systemd/network/80-dhcp.network" <<-'TEXT'
	[Match]
	Type=ether
	[Network]
	DHCP=ipv4
	LinkLocalAddressing=ipv6
	[DHCPv4]
	RapidCommit=no
	TEXT
	ln -sf ../run/systemd/resolve/stub-resolv.conf "$root/etc/resolv.conf"
	mkdir -p "$root/etc/systemd/journald.conf.d"
	printf '[Journal]\nStorage=volatile\nRuntimeMaxUse=4M\n' >"$root/etc/systemd/journald.conf.d/small.conf"
	# What a test machine does not need, each of which costs an emulated boot its part.
	for unit in apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer \
		e2scrub_reap.service fstrim.timer systemd-tmpfiles-clean.timer \
		systemd-pstore.service systemd-update-utmp.service systemd-update-utmp-runlevel.service \
		systemd-random-seed.service systemd-boot-system-token.service getty@tty1.service \
		dev-hugepages.mount dev-mqueue.mount sys-kernel-debug.mount sys-kernel-tracing.mount \
		modprobe@configfs.service modprobe@drm.service modprobe@efi_pstore.service \
		modprobe@fuse.service modprobe@dm_mod.service modprobe@loop.service \
		proc-sys-fs-binfmt_misc.automount systemd-binfmt.service systemd-sysusers.service \
		cryptsetup.target veritysetup.target integritysetup.target remote-fs.target sys-fs-fuse-connections.mount sys-kernel-config.mount \
		systemd-journal-flush.service systemd-hwdb-update.service systemd-machine-id-commit.service \
		systemd-network-generator.service systemd-networkd-wait-online.service \
		systemd-ask-password-console.path systemd-ask-password-wall.path; do
		ln -sf /dev/null "$root/etc/systemd/system/$unit"
	done
	chroot "$root" systemctl -q enable systemd-networkd.service systemd-resolved.service
}

add_test_hook()
{
	cat >"$root/etc/udev/rules.d/99-vmm-test.rules" <<-'TEXT'
	SUBSYSTEM=="block", ENV{DEVTYPE}=="disk", ENV{ID_SERIAL}=="vmm-test", \
	TAG+="systemd", SYMLINK+="vmm-test", ENV{SYSTEMD_WANTS}+="vmm-test.service"
	TEXT
	cat >"$root/etc/systemd/system/vmm-test.service" <<-'TEXT'
	[Unit]
	Description=Script on the test disk
	After=multi-user.target
	[Service]
	Type=exec
	ExecStart=/usr/local/sbin/vmm-test
	StandardInput=null
	StandardOutput=tty
	StandardError=tty
	TTYPath=/dev/console
	TEXT
	cat >"$root/usr/local/sbin/vmm-test" <<-'TEXT'
	#!/bin/sh
	tr -d '\0' </dev/vmm-test >/run/vmm-test.sh
	cd /root
	HOME=/root sh /run/vmm-test.sh
	echo "VMM-TEST-RESULT $?"
	case $(cat /run/vmm-test-then 2>/dev/null) in
	stay) ;;
	reboot) systemctl --no-block reboot ;;
	*) systemctl --no-block poweroff ;;
	esac
	TEXT
	chmod 755 "$root/usr/local/sbin/vmm-test"
}

slim()
{
	rm -rf "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/* "$root"/usr/share/doc/* \
		"$root"/usr/share/man/* "$root"/usr/share/locale/* "$root"/var/log/*.log
}

# A partition table and the file system in its one partition, written without mounting anything.
make_disk()
{
	local mib=2048

	truncate -s ${mib}M "$work/disk.img"
	sfdisk -q "$work/disk.img" <<-'TEXT'
	label: gpt
	start=1MiB, type=4f68bce3-e8cd-4db1-96e7-fbcaf984b709, name=root
	TEXT
	mke2fs -q -F -t ext4 -L root -d "$root" \
		-E "offset=$((1024 * 1024)),assume_storage_prezeroed=1,lazy_itable_init=0" \
		"$work/disk.img" $(((mib - 2) * 1024))k
}

make_root
configure
add_kernels
add_test_hook
slim
make_disk
rm -rf --one-file-system "$root" "$work/log"
chmod 755 "$work"
mv -T "$work" "$final"
# What other versions of this file have made is kept for a while, as they may be in use.
find "$cache/image" -maxdepth 1 -name "debian-*" -mtime +14 -exec rm -rf {} +
for version in $series; do
	cp "$final/initrd-$version" "$("$support/stock-kernel.sh" "$version")/boot/.initrd.$$"
	mv "$("$support/stock-kernel.sh" "$version")/boot/.initrd.$$" \
		"$("$support/stock-kernel.sh" "$version")/boot/initrd"
done
echo "$final"
