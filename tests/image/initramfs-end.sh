#!/bin/sh
# Makes an initramfs whose /init ends the machine at once (tests/support/init_end.c).
#   initramfs-end.sh OUT [gzip|lz4|xz|zstd]	plain cpio unless a compression is named
set -eu
[ $# -ge 1 ] || { echo "usage: initramfs-end.sh OUT [gzip|lz4|xz|zstd]" >&2; exit 2; }
out=$1 how=${2:-cat}
top=$(cd "$(dirname "$0")/../.." && pwd)
case $how in
cat) ;;
gzip) how='gzip -9n' ;;
lz4) how='lz4 -lq' ;;		# Linux reads the legacy frame only
xz) how='xz --check=crc32' ;;	# ... and no CRC64
zstd) how='zstd -q' ;;
*) echo "initramfs-end.sh: $how: not gzip, lz4, xz or zstd" >&2; exit 2 ;;
esac
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
mkdir "$dir/root"
"${CC:-gcc}" -std=gnu17 -Os -Wall -Wextra -ffreestanding -fno-stack-protector -fno-pie \
	-fcf-protection=none -fno-asynchronous-unwind-tables -static -nostdlib -no-pie \
	-Wl,--build-id=none,-z,noseparate-code,-z,norelro,-z,noexecstack -s \
	-o "$dir/root/init" "$top/tests/support/init_end.c"
(cd "$dir/root" && printf 'init\n' |
	cpio -o -H newc --quiet --owner=0:0 --reproducible) | $how >"$dir/out"
mv "$dir/out" "$out.$$"
mv "$out.$$" "$out"
