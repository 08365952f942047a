# shellcheck shell=sh
# Takes into the lab's memory what a measured run reads. Run by the program with sh, as root.
# Arguments: the root, where it is to be copied to, then the files that runs use.
#
# The lab's files come from the machine below by messages; whoever waits for one waits as long as that
# machine likes, and where instructions are counted the clock runs ahead meanwhile. Each opening of a file
# is such a message, also of one that is in memory. A change of owner makes the lab's overlay take a
# copy, under the same name.
set -eu
# Where instructions are counted the clock does not run ahead while anybody works.
nice -n 19 sh -c 'while :; do :; done' &
busy=$!
trap 'kill $busy' EXIT
cp -a "$1" "$2"
shift 2
for program in mkfs.erofs mke2fs sh ip nft pasta passt cpio qemu-system-x86_64 lxc-execute runc podman; do
	path=$(command -v "$program" || :)
	set -- "$@" "$path"
done
for file; do
	[ -f "$file" ] || continue
	readlink -f "$file"
	# "libc.so.6 => /lib/.../libc.so.6 (0x...)" and "/lib64/ld-linux... (0x...)"
	{ ldd "$file" 2>/dev/null || :; } | sed -n 's/^.*[[:blank:]]\(\/[^ ]*\) (0x.*$/\1/p' |
		while read -r library; do
			readlink -f "$library"
		done
done | sort -u | while read -r file; do
	chown "$(stat -c %u:%g "$file")" "$file"
done
chown 0:0 /etc/ld.so.cache /etc/passwd /etc/group /etc/nsswitch.conf /etc/subuid /etc/subgid 2>/dev/null || :
