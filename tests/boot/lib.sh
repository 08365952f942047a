# shellcheck shell=bash disable=SC2030,SC2031,SC2034 # variables of one case, set in its subshell
# What the boot tests share; sourced by each from the top of the tree, after which it calls
#   boot_enter "$@"
# From there on the script runs as root on a host with a working /dev/kvm: on this one where it has
# hardware KVM, in namespaces of its own, else on the lab's emulated host, one for the script. $work
# is a directory there; whatever is left running or mounted goes when the script ends.
# Stock kernels boot in two ways:
#   small SCRIPT OPTION...   kernel 6.12 (or $series) to an initramfs of busybox that runs SCRIPT
#   debian SCRIPT OPTION...  to Debian on a disk with systemd, which runs SCRIPT when it is up
# Both leave what the machine printed in $work/$vm.out and want status 0 and a script that ended
# with 0: $vm tells machines apart that run side by side.
. tests/support/cases.sh
arch=$(uname -m)
series=6.12
vm=guest
# An ordinary user, and how a command becomes one.
user=1000
as_user=(setpriv --reuid "$user" --regid "$user" --clear-groups --inh-caps=-all --)

# Options of the lab may stand in boot_lab before boot_enter is called. With one processor: with
# several, which the emulator runs in threads beside each other, a kernel that runs machines there
# dies within some ten of them, or one of the machines stands still.
boot_lab=(--memory 4G --timeout 3000 --cpus 1)

boot_prepare()
{
	tests/support/install-deps.sh run lab test >&2 || exit 1
	export BOOT_IMAGE BOOT_SMALL BOOT_KERNELS BOOT_VMLINUX
	BOOT_IMAGE=$(tests/image/mkdebian.sh) || exit 1
	BOOT_SMALL=$(tests/boot/initramfs.sh) || exit 1
	BOOT_VMLINUX=$(tests/support/stock-kernel.sh 6.12)/boot/vmlinux
	BOOT_KERNELS=${XDG_CACHE_HOME:-$HOME/.cache}/vmm/kernels
	export VMM=${VMM:-$PWD/build/$arch/vmm} TESTS=${TESTS:-}
}

boot_enter()
{
	if [ "${1:-}" != --inside ]; then
		boot_prepare
		rm -f "$cases_log"
		if "$VMM" doctor --json 2>/dev/null | grep -q '"kind": "hardware"'; then
			[ "$(id -u)" = 0 ] || exec sudo -n -E PATH="$PATH" HOME="$HOME" "$0"
			exec unshare --mount --net --pid --fork --mount-proc --kill-child "$0" --inside own
		fi
		exec tests/lab/run --boot-log "build/boot-$(basename "$0" .sh).log" "${boot_lab[@]}" -- \
			"$0" --inside lab
	fi
	work=$(mktemp -d)
	trap boot_leave EXIT
	chmod 755 "$work"
	if [ "$2" = lab ]; then
		boot_hold_vcpu
	else
		boot_own_network
	fi
	mkdir "$work/image" "$work/small"
	# Bound here, as an ordinary user may not go by the way through root's home.
	mount --bind "$BOOT_IMAGE" "$work/image"
	mount --bind "$BOOT_SMALL" "$work/small"
	cp "$VMM" "$work/vmm"
	vmm=$work/vmm
}

