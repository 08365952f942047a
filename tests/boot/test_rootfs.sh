#!/bin/bash
# timeout: 1200
# vmm run --rootfs DIR -- COMMAND in a machine: streams, statuses, signals, limits, volumes, the
# network, and stock kernels with modules. Each case boots once or twice, two cases at a time.
# shellcheck disable=SC2016,SC2030,SC2031,SC2317 # texts for other shells; cases by name
set -u

cd "$(dirname "$0")/../.." || exit 1
. tests/boot/lib.sh
if [ "${1:-}" != --inside ]; then
	STOCK_6_1=$(tests/support/stock-kernel.sh 6.1)/boot/vmlinux || exit 1
	STOCK_6_12=$(tests/support/stock-kernel.sh 6.12)/boot/vmlinux || exit 1
	export STOCK_6_1 STOCK_6_12
fi
boot_enter "$@"

export XDG_CACHE_HOME=$work/cache
root=$work/root
mkdir -p "$root/bin" "$root/etc" "$root/tmp" "$root/srv/deep" "$work/www" "$work/dir"
cp "$(command -v busybox)" "$root/bin/busybox"
for name in sh cat chmod dd echo env head httpd id ip ln ls mkdir mount ping rm sed sleep sort stat \
	touch true uname wget yes; do
	ln -s busybox "$root/bin/$name"
done
echo 'root:x:0:0::/:/bin/sh
guest:x:1234:1235::/home:/bin/sh' >"$root/etc/passwd"
echo 'root:x:0:
guest:x:1235:
audio:x:29:guest' >"$root/etc/group"
echo untouched >"$root/etc/mark"
echo below >"$root/srv/deep/file"
echo "a page" >"$work/www/page"
echo within >"$work/dir/file"
chmod -R go+rX "$root"

# Ours, when it was built: it boots quickest. Else a stock one.
# shellcheck disable=SC2012 # names are ours
kernel=$(ls -dt "$BOOT_KERNELS"/full-*/vmlinux 2>/dev/null | head -n 1)
kernel=${kernel:-$STOCK_6_12}

# run OPTION... -- COMMAND
run()
{
	run_net --net none "$@"
}

run_net()
{
	"${run_as[@]}" "$vmm" run --kernel "$kernel" --rootfs "$root" --memory 128M --timeout 200 "$@"
}

# background FILE OPTION... -- COMMAND: its output in FILE, its number in $pid.
background()
{
	local file=$1

	shift
	"$vmm" run --kernel "$kernel" --rootfs "$root" --memory 128M --timeout 200 "$@" >"$file" &
	pid=$!
}

words_and_status()
{
	expect 7 run --user guest --workdir /tmp --hostname here --env A=b --env C= -- \
		sh -c 'id; echo $PWD $A$C $HOME $(uname -n); exit 7' \
		>"$work/words"
	cat "$work/words"
	head -n 1 "$work/words" | grep -x "uid=1234(guest) gid=1235(guest) groups=29(audio)\(,1235(guest)\)\?"
	tail -n 1 "$work/words" | grep -x "/tmp b /home here"
}

# The root is seen, written, and not changed; what is not there is said as a shell does.
root_is_thrown_away()
{
	expect 127 run -- sh -c 'echo new >/etc/mark; rm /bin/wget; cat /etc/mark; nonsense' \
		>"$work/thrown"
	grep -x new "$work/thrown"
	[ "$(cat "$root/etc/mark")" = untouched ]
	[ -e "$root/bin/wget" ]
	expect 127 run -- nonsense
}

