# Part of tests/lab/run: the emulated host's initramfs. Sourced.
# shellcheck shell=bash disable=SC2154 # variables shared with run and host-ARCH.sh

# Checking signatures takes an emulated processor longer than loading. A signed module ends in the
# signature, twelve bytes whose last four are its length, and a line of 28.
drop_signature()
{
	local size length

	[ "$(tail -c 28 "$1")" = "~Module signature appended~" ] || return 0
	size=$(stat -c %s "$1")
	length=$(od -An -v -t u1 -j $((size - 32)) -N 4 "$1" |
		awk '{ print (($1 * 256 + $2) * 256 + $3) * 256 + $4 }')
	truncate -s $((size - 40 - length)) "$1"
}

# make_initrd BUSYBOX: makes the initramfs of busybox, init and $host_modules, unless it is in the
# cache, and sets host_initrd.
make_initrd()
{
	local key work file name

	key=$({
		echo "$host_dir $host_modules"
		cat "$here/init" "$here/initrd.sh" "$1"
	} | sha256sum | cut -c 1-16)
	host_initrd=${XDG_CACHE_HOME:-$HOME/.cache}/vmm/lab/initrd-$key
	[ ! -e "$host_initrd" ] || return 0

	mkdir -p "$(dirname "$host_initrd")"
	work=$(mktemp -d "$host_initrd.XXXXXX")
	mkdir -p "$work"/{bin,dev,proc,sys,modules,new}
	cp "$1" "$work/bin/busybox"
	cp "$here/init" "$work/init"
	chmod 755 "$work/init"
	for file in $host_modules; do
		modprobe -d "$host_dir" -S "$(basename "$host_modules_dir")" --show-depends "$file"
	done | awk '$1 == "insmod" && !seen[$2]++ { print $2 }' | while read -r file; do
		name=$(basename "${file%.xz}")
		case $file in
		*.xz) xz -dc "$file" ;;
		*) cat "$file" ;;
		esac >"$work/modules/$name"
		drop_signature "$work/modules/$name"
		echo "$name"
	done >"$work/modules/order"
	(cd "$work" && find . | LC_ALL=C sort | cpio -o -H newc --quiet) >"$work.cpio"
	mv "$work.cpio" "$host_initrd"
	find "$(dirname "$host_initrd")" -maxdepth 1 -name "initrd-*" -mtime +7 -exec rm -rf {} +
	rm -rf "$work"
}
