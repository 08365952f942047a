# Part of tests/lab/run: the aarch64 host. Sourced; sets host_command, host_modules_dir, host_root.
# This machine's programs do not run there, so its root is a small tree of Debian's arm64 packages,
# busybox and the libraries that vmm is linked with, with the checkout at its own path.
# shellcheck shell=bash disable=SC1091,SC2034,SC2054,SC2154 # run's variables; commas in options

host_modules="virtio_pci virtiofs virtio_console overlay tun dummy"
host_packages="busybox-static bash libtinfo6 libc6 libgcc-s1 liburing2 libelf1 zlib1g libzstd1
	liblz4-1 liblzma5 libbz2-1.0 liblzo2-2 libjansson4 libseccomp2 libcap2 libfdt1 passt kmod
	libssl3"

host_prepare()
{
	local key work file

	. "$support/apt.sh"
	case $kernel in
	*/*) host_dir=$(realpath "$kernel") ;;
	*) host_dir=$("$support/stock-kernel.sh" --arch arm64 "$kernel") || fail "no kernel $kernel" ;;
	esac
	host_modules_dir=$(echo "$host_dir"/lib/modules/*)

	key=$(sha256sum <"$here/host-aarch64.sh" | cut -c 1-16)
	host_root=${XDG_CACHE_HOME:-$HOME/.cache}/vmm/lab/root-arm64-$key
	if [ ! -d "$host_root" ]; then
		mkdir -p "$(dirname "$host_root")"
		work=$(mktemp -d "$host_root.XXXXXX")
		mkdir "$work/deb" "$work/root"
		# The links that a merged /usr has, before the packages fill it.
		mkdir -p "$work"/root/usr/{bin,sbin,lib} "$work"/root/{etc,root,tmp,run,proc,sys,dev}
		ln -s usr/bin usr/sbin usr/lib "$work/root/"
		# shellcheck disable=SC2086 # one word a package
		apt_download arm64 "$work/deb" $host_packages 2>/dev/null || {
			apt_refresh arm64
			apt_download arm64 "$work/deb" $host_packages || fail "cannot download arm64 packages"
		}
		for file in "$work"/deb/*.deb; do
			# As tar, since unpacking by dpkg would replace the links.
			dpkg-deb --fsys-tarfile "$file" | tar -x --keep-directory-symlink -C "$work/root"
		done
		for file in $(/bin/busybox --list); do
			[ -e "$work/root/bin/$file" ] || [ -e "$work/root/sbin/$file" ] ||
				ln -s busybox "$work/root/bin/$file"
		done
		ln -sf bash "$work/root/bin/sh"
		echo root::0:0:root:/root:/bin/bash >"$work/root/etc/passwd"
		echo root:x:0: >"$work/root/etc/group"
		chmod 755 "$work/root"
		mv -T "$work/root" "$host_root" || [ -d "$host_root" ]
		rm -rf "$work"
	fi
	make_initrd "$host_root/bin/busybox"
}

host_describe()
{
	host_command=(qemu-system-aarch64 -nodefaults -no-user-config -display none -no-reboot)
	host_command+=(-M "virt,virtualization=on,gic-version=3,memory-backend=ram")
	host_command+=(-object "memory-backend-memfd,id=ram,size=$memory,share=on")
	# Pointer authentication by the architected algorithm would cost more than all else.
	host_command+=(-cpu "max,pauth-impdef=on" -smp "$cpus" -m "$memory")
	if [ -n "$icount" ]; then
		host_command+=(-accel tcg -icount "shift=1,sleep=off" -rtc "base=2026-01-01,clock=vm")
	else
		host_command+=(-accel "tcg,thread=multi")
	fi
	host_command+=(-serial "file:$work/boot.log")
	host_command+=(-kernel "$(echo "$host_dir"/boot/vmlinuz-*)" -initrd "$host_initrd" -append
		"console=ttyAMA0 quiet panic=-1 mitigations=off nokaslr rcupdate.rcu_expedited=1 lab=$work")
}
