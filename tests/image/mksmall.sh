#!/bin/bash
# mksmall.sh OUT: makes a 64 MiB ext4 disk image, sparse, with busybox and an init of its own: a
# network by DHCP where there is a card, a shell on the console. With vmm.demo=PORT on the kernel's
# command line it shows what a machine can do instead, fetching from a web server on port PORT of
# the host, and powers off, or leaves by the debug-exit port with 1 when something did not work.
# Takes a moment and no privilege.
set -eu

out=${1:?usage: mksmall.sh OUT}
"$(dirname "$0")/../support/install-deps.sh" run
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/root
mkdir -p "$root"/{bin,sbin,dev,etc,proc,sys,tmp,run,root}
cp /bin/busybox "$root/bin/busybox"
for applet in $(/bin/busybox --list); do
	[ "$applet" = busybox ] || ln -s busybox "$root/bin/$applet"
done
ln -s ../bin/busybox "$root/sbin/init"
echo root::0:0:root:/root:/bin/sh >"$root/etc/passwd"
echo root:x:0: >"$root/etc/group"
echo small >"$root/etc/hostname"
# No device by name: /dev/console is whatever console= says, and the shell there gets job control.
cat >"$root/etc/inittab" <<'TEXT'
::sysinit:/etc/start
::wait:/etc/demo
::respawn:/bin/cttyhack /bin/sh -l
::ctrlaltdel:/sbin/reboot
::shutdown:/bin/umount -a -r
TEXT
cat >"$root/etc/profile" <<'TEXT'
export HOME=/root PATH=/bin:/sbin PS1='\h:\w\$ '
cd /root
TEXT
cat >"$root/etc/start" <<'TEXT'
#!/bin/sh
mount -t proc proc /proc
mount -t sysfs sys /sys
grep -q " /dev devtmpfs" /proc/mounts || mount -t devtmpfs dev /dev
mkdir -p /dev/pts
mount -t devpts devpts /dev/pts
mount -o remount,rw /
mount -t tmpfs tmp /tmp
mount -t tmpfs run /run
hostname -F /etc/hostname
ip link set lo up
ln -sf /run/resolv.conf /etc/resolv.conf
for card in /sys/class/net/*; do
	name=${card##*/}
	[ "$name" != lo ] && [ -e "$card/device" ] || continue
	ip link set "$name" up
	udhcpc -q -n -t 5 -T 1 -i "$name" -s /etc/dhcp >/run/dhcp.log 2>&1 || echo "no address on $name by DHCP"
done
TEXT
cat >"$root/etc/dhcp" <<'TEXT'
#!/bin/sh
# What udhcpc found out, put to use.
case $1 in
deconfig) ip addr flush dev "$interface" ;;
bound | renew)
	ip addr add "$ip/${mask:-24}" dev "$interface"
	for gateway in $router; do
		ip route add default via "$gateway" dev "$interface"
		echo "$gateway" >/run/gateway
	done
	for server in $dns; do
		echo "nameserver $server"
	done >/run/resolv.conf
	;;
esac
exit 0
TEXT
cat >"$root/etc/demo" <<'TEXT'
#!/bin/sh
port=$(sed -n 's/.*\bvmm\.demo=\([0-9]*\).*/\1/p' /proc/cmdline)
[ -n "$port" ] || exit 0
failed=0

# say WHAT TEXT: one line of what was found; an empty one is a failure.
say()
{
	if [ -n "$2" ]; then
		printf '%-16s%s\n' "$1" "$2"
	else
		printf '%-16s%s\n' "$1" "NOTHING, which is a failure"
		failed=1
	fi
}

say kernel "$(uname -sr)"
say disk "$(awk '$2 == "/" && $3 == "ext4" { print $1 " on / as " $3 ", " $4 }' /proc/mounts)"
head -c 3000000 /dev/urandom >/tmp/written
cp /tmp/written /root/file && sync
echo 3 >/proc/sys/vm/drop_caches
say "file" "$(cmp /tmp/written /root/file && echo "3000000 bytes written, synced, and read back alike")"
rm -f /root/file
say address "$(ip -4 -o addr show scope global | awk '{ print $4 " on " $2 " by DHCP" }')"
say fetch "$(timeout 15 wget -q -O - "http://$(cat /run/gateway):$port/hello.txt")"
if [ $failed = 1 ]; then
	printf '\001' | dd of=/dev/port bs=1 seek=$((0x501)) 2>/dev/null
fi
poweroff
# Until then no shell.
sleep 60
TEXT
chmod 755 "$root/etc/start" "$root/etc/dhcp" "$root/etc/demo"
truncate -s 64M "$work/disk"
mke2fs -q -F -t ext4 -L small -d "$root" -E root_owner=0:0,assume_storage_prezeroed=1 \
	-O ^has_journal,^metadata_csum_seed "$work/disk"
mv "$work/disk" "$out"
