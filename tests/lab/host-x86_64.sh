# Part of tests/lab/run: the x86-64 host. Sourced; sets host_command and host_modules_dir.
# shellcheck shell=bash disable=SC2154,SC2034,SC2054 # variables shared with run; commas in options

# Modules that the host cannot come up without, and what nearly every command there wants. All
# else the kernel loads by itself when it is asked for, as on any other host: see static_nodes.
host_modules="virtio_pci virtiofs virtio_console overlay kvm-amd tun dummy"

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

# Makes what is kept between runs: the kernel, and the initramfs for it.
host_prepare()
{
	local key work file name

	case $kernel in
	*/*) host_dir=$(realpath "$kernel") ;;
	*) host_dir=$("$support/stock-kernel.sh" "$kernel") || fail "no kernel $kernel" ;;
	esac
	host_modules_dir=$(echo "$host_dir"/lib/modules/*)
	key=$({
		echo "$host_dir $host_modules"
		cat "$here/init" "$here/host-x86_64.sh" /bin/busybox
	} | sha256sum | cut -c 1-16)
	host_initrd=${XDG_CACHE_HOME:-$HOME/.cache}/vmm/lab/initrd-$key
	[ ! -e "$host_initrd" ] || return 0

	mkdir -p "$(dirname "$host_initrd")"
	work=$(mktemp -d "$host_initrd.XXXXXX")
	mkdir -p "$work"/{bin,dev,proc,sys,modules,new}
	cp /bin/busybox "$work/bin/busybox"
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
	rm -rf "$work"
}

host_describe()
{
	local clock=()

	host_command=(qemu-system-x86_64 -nodefaults -no-user-config -display none -no-reboot)
	host_command+=(-M "q35,memory-backend=ram,hpet=off,smbus=off,sata=off,usb=off")
	host_command+=(-object "memory-backend-memfd,id=ram,size=$memory,share=on")
	# Five-level page tables only make every walk of the emulated MMU longer.
	host_command+=(-cpu max,la57=off -smp "$cpus" -m "$memory")
	if [ -n "$icount" ]; then
		host_command+=(-accel tcg -icount "shift=1,sleep=off" -rtc "base=2026-01-01,clock=vm")
	else
		host_command+=(-accel "tcg,thread=multi")
	fi
	host_command+=(-serial "file:$work/boot.log")
	# The unpacked kernel, entered by its PVH note: nothing is left to decompress there.
	host_command+=(-kernel "$host_dir/boot/vmlinux" -initrd "$host_initrd" -append
		"console=ttyS0 quiet panic=-1 mitigations=off nokaslr tsc=reliable no_timer_check \
\
rcupdate.rcu_expedited=1 random.trust_cpu=on initcall_blacklist=jent_mod_init,load_system_certificate_list lab=$work")
}
