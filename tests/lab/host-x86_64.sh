# Part of tests/lab/run: the x86-64 host. Sourced; sets host_command and host_modules_dir.
# shellcheck shell=bash disable=SC2154,SC2034,SC2054 # variables shared with run; commas in options

# Modules that the host cannot come up without, and what nearly every command there wants. All
# else the kernel loads by itself when it is asked for, as on any other host.
host_modules="virtio_pci virtiofs virtio_console overlay kvm-amd tun dummy"

# Builds mend.c, which makes up for a fault of the emulator, unless it is in the cache.
make_mend()
{
	local key

	key=$(sha256sum <"$here/mend.c" | cut -c 1-16)
	host_mend=${XDG_CACHE_HOME:-$HOME/.cache}/vmm/lab/mend-$key.so
	[ ! -e "$host_mend" ] || return 0
	mkdir -p "$(dirname "$host_mend")"
	gcc -std=gnu17 -D_GNU_SOURCE -O2 -shared -fPIC -o "$host_mend.$$" "$here/mend.c" ||
		fail "mend.c does not build"
	mv "$host_mend.$$" "$host_mend"
}

# Makes what is kept between runs: the kernel, the initramfs for it, and the plugin.
host_prepare()
{
	case $kernel in
	*/*) host_dir=$(realpath "$kernel") ;;
	*) host_dir=$("$support/stock-kernel.sh" "$kernel") || fail "no kernel $kernel" ;;
	esac
	host_modules_dir=$(echo "$host_dir"/lib/modules/*)
	make_initrd /bin/busybox
	make_mend
}

# The rate of this machine's time stamp counter, which the emulated one follows, as its kernel says.
# Measured against emulated timers on a busy machine it can come out wrong by any factor, and time
# would pass that much too fast. Unknown, it is measured.
tsc_khz()
{
	dmesg 2>/dev/null | sed -n 's/.*tsc: Detected \([0-9]*\)\.\([0-9]\{3\}\) MHz.*/\1\2/p' | tail -n 1
}

host_describe()
{
	local khz=

	host_command=(qemu-system-x86_64 -nodefaults -no-user-config -display none -no-reboot)
	host_command+=(-plugin "$host_mend")
	host_command+=(-M "q35,memory-backend=ram,hpet=off,smbus=off,sata=off,usb=off")
	host_command+=(-object "memory-backend-memfd,id=ram,size=$memory,share=on")
	# Five-level page tables only make every walk of the emulated MMU longer.
	host_command+=(-cpu max,la57=off -smp "$cpus" -m "$memory")
	if [ -n "$icount" ]; then
		# The real-time clock alone shows the time of this machine: by it a hang can be told.
		host_command+=(-accel tcg -icount "shift=1,sleep=off" -rtc "base=2026-01-01,clock=rt")
	else
		host_command+=(-accel "tcg,thread=multi")
		khz=$(tsc_khz)
	fi
	host_command+=(-serial "file:$work/boot.log")
	# The unpacked kernel, entered by its PVH note: nothing is left to decompress there.
	host_command+=(-kernel "$host_dir/boot/vmlinux" -initrd "$host_initrd" -append
		"console=ttyS0 quiet panic=-1 mitigations=off nokaslr tsc=reliable no_timer_check \
${khz:+tsc_early_khz=$khz }rcupdate.rcu_expedited=1 random.trust_cpu=on \
initcall_blacklist=jent_mod_init,load_system_certificate_list lab=$work")
}