# What one run writes the next one sees, as machine or as container; what it deletes is gone.
keeps()
{
	local kept=$work/$1/keep

	mkdir -p "$kept"
	[ "$1" != user ] || chown "$user:$user" "$kept"
	expect 7 run --keep "$kept" -- sh -c 'set -e; echo new >/etc/mark; rm /bin/wget; rm -r /srv
		mkdir -p /srv/own /a/b; echo 1 >/a/one; ln /a/one /a/two; ln -s /etc/mark /link
		dd if=/dev/urandom of=/big bs=1M count=8 2>/dev/null; chmod 4711 /big; exit 7' \
		2>"$work/keeps-$1"
	cat "$work/keeps-$1"
	grep "1 files have lost their set-user-ID" "$work/keeps-$1"
	[ "$(cat "$root/etc/mark" "$kept/etc/mark")" = "untouched
new" ]
	[ -c "$kept/bin/wget" ]
	[ -e "$root/bin/wget" ]
	[ -d "$kept/srv/own" ]
	[ "$kept/a/one" -ef "$kept/a/two" ]
	[ "$(stat -c %s:%a "$kept/big")" = 8388608:711 ]
	run --keep "$kept" -- sh -c 'set -e; [ $(cat /link) = new ]; [ ! -e /bin/wget ]; [ -d /srv/own ]
		[ ! -e /srv/deep ]; rm -r /srv /a/two; echo 2 >>/a/one'
	[ -c "$kept/srv" ]
	"${run_as[@]}" "$vmm" run --as container --net none --rootfs "$root" --keep "$kept" -- \
		sh -c 'set -e; [ ! -e /srv ]; [ $(cat /etc/mark) = new ]; [ $(sed -n 2p /a/one) = 2 ]
		mkdir /srv; echo c >/srv/c; rm /link'
	run --keep "$kept" -- sh -c 'set -e; [ $(cat /srv/c) = c ]; [ ! -e /srv/deep ]; [ ! -e /link ]'
	[ -z "$(find "${kept%/*}" -maxdepth 1 -name ".vmm-*")" ]
}

# attributes PATH...: the extended ones, but an overlay's own, a line each.
attributes()
{
	python3 -c '
import os, sys
for path in sys.argv[1:]:
	for name in sorted(os.listxattr(path)):
		if not name.startswith(("user.overlay.", "trusted.overlay.")):
			print(os.path.basename(path), name, os.getxattr(path, name).hex())' "$@"
}

# What is changed comes up from the root with its attributes, and is kept with them, run by run.
keeps_attributes()
{
	local kept=$work/attributes/keep as
	local root=$work/attributes/root

	mkdir -p "$kept" "$root/d"
	cp -a "$work/root/." "$root"
	touch "$root/d/file" "$root/d/program"
	python3 - "$root/d" <<-'TEXT'
		import os, struct, sys
		acl = struct.pack('<I', 2) + b''.join(struct.pack('<HHI', *entry) for entry in (
		    (1, 6, 2**32 - 1), (2, 4, 33), (4, 4, 2**32 - 1), (16, 4, 2**32 - 1), (32, 0, 2**32 - 1)))
		for path in sys.argv[1], sys.argv[1] + '/file':
		    os.setxattr(path, 'user.note', b'of ' + path.encode())
		    os.setxattr(path, 'system.posix_acl_access', acl)
		os.setxattr(sys.argv[1], 'system.posix_acl_default', acl)
		# Version 2, effective, CAP_NET_RAW.
		os.setxattr(sys.argv[1] + '/program', 'security.capability',
		    struct.pack('<5I', 0x2000001, 1 << 13, 0, 0, 0))
	TEXT
	attributes "$root/d" "$root/d/file" >"$work/attributes/wanted"
	[ "$(wc -l <"$work/attributes/wanted")" = 5 ]
	for as in container machine machine; do
		if [ "$as" = machine ]; then
			run --keep "$kept" -- sh -c 'echo new >>/d/file'
		else
			"$vmm" run --as "$as" --net none --rootfs "$root" --keep "$kept" -- sh -c 'echo new >>/d/file'
		fi
		attributes "$kept/d" "$kept/d/file" | diff "$work/attributes/wanted" -
	done
	[ "$(wc -l <"$kept/d/file")" = 3 ]
	run --keep "$kept" -- chmod 711 /d/program 2>"$work/attributes/said"
	cat "$work/attributes/said"
	grep "1 files have lost .* capabilities" "$work/attributes/said"
	[ -z "$(attributes "$kept/d/program")" ]
}

# An ordinary user may write beside what he keeps, and has a root of his own.
keeps_for_a_user()
{
	become_user "$work/user"
	keeps user
}

# become_user DIR: what runs from here on in this case is an ordinary user's, with his files in DIR.
become_user()
{
	mkdir "$1"
	cp -a "$root" "$1/root"
	cp "$kernel" "$1/vmlinux"
	chown -R "$user:$user" "$1"
	run_as=("${as_user[@]}" env "XDG_CACHE_HOME=$1/cache" "XDG_RUNTIME_DIR=$1")
	root=$1/root
	kernel=$1/vmlinux
}

# With ids granted, his container leaves files that are not his own, and that he may not even read.
keeps_what_others_own()
{
	local kept=$work/ids/keep name

	become_user "$work/ids"
	mkdir "$kept"
	chown "$user:$user" "$kept"
	for name in subuid subgid; do
		echo "$user:100000:65536" >"$work/ids/$name"
		mount --bind "$work/ids/$name" "/etc/$name"
	done
	contain "$kept" 'umask 77; mkdir /d /e; echo c >/d/f; echo c >/e/f; busybox chown -R 1234:1235 /d /e'
	[ "$(stat -c %u:%a "$kept/d/f")" = 101233:600 ]
	run --keep "$kept" -- sh -c 'set -e; [ $(stat -c %u:%g:%a /d/f) = 1234:1235:600 ]; echo m >>/d/f
		echo m >/d/m; rm -r /e'
	[ -c "$kept/e" ]
	contain "$kept" 'set -e; [ ! -e /e ]; [ $(sed -n 2p /d/f) = m ]; [ $(stat -c %u:%a /d) = 1234:700 ]'
	contain "$kept" 'set -e; mkdir -p /e/deep; busybox chown -R 1234:1235 /e; [ $(cat /d/m) = m ]'
	(
		# With more descriptors open than an exit status can number.
		for fd in $(seq 3 150); do eval "exec $fd</dev/null"; done
		run --keep "$kept" -- sh -c 'set -e; [ -d /e/deep ]; rm -r /e; echo >/e'
	)
	[ -f "$kept/e" ]
	[ -z "$(find "$work/ids" -maxdepth 1 -name ".vmm-*")" ]
}

# contain DIR SCRIPT
contain()
{
	"${run_as[@]}" "$vmm" run --as container --net none --rootfs "$root" --keep "$1" -- sh -c "$2"
}

# Other ways to end leave what was kept before.
keeps_what_was()
{
	local kept=$work/old/keep

	mkdir -p "$kept"
	echo old >"$kept/file"
	expect 120 run --keep "$kept" -- sh -c 'echo new >/file; echo c >/proc/sysrq-trigger; sleep 99' \
		2>"$work/keeps-old"
	grep "old/keep is as it was: what the command wrote is lost" "$work/keeps-old"
	[ "$(cat "$kept/file")" = old ]
	expect 127 run --keep "$kept" -- nonsense
	[ "$(cat "$kept/file")" = old ]
	[ -z "$(find "$work/old" -maxdepth 1 -name ".vmm-*")" ]
}

# Right after a run its file system loses the power: nothing is written any more, of its log neither.
outlasts_a_loss_of_power()
{
	local disk=$work/disk-$1

	truncate -s 64M "$disk.img"
	mkfs.ext4 -q "$disk.img"
	mkdir "$disk"
	mount -o loop "$disk.img" "$disk"
	mkdir -p "$disk/keep/d"
	echo old >"$disk/keep/d/file"
	sync
	"$vmm" run --as "$1" "${@:2}" --rootfs "$root" --keep "$disk/keep" -- \
		sh -c 'echo new >/d/file; mkdir /e; busybox seq 100000 >/e/many'
	# EXT4_IOC_SHUTDOWN, EXT4_GOING_FLAGS_NOLOGFLUSH
	perl -e 'my $how = pack("L", 2);
		open(my $top, "<", $ARGV[0]) or die; ioctl($top, 0x8004587d, $how) or die $!' "$disk"
	wait_for 30 umount "$disk"
	mount -o loop "$disk.img" "$disk"
	ls -lR "$disk"
	[ "$(cat "$disk/keep/d/file")" = new ]
	seq 100000 | cmp - "$disk/keep/e/many"
	umount "$disk"
}

streams()
{
	dd if=/dev/urandom of="$work/random" bs=1M count=4 status=none
	run -- sh -c 'echo apart >&2; cat' <"$work/random" >"$work/copy" 2>"$work/errors"
	cmp "$work/random" "$work/copy"
	[ "$(cat "$work/errors")" = apart ]
}

volumes()
{
	truncate -s 16M "$work/volume"
	mke2fs -q -t ext4 "$work/volume"
	run --volume "$work/volume:/data/deep" --volume "$work/dir:/ro:ro" -- \
		sh -c 'set -e; cat /ro/file; ! touch /ro/x 2>/dev/null; echo written >/data/deep/file' |
		grep -x within
	debugfs -R 'cat file' "$work/volume" | grep -x written
	e2fsck -fn "$work/volume"
	[ ! -e "$work/dir/x" ]
	expect 125 run --volume "$work/dir:/rw" -- true
}

network()
{
	local server pid gateway

	busybox httpd -f -p 127.0.0.1:8001 -h "$work/www" &
	server=$!
	# The gateway's address is the host's loopback.
	gateway=$(ip route show default | sed -n 's/.* via \([^ ]*\).*/\1/p')
	background "$work/net" --net user --publish 127.0.0.1:8002:80 -- sh -c '
		wget -q -O- http://'"$gateway"':8001/page
		echo "their page" >/tmp/index.html
		httpd -p 80 -h /tmp
		echo up
		sleep 300'
	wait_for 100 grep -qx up "$work/net"
	grep -x "a page" "$work/net"
	wait_for 30 curl -sf -m 5 -o "$work/fetched" http://127.0.0.1:8002/
	kill -KILL "$pid"
	kill "$server"
	grep -x "their page" "$work/fetched"
}

memory()
{
	expect 137 run --memory 64M -- sh -c 'yes | sort' 2>"$work/oom"
	cat "$work/oom"
	grep "^vmm: .*memory" "$work/oom"
}

# holds_less PID KIB: the process holds less memory than that.
holds_less()
{
	[ "$(sed -n 's/^VmRSS:[^0-9]*\([0-9]*\).*/\1/p' "/proc/$1/status")" -lt "$2" ]
}

# memory_goes_back KERNEL on|off: the command fills 100 MiB and frees them, and within seconds the
# monitor holds no more than before, unless that is off.
memory_goes_back()
{
	local told=$work/back.$BASHPID pid

	mkfifo "$told.in"
	exec 8<>"$told.in"
	"$vmm" run --kernel "$1" --net none --rootfs "$root" --memory 256M --timeout 400 \
		--balloon "$2" -- sh -c 'dd if=/dev/zero of=/tmp/full bs=1M count=100 2>/dev/null
			echo full; read x; rm /tmp/full; echo freed; read x' \
		<"$told.in" >"$told" 8>&- &
	pid=$!
	wait_for 300 grep -qx full "$told"
	expect 1 holds_less "$pid" 110000
	echo >&8
	wait_for 100 grep -qx freed "$told"
	if [ "$2" = on ]; then
		wait_for 100 holds_less "$pid" 80000
	else
		sleep 8
		expect 1 holds_less "$pid" 110000
	fi
	echo >&8
	wait "$pid"
}

# The command hears SIGTERM, and says how it ends.
signals()
{
	local pid

	background "$work/signals" --net none -- \
		sh -c 'trap "echo heard; exit 9" TERM; echo ready; while :; do sleep 0.1; done'
	wait_for 100 grep -q ready "$work/signals"
	kill -TERM "$pid"
	expect 9 wait "$pid"
	grep -x heard "$work/signals"
}

# modules_of KERNEL SERIES: a stock kernel whose drivers are modules.
modules_of()
{
	kernel=$1
	expect 3 run -- sh -c 'uname -r; exit 3' | grep "^$2"
}

# However the monitor dies, nothing but the image stays.
killed()
{
	local pid

	background "$work/killed" --net user -- sh -c 'echo up; sleep 300'
	wait_for 100 grep -q up "$work/killed"
	kill -KILL "$pid"
	wait "$pid" || :
	wait_for 10 no_passt
	(cd "$work/cache/vmm/images" && ls -A) >"$work/left"
	cat "$work/left"
	expect 1 grep -v '^secret$\|^[0-9a-f]*\.erofs$' "$work/left"
}

no_passt()
{
	! pgrep -x 'passt|passt.avx2'
}

# One image first, so that no case makes one while another waits for it.
check "a command's words and status come through" words_and_status
beside "the root is written, and thrown away" root_is_thrown_away
beside "what was written is kept, and seen by the next run" keeps one
beside "what is kept has its extended attributes" keeps_attributes
beside "what an ordinary user writes is kept" keeps_for_a_user
beside "what an ordinary user's container wrote as others is kept" keeps_what_others_own
beside "a panic takes nothing from what was kept" keeps_what_was
beside "what a machine's run kept outlasts a loss of power" outlasts_a_loss_of_power machine \
	--kernel "$kernel" --memory 192M --timeout 100 --net none
beside "what a container's run kept outlasts a loss of power" outlasts_a_loss_of_power container --net none
beside "what a run on the host kept outlasts a loss of power" outlasts_a_loss_of_power host
beside "streams are apart, byte by byte" streams
beside "volumes are directories and images" volumes
beside "pages are fetched both ways" network
beside "memory is what was given" memory
beside "memory that is freed goes back to the host" memory_goes_back "$kernel" on
beside "memory that is freed stays with --balloon off" memory_goes_back "$kernel" off
beside "memory that is freed goes back from a stock kernel" memory_goes_back "$STOCK_6_12" on
beside "signals reach the command" signals
beside "stock kernel 6.1 loads its modules" modules_of "$STOCK_6_1" 6.1
beside "stock kernel 6.12 loads its modules" modules_of "$STOCK_6_12" 6.12
wait
check "a killed monitor leaves nothing behind" killed
boot_finish
