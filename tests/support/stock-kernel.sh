#!/bin/bash
# stock-kernel.sh [--arch amd64|arm64] [--initrd] [--update] 6.1|6.12
#
# Prints the path of a directory that holds Debian's own cloud kernel of that series as the package
# has it: boot/vmlinuz-*, boot/config-*, lib/modules/*, and beside these boot/vmlinux (amd64), the
# ELF unpacked from the bzImage. With --initrd also boot/initrd, as Debian's initramfs-tools makes
# it; that needs root, since it takes building the disk image of tests/image/mkdebian.sh.
#
# The directory lives in ${XDG_CACHE_HOME:-~/.cache}/vmm, one a package version, appears complete
# or not at all, and is used from then on without asking any server; --update looks for a newer
# package. Any number of callers may run at once.
# shellcheck source-path=SCRIPTDIR
set -eu

arch=amd64
initrd=
update=
while [ $# -gt 0 ]; do
	case $1 in
	--arch)
		arch=$2
		shift
		;;
	--initrd) initrd=1 ;;
	--update) update=1 ;;
	*) break ;;
	esac
	shift
done
series=${1:?usage: stock-kernel.sh [--arch amd64|arm64] [--initrd] [--update] 6.1|6.12}
here=$(cd "$(dirname "$0")" && pwd)
. "$here/apt.sh"
cache=${XDG_CACHE_HOME:-$HOME/.cache}/vmm/stock-kernel
mkdir -p "$cache"

fail()
{
	echo "stock-kernel: $*" >&2
	exit 1
}

# The newest complete directory of this series, if any.
cached()
{
	find "$cache" -maxdepth 1 -name "linux-image-${series}[.+-]*_$arch" | sort -V | tail -n 1
}

# The package that the series' metapackage stands for today, or nothing.
newest_package()
{
	local meta

	for meta in "linux-image-$series-cloud-$arch" "linux-image-cloud-$arch"; do
		# shellcheck disable=SC2046 # options, one a word
		apt-cache $(apt_options "$arch") depends "$meta" 2>/dev/null |
			sed -n "s/^ *Depends: \(linux-image-${series}[.+-].*\)/\1/p"
	done | head -n 1
}

unpack_payload()
{
	local image=$1 out=$2 setup offset length magic

	word() { od -An -v -t "u$2" -j "$1" -N "$2" "$image" | tr -d ' '; }
	setup=$(word 497 1)
	offset=$(($(word 584 4) + (setup + 1) * 512))
	length=$(word 588 4)
	magic=$(od -An -v -t x1 -j "$offset" -N 4 "$image" | tr -d ' ')
	# The four bytes after the payload proper hold its unpacked size; the tools warn or stop
	# there with everything written, so what counts is the result.
	tail -c "+$((offset + 1))" "$image" | head -c "$length" | case $magic in
	28b52ffd) zstd -dcq - ;;
	02214c18) lz4 -dcq - - ;;
	fd377a58) xz -dcq --single-stream - ;;
	1f8b*) gzip -dcq ;;
	*) fail "$image: payload of an unknown compression ($magic)" ;;
	esac >"$out" 2>/dev/null || :
	[ "$(head -c 4 "$out" | tail -c 3)" = ELF ] || fail "$image: no ELF payload found"
}

download()
{
	local package work final

	package=$(newest_package)
	if [ -z "$package" ] || [ -n "$update" ]; then
		apt_refresh "$arch"
		package=$(newest_package)
	fi
	[ -n "$package" ] || fail "no cloud kernel $series for $arch: is Debian's archive reachable," \
		"and are its security updates among apt's sources?"

	work=$(mktemp -d "$cache/.work-XXXXXX")
	# shellcheck disable=SC2064 # expanded now on purpose
	trap "rm -rf '$work'" EXIT
	mkdir "$work/deb"
	apt_download "$arch" "$work/deb" "$package" || fail "cannot download $package"
	final=$cache/$(basename "$work"/deb/*.deb .deb)
	if [ ! -d "$final" ]; then
		dpkg-deb -x "$work"/deb/*.deb "$work/root"
		depmod -b "$work/root" "$(basename "$work"/root/lib/modules/*)"
		[ "$arch" != amd64 ] || unpack_payload "$work"/root/boot/vmlinuz-* "$work/root/boot/vmlinux"
		chmod 755 "$work/root"
		mv -T "$work/root" "$final"
	fi
	rm -rf "$work"
	trap - EXIT
}

dir=$(cached)
if [ -z "$dir" ] || [ -n "$update" ]; then
	exec 9>"$cache/.lock-$series-$arch"
	flock 9
	# Somebody else may have done it while this one waited.
	dir=$(cached)
	if [ -z "$dir" ] || [ -n "$update" ]; then
		download
		dir=$(cached)
	fi
	exec 9>&-
fi
if [ -n "$initrd" ] && [ ! -e "$dir/boot/initrd" ]; then
	"$here/../image/mkdebian.sh" >/dev/null
fi
echo "$dir"