# KVM patches its own code when the first vCPU with a disabled APIC comes and when the last one
# goes. On an emulated host with several processors one of them may still run the break point that
# stands there meanwhile, and that host's kernel dies of it. One such vCPU that never goes away
# prevents that.
boot_hold_vcpu()
{
	(perl -e '
		open(my $kvm, "+<", "/dev/kvm") or die;
		my $fd = ioctl($kvm, 0xae01, 0) or die;		# KVM_CREATE_VM
		open(my $machine, "+<&=", int($fd)) or die;
		ioctl($machine, 0xae60, 0) or die;		# KVM_CREATE_IRQCHIP
		ioctl($machine, 0xae41, 0) or die;		# KVM_CREATE_VCPU
		$| = 1;
		print "held\n";
		sleep;' </dev/null >"$work/held" 2>&1 &)
	wait_for 60 grep -q held "$work/held"
}

boot_leave()
{
	local mounted

	awk -v dir="$work/" 'index($5, dir) == 1 { print $5 }' /proc/self/mountinfo |
		while read -r mounted; do
			umount -l "$mounted"
		done
	rm -rf --one-file-system "$work" "$cases_log"
}

boot_own_network()
{
	ip link set lo up
	ip link add dummy0 type dummy
	ip addr add 192.0.2.2/24 dev dummy0
	ip link set dummy0 up
	ip route add default via 192.0.2.1
}

# small_initrd SCRIPT: makes $work/$vm.initrd, whose init runs the script.
small_initrd()
{
	mkdir -p "$work/$vm.d"
	printf '%s\n' "$1" >"$work/$vm.d/script"
	{
		cat "$work/small/initramfs-$series"
		(cd "$work/$vm.d" && echo script | cpio -o -H newc --quiet)
	} >"$work/$vm.initrd"
}

# beside NAME COMMAND...: as check, with others beside it, one a processor.
beside()
{
	boot_count=$((boot_count + 1))
	while [ "$(jobs -rp | wc -l)" -ge "$(nproc)" ]; do
		wait -n || :
	done
	(
		trap - EXIT
		vm=case$boot_count
		cases_log=$work/$vm.log
		out=$(check "$@")
		# A case that says nothing has died, or was not asked for.
		[ -n "$out" ] || [ -n "$cases_only" ] || out="FAIL $1 ended without a word"
		[ -z "$out" ] || printf '%s\n' "$out"
		[[ $out != FAIL* ]] || : >"$work/failed"
	) &
}
boot_count=0

boot_finish()
{
	wait
	[ ! -e "$work/failed" ] || cases_failed=1
	# finish would leave the directory behind.
	[ "$cases_failed" = 0 ]
	exit
}

# The machine's output as it would be on paper.
machine_output()
{
	tr -d '\r' <"$work/$vm.out"
}

script_ended_well()
{
	machine_output | grep -q 'VMM-TEST-RESULT 0$' || {
		machine_output | tail -n 30
		echo "the script in the guest did not end with 0"
		return 1
	}
}

# run_vmm OPTION...: with its output in files, and its number in $work/$vm.pid while it runs.
# Words in run_as stand before it.
run_vmm()
{
	local status=0

	"${run_as[@]}" "$vmm" run "$@" >"$work/$vm.out" 2>"$work/$vm.err" &
	echo $! >"$work/$vm.pid"
	wait $! || status=$?
	cat "$work/$vm.err"
	return $status
}
run_as=()

# small_ends STATUS SCRIPT OPTION...: with another status, and without a word of the script's.
small_ends()
{
	local wanted=$1

	small_initrd "$2"
	shift 2
	[[ " $* " == *" --net "* ]] || set -- --net none "$@"
	vmm_ends "$wanted" --kernel "$work/small/vmlinuz-$series" --initrd "$work/$vm.initrd" \
		--memory 192M --cmdline quiet --timeout 400 "$@"
}

small()
{
	small_ends 0 "$@"
	script_ended_well
}

# debian_ends STATUS SCRIPT OPTION...
# A busy machine under an emulated host needs more than the 90 s that systemd gives each unit.
patience="systemd.default_timeout_start_sec=900"
debian_ends()
{
	local wanted=$1

	printf '%s\n' "$2" >"$work/$vm.script"
	truncate -s 64K "$work/$vm.script"
	shift 2
	vmm_ends "$wanted" --kernel "$work/image/vmlinuz-$series" --initrd "$work/image/initrd-$series" \
		--disk "$work/image/disk.img,overlay" --disk "$work/$vm.script,ro,id=vmm-test" \
		--cmdline "quiet $patience" --timeout 1500 "$@"
}

debian()
{
	debian_ends 0 "$@"
	script_ended_well
}

vmm_ends()
{
	local wanted=$1 status=0

	shift
	run_vmm "$@" || status=$?
	[ "$status" = "$wanted" ] || {
		machine_output | tail -n 30
		echo "status $status instead of $wanted"
		return 1
	}
}

# wait_for SECONDS COMMAND...: until it ends with 0, tried ten times a second.
wait_for()
{
	local deadline=$((SECONDS + $1))

	shift
	until "$@" >/dev/null 2>&1; do
		[ "$SECONDS" -lt "$deadline" ] || {
			tail -n 30 "$work/$vm.out" "$work/$vm.err" 2>&1 | tr -d '\r'
			echo "in vain: $*"
			return 1
		}
		sleep 0.1
	done
}

has_said()
{
	grep -q "$1" "$work/$vm.out"
}

# What a run could leave: processes, mounts, cgroups, namespaces, interfaces, rules, files, and a
# setting of the kernel's.
inventory()
{
	# Not the kernel's own and the script's, which come and go.
	ps -e -o comm= | sed -n '/^vmm/p; /^pass*t/p; /^sleep/p' | sort
	sed 's/^[0-9]* [0-9]* //' /proc/self/mountinfo | sort
	find /sys/fs/cgroup -type d | sort
	find /proc/[0-9]*/ns -type l -printf '%l\n' 2>/dev/null | sort -u
	ls /sys/class/net
	nft list ruleset
	ls -A /run/vmm "${XDG_CACHE_HOME:-$HOME/.cache}/vmm/images" 2>/dev/null || :
	find /tmp /dev/shm -maxdepth 1 | sort
	cat /proc/sys/net/ipv4/ip_forward
}

# Before what is tested: what a first run leaves for good must be there already.
note_what_there_is()
{
	inventory >"$work/before"
}

# After it: the same is there. What ends beside the monitor has a moment for it.
nothing_is_left()
{
	wait_for 30 sh -c '! pgrep -x "vmm|passt(\.avx2)?|pasta(\.avx2)?"' || :
	inventory >"$work/after"
	diff "$work/before" "$work/after"
}
