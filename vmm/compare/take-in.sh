# shellcheck shell=sh
# Takes into the lab's memory what a measured run reads. Run by the program with sh, as root.
# Arguments: the root, where it is to be copied to, the names of the peers that run, then the files that runs use.
#
# The lab's files come from the machine below by messages; whoever waits for one waits as long as that
# machine likes, and where instructions are counted the clock runs ahead meanwhile. Each opening of a file
# is such a message, also of one that is in memory, and so is each following of a link. A change of owner
# makes the lab's overlay take a copy, under the same name.
set -eu
# Where instructions are counted the clock does not run ahead while anybody works.
nice -n 19 sh -c 'while :; do :; done' &
busy=$!
trap 'kill $busy' EXIT
cp -a "$1" "$2"
programs="mkfs.erofs mke2fs sh ip nft pasta passt cpio"
for peer in qemu:qemu-system-x86_64 lxc:lxc-execute runc:runc podman:podman; do
	case " $3 " in *" ${peer%%:*} "*) programs="$programs ${peer#*:}" ;; esac
done
shift 3
for program in $programs; do
	path=$(command -v "$program" || :)
	set -- "$@" "$path"
done
# What QEMU and liblxc read beside.
for file in /etc/localtime /usr/sbin/init.lxc.static /usr/share/lxc/config/common.seccomp \
	/usr/share/qemu/pvh.bin /usr/share/qemu/bios-microvm.bin \
	/usr/share/qemu/linuxboot_dma.bin /usr/lib/*/qemu/accel-*.so; do
	set -- "$@" "$file"
done
{
	# Directories that are links, such as /lib: in the names of most programs and libraries.
	for file in /* /usr/* /etc/alternatives; do
		[ ! -L "$file" ] || echo "$file"
	done
	for file; do
		[ -f "$file" ] || continue
		echo "$file"
		# "libc.so.6 => /lib/.../libc.so.6 (0x...)" and "/lib64/ld-linux... (0x...)"
		{ ldd "$file" 2>/dev/null || :; } | sed -n 's/^.*[[:blank:]]\(\/[^ ]*\) (0x.*$/\1/p'
	done
	for file in ld.so.cache passwd group nsswitch.conf subuid subgid resolv.conf hosts; do
		[ ! -e "/etc/$file" ] || echo "/etc/$file"
	done
} | sort -u | while read -r file; do
	# Each link on the way, and what is at its end.
	while [ -L "$file" ]; do
		chown -h "$(stat -c %u:%g "$file")" "$file"
		target=$(readlink "$file")
		case $target in
		/*) file=$target ;;
		*) file=${file%/*}/$target ;;
		esac
	done
	[ ! -f "$file" ] || chown "$(stat -c %u:%g "$file")" "$file"
done
