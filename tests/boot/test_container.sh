#!/bin/bash
# timeout: 1200
# vmm run --as container and --as host: streams, statuses, signals, limits, volumes, networks, an
# ordinary user, and that nothing is left behind. No machine is booted.
# shellcheck disable=SC2016,SC2030,SC2031,SC2317 # texts for other shells; cases by name
set -u

cd "$(dirname "$0")/../.." || exit 1
. tests/boot/lib.sh
boot_enter "$@"

# How many starts are looked after one by one; twice as many are killed.
runs=${RUNS:-6}
root=$work/root
mkdir -p "$root/bin" "$root/etc" "$root/tmp" "$work/volume"
cp "$(command -v busybox)" "$root/bin/busybox"
for name in sh cat dd echo env head hostname httpd id ip ls mkdir mknod mount ping ps pwd rm sed sha256sum \
	sleep stat stty tail test touch tr true tty umount unshare wc wget yes; do
	ln -s busybox "$root/bin/$name"
done
echo 'root:x:0:0::/:/bin/sh
guest:x:1234:1235::/home:/bin/sh' >"$root/etc/passwd"
echo 'root:x:0:
guest:x:1235:
audio:x:29:guest' >"$root/etc/group"
echo "a page" >"$work/page"
echo untouched >"$root/etc/mark"
chmod -R go+rX "$root"

# run AS OPTION... -- COMMAND: as root, or as $run_as says.
run()
{
	"${run_as[@]}" "$vmm" run --as "$1" --rootfs "$root" "${@:2}"
}

# Where the network makes no difference.
quick()
{
	local net=none

	[ "$1" = container ] || net=host
	run "$1" --net "$net" "${@:2}"
}

# in_background AS OPTION... -- COMMAND: its number is in $pid.
in_background()
{
	# A shell has what it starts in the background ignore SIGINT.
	env --default-signal=INT,QUIT "${run_as[@]}" "$vmm" run --as "$1" --rootfs "$root" "${@:2}" &
	pid=$!
}

# says TEXT COMMAND...: its output is just that.
says()
{
	local wanted=$1 said

	shift
	said=$("$@")
	[ "$said" = "$wanted" ] || {
		echo "said \"$said\" instead of \"$wanted\": $*"
		return 1
	}
}

statuses()
{
	expect 7 quick "$1" -- sh -c 'exit 7'
	expect 127 quick "$1" -- nonsense
	expect 126 quick "$1" -- /etc/passwd
	expect 143 quick "$1" -- sh -c 'kill -TERM $$; sleep 9'
	expect 124 quick "$1" --timeout 1 -- sleep 100
	expect 125 quick "$1" --workdir /nowhere -- true
}

streams()
{
	local sum

	dd if=/dev/urandom of="$work/random" bs=1M count=64 status=none
	sum=$(sha256sum <"$work/random")
	quick "$1" -- sh -c 'echo apart >&2; cat' <"$work/random" >"$work/copy" 2>"$work/errors"
	[ "$(sha256sum <"$work/copy")" = "$sum" ]
	[ "$(cat "$work/errors")" = apart ]
}

# The root is seen, written, and not changed.
writes_are_thrown_away()
{
	quick "$1" -- sh -c 'echo new >/etc/mark; rm /bin/wc; mkdir /x; cat /etc/mark' | grep -x new
	[ "$(cat "$root/etc/mark")" = untouched ]
	[ -e "$root/bin/wc" ]
	[ ! -e "$root/x" ]
}

keeps()
{
	mkdir -p "$work/keep-$1"
	quick "$1" --keep "$work/keep-$1" -- sh -c 'echo kept >/etc/kept'
	[ "$(cat "$work/keep-$1/etc/kept")" = kept ]
	[ ! -e "$root/etc/kept" ]
	says kept quick "$1" --keep "$work/keep-$1" -- cat /etc/kept
	[ ! -e "$work/keep-$1/etc/hosts" ]
	quick "$1" --keep "$work/keep-$1" -- rm /bin/wc
	[ -z "$(find "$work" -maxdepth 1 -name ".vmm-work*")" ]
}

# What we put over the root's files is not what the command wrote.
keeps_links()
{
	mkdir "$work/kept-links-$1"
	cp -a "$root" "$work/links-$1"
	ln -s ../run/nowhere "$work/links-$1/etc/resolv.conf"
	for _ in 1 2; do
		"$vmm" run --as "$1" --rootfs "$work/links-$1" --net host \
			--keep "$work/kept-links-$1" -- cat /etc/resolv.conf >/dev/null
	done
	[ -z "$(find "$work/kept-links-$1" ! -type d)" ]
}

# What another has put where the overlay works is not used, nor followed.
keep_beside()
{
	local beside

	mkdir -p "$work/kept-$1" "$work/others/work/file"
	beside=$work/.vmm-work-$(stat -c %i "$work/kept-$1")
	ln -s "$work/others" "$beside"
	chown -h "$user" "$beside"
	refused_with "make .vmm-work" quick "$1" --keep "$work/kept-$1" -- true
	rm "$beside"
	[ -d "$work/others/work/file" ]
}

# What vmm's caller had open is not for the command.
descriptors()
{
	says "0 1 2 3 " quick "$1" -- sh -c 'ls /proc/self/fd | tr "\n" " "' 7</etc/passwd 8</
}

# The host's directory gets no files of ours.
volume_stays()
{
	mkdir -p "$work/empty"
	ln -sf /nowhere "$work/empty/resolv.conf"
	quick "$1" --volume "$work/empty:/etc" -- true
	[ "$(ls -A "$work/empty")" = resolv.conf ]
	[ -L "$work/empty/resolv.conf" ]
}

words()
{
	says "uid=1234(guest) gid=1235(guest) groups=29(audio),1235(guest)" quick "$1" --user guest -- id
	says 77:29 quick "$1" --user 77:audio -- sh -c 'echo $(id -u):$(id -g)'
	says "/tmp b c" quick "$1" --workdir /tmp --env A=b --env C_D=c -- \
		sh -c 'echo $PWD $A $(env | sed -n "s/^C_D=//p")'
	says /home quick "$1" --user guest -- sh -c 'echo $HOME'
	[ "$1" = host ] || says here quick "$1" --hostname here -- hostname
}

# signalled AS NUMBER: the command hears it, and its own status comes back.
signalled()
{
	local pid net=none status=0

	[ "$1" = container ] || net=host
	in_background "$1" --net "$net" -- \
		sh -c "trap 'echo heard; exit 33' $2; echo ready; while :; do sleep 0.1; done" \
		>"$work/said-$2"
	wait_for 300 grep -q ready "$work/said-$2"
	kill "-$2" "$pid"
	wait "$pid" || status=$?
	grep -x heard "$work/said-$2"
	[ "$status" = 33 ]
}

signals()
{
	local name

	for name in INT TERM HUP USR1; do
		signalled "$1" "$name"
	done
}

volumes()
{
	quick "$1" --volume "$work/volume:/data/deep" -- sh -c 'echo written >/data/deep/file'
	[ "$(cat "$work/volume/file")" = written ]
	says written quick "$1" --volume "$work/volume:/data:ro" -- cat /data/file
	expect 1 quick "$1" --volume "$work/volume:/data:ro" -- touch /data/file
}

terminal()
{
	mkfifo "$work/keys-$1"
	script -qec "stty rows 33 cols 77; $vmm run --as $1 --rootfs $root \
		--net $([ "$1" = host ] && echo host || echo none) -- sh -c \
		'trap \"echo heard; exit 5\" INT; tty; stty size; while :; do sleep 0.1; done'" \
		/dev/null <"$work/keys-$1" >"$work/tty-$1" &
	exec 9>"$work/keys-$1"
	# Ctrl-C is a byte on its way to the terminal inside.
	wait_for 300 grep -q '33 77' "$work/tty-$1"
	printf '\003' >&9
	expect 5 wait $!
	exec 9>&-
	tr -d '\r' <"$work/tty-$1" >"$work/lines"
	cat "$work/lines"
	grep -qx '33 77' "$work/lines"
	grep -q '^/dev/' "$work/lines"
	grep -q heard "$work/lines"
}

# A terminal whose other end nobody reads is full after some lines.
terminal_unread()
{
	python3 - "$vmm" "$root" <<-'TEXT'
		import os, subprocess, sys

		ours, theirs = os.openpty()
		run = subprocess.Popen(
		    [sys.argv[1], "run", "--as", "container", "--rootfs", sys.argv[2], "--net", "none", "--timeout", "5",
		     "--", "sh", "-c", "while :; do echo nobody reads this; done"],
		    stdin=theirs, stdout=theirs, stderr=subprocess.PIPE, start_new_session=True)
		try:
		    said = run.communicate(timeout=60)[1]
		except subprocess.TimeoutExpired:
		    run.kill()
		    sys.exit("it did not end")
		sys.exit(0 if run.returncode == 124 and b"time limit" in said else str((run.returncode, said)))
	TEXT
}

memory_limit()
{
	local status=0

	run container --net none --memory 64M -- sh -c \
		'dd if=/dev/zero of=/dev/shm/big bs=1M count=200; echo survived' >"$work/said" 2>&1 ||
		status=$?
	cat "$work/said"
	[ "$status" = 137 ] || grep -q Killed "$work/said"
	status=0
	run container --net none --memory 64M -- dd if=/dev/zero of=/dev/shm/big bs=1M count=200 \
		>"$work/said" 2>&1 || status=$?
	[ "$status" = 137 ]
	grep -q 'memory limit of 64 MiB' "$work/said"
}

confinement()
{
	run container --net none -- sh -c '
		set -e
		grep -x "NoNewPrivs:	1" /proc/self/status
		grep -x "Seccomp:	2" /proc/self/status
		grep -x "CapEff:	00000000a00425fb" /proc/self/status
		if mount -t tmpfs x /tmp; then exit 1; fi
		if unshare -m true; then exit 1; fi
		if echo 1 >/proc/sys/kernel/panic; then exit 1; fi
		if touch /sys/x; then exit 1; fi
		[ ! -e /proc/kcore ] || [ "$(wc -c </proc/kcore)" = 0 ]
		[ "$(ls /proc | sed -n "/^[0-9]/p" | wc -l)" -lt 8 ]
		[ "$(ls -l /proc/self/ns | wc -l)" -gt 6 ]'
	[ "$(run container --net none -- sh -c 'stat -L -c %i /proc/self/ns/pid')" != \
		"$(stat -L -c %i /proc/self/ns/pid)" ]
}

# device_nodes NET: those of the root and new ones open nothing, and the host's stay as they are.
device_nodes()
{
	cp -a "$root" "$work/device-$1"
	mknod -m 666 "$work/device-$1/zero" c 1 5
	touch -d 2020-02-02 /dev/zero /dev/null
	"$vmm" run --as container --rootfs "$work/device-$1" --net "$1" -- sh -c '
		head -c 1 /zero && exit 1
		mknod /new c 1 5 && exit 1
		mknod /dev/new c 1 5 && exit 1
		touch -d 2010-10-10 /dev/zero
		chmod 600 /dev/zero
		[ "$(head -c 2 /dev/zero | wc -c)" = 2 ]
		for file in /proc/keys /proc/timer_list; do
			[ ! -e $file ] || ! touch -d 2010-10-10 $file || exit 1
		done'
	[ "$(stat -c %a /dev/zero)" = 666 ]
	[ "$(date -r /dev/zero +%F)" = 2020-02-02 ]
	[ "$(date -r /dev/null +%F)" != 2010-10-10 ]
}

# What tells of the host is covered, as far as this host has it.
masks()
{
	local path mounts paths=()

	mounts=$(run container --net none -- cat /proc/mounts)
	for path in proc/acpi proc/scsi sys/firmware sys/fs/selinux sys/devices/virtual/powercap \
		proc/bus proc/fs proc/irq; do
		[ -e "/$path" ] || continue
		echo "$path"
		grep "^[^ ]* /$path [^ ]* ro,nosuid,nodev,noexec," <<<"$mounts"
		case $path in
		proc/bus | proc/fs | proc/irq) ;;
		*) paths+=("$path") ;;
		esac
	done
	[ "${#paths[@]}" -gt 0 ]
	run container --net none -- sh -c '
		for path; do
			[ -d "/$path" ] && [ -z "$(ls -A "/$path")" ] || exit 1
			if touch "/$path/x"; then exit 2; fi
		done
		for path in kcore keys timer_list latency_stats sched_debug; do
			[ ! -e /proc/$path ] || [ "$(cat /proc/$path | wc -c)" = 0 ] || exit 3
		done' sh "${paths[@]}"
}

# private COMMAND...: what it makes is for nobody else.
private()
{
	(umask 077 && "$@")
}

# The container's own files in /etc, whatever the root has there, which is not changed.
etc_files()
{
	local listed

	listed=$(ls -l --time-style=+ "$root/etc")
	says "127.0.1.1 here" run container --net none --hostname here "$@" -- sed -n '/here/p' /etc/hosts
	says here run container --net none --hostname here "$@" -- cat /etc/hostname
	says "$(stat -c '%a %u %g' "$root/etc")" run container --net none "$@" -- stat -c '%a %u %g' /etc
	says untouched run container --net none "$@" -- cat /etc/mark
	[ "$(ls -l --time-style=+ "$root/etc")" = "$listed" ]
}

etc_files_however()
{
	mkdir -p "$work/keep-etc" "$work/etc"
	chmod 751 "$root/etc"
	etc_files
	etc_files --keep "$work/keep-etc"
	# As a file, and as a link that leads nowhere, as systemd has them.
	echo old >"$root/etc/hostname"
	ln -s ../run/nowhere/hosts "$root/etc/hosts"
	etc_files
	etc_files --keep "$work/keep-etc"
	if grep -r here "$work/keep-etc"; then return 1; fi
	rm "$root/etc/hostname" "$root/etc/hosts"
	chmod 755 "$root/etc"
	# A volume's are covered as well, but none is made there.
	echo theirs >"$work/etc/hostname"
	says here run container --net none --hostname here --volume "$work/etc:/etc" -- cat /etc/hostname
	says theirs cat "$work/etc/hostname"
	says hostname ls "$work/etc"
	# Where /etc is a link, and where there is none.
	mv "$root/etc" "$root/other"
	says vmm run container --net none -- cat /etc/hostname
	ln -s other "$root/etc"
	says vmm run container --net none -- cat /other/hostname
	rm "$root/etc"
	mv "$root/other" "$root/etc"
	# Others can read them, and reach volumes, whatever vmm's umask is.
	chmod 2755 "$root/etc"
	says "here
644 0
755 0" private run container --net none --hostname here --user guest \
		--volume "$work/volume:/srv/a/b" -- \
		sh -c 'cat /etc/hostname; stat -c "%a %g" /etc/hosts /srv/a'
	says 0077 private run container --net none -- sh -c umask
	chmod 755 "$root/etc"
}

page_from()
{
	says "a page" run container --net "$1" -- wget -q -O - "http://$2:8000/page"
}

networks()
{
	busybox httpd -f -p 8000 -h "$work" &
	wait_for 300 busybox wget -q -O /dev/null http://127.0.0.1:8000/page
	page_from host 127.0.0.1
	page_from bridge 10.77.0.1
	page_from bridge 192.0.2.2
	page_from user 192.0.2.1
	says "LOOPBACK,UP,LOWER_UP" run container --net none -- sh -c \
		'ip link show lo | sed -n "s/.*<\(.*\)>.*/\1/p"'
	kill %1
}

# Newer ones keep nothing open that they were given.
pasta_closes_all()
{
	mkdir "$work/newer"
	printf '%s\n' '#!/bin/bash' 'for fd in /proc/self/fd/*; do' \
		'[ "${fd##*/}" -le 2 ] || eval "exec ${fd##*/}>&-"' 'done 2>/dev/null' \
		"exec $(command -v pasta) \"\$@\"" >"$work/newer/pasta"
	chmod -R a+rx "$work/newer"
	PATH=$work/newer:$PATH run container --net user -- true
	mkdir -p "$work/runtime"
	chown "$user:$user" "$work/runtime"
	run_as=("${as_user[@]}" env "XDG_RUNTIME_DIR=$work/runtime" "PATH=$work/newer:$PATH")
	run container --net user -- true
}

# published KIND FROM: a server inside, reached by the host's port.
published()
{
	local pid status=0

	in_background container --net "$1" --publish 8080:80 --volume "$work:/www:ro" -- \
		httpd -f -p 80 -h /www
	wait_for 300 sh -c "[ \"\$(busybox wget -q -O - http://$2:8080/page)\" = 'a page' ]" ||
		status=$?
	kill "$pid"
	wait "$pid" || :
	return "$status"
}

# A server of the host keeps its port.
taken_port()
{
	local status=0

	busybox httpd -f -p 8000 -h "$work" &
	wait_for 300 busybox wget -q -O /dev/null http://127.0.0.1:8000/page
	refused_with "name another port" run container --net bridge --publish 8000:80 -- true ||
		status=$?
	kill %1
	return "$status"
}

refusals()
{
	refused_with "bridge" run container --net tap=t0 -- true
	refused_with "--as machine" run container --kernel /nowhere -- true
	refused_with "--as container or machine" run host --net none -- true
	refused_with "--as container or machine" run host --memory 64M -- true
	refused_with "--as machine" run container --transport mmio -- true
	refused_with "--as machine" run host --poll 5 -- true
	refused_with "--as container or machine" run host --hostname other -- true
	refused_with "lies in the other" run host --keep "$root/etc" -- true
	refused_with "lies in the other" run container --keep "$root" -- true
	refused_with "lies in the other" run container --keep "$work" -- true
	refused_with "not a directory" quick container --volume "$work/page:/x" -- true
	[ "$(id -u)" != 0 ] || run_as=("${as_user[@]}")
	refused_with "needs root" run container --net bridge -- true
	refused_with "systemd-run" run container --net none --memory 64M -- true
}

# refused_with TEXT COMMAND...: status 125 and one line with TEXT.
refused_with()
{
	local wanted=$1 status=0

	shift
	"$@" >"$work/said" 2>&1 || status=$?
	cat "$work/said"
	[ "$status" = 125 ]
	[ "$(wc -l <"$work/said")" = 1 ]
	grep -qF -e "$wanted" "$work/said"
}

ordinary_user_runs()
{
	local as

	for as in container host; do
		expect 7 quick "$as" -- sh -c 'exit 7'
		writes_are_thrown_away "$as"
	done
}

ordinary_user()
{
	mkdir -p "$work/runtime"
	cp -a "$root" "$work/user-root"
	root=$work/user-root
	chown -R "$user:$user" "$work/runtime" "$root"
	run_as=("${as_user[@]}" env "XDG_RUNTIME_DIR=$work/runtime")
	# Without ids granted, root alone is there.
	ordinary_user_runs
	echo "$user:100000:65536" >>/etc/subuid
	echo "$user:100000:65536" >>/etc/subgid
	ordinary_user_runs
	says 1234 quick container --user guest -- id -u
	says 1234 quick host --user guest -- id -u
	busybox httpd -f -p 8000 -h "$work" &
	wait_for 300 busybox wget -q -O /dev/null http://127.0.0.1:8000/page
	page_from host 127.0.0.1
	page_from user 192.0.2.1
	kill %1
}

# The first start leaves a directory, and a file to lock, for good.
first_start()
{
	run container --net bridge -- true
}

one_after_another()
{
	local i

	first_start
	note_what_there_is
	for i in $(seq "$runs"); do
		quick container --memory 64M -- true
		quick host -- sh -c 'sleep 1000 & sleep 1000 & true'
	done
	for i in 1 2; do
		run container --net bridge --publish 8081:80 -- true
		run container --net user -- true
	done
	nothing_is_left
}

at_once()
{
	local i pids=()

	first_start
	note_what_there_is
	for i in $(seq 20); do
		if [ $((i % 4)) = 0 ]; then
			run container --net bridge -- sh -c "sleep 1; exit $i" &
		else
			quick container --memory 64M -- sh -c "sleep 1; exit $i" &
		fi
		pids+=($!)
	done
	for i in $(seq 20); do
		expect "$i" wait "${pids[i - 1]}"
	done
	nothing_is_left
}

# Killed at a random moment of start, life and end, by the one signal that cannot be handled.
killed_at_random()
{
	local i pid kinds=("container --net none --memory 64M" "container --net bridge --publish 8082:80"
		"container --net user" "host --net host")

	first_start
	note_what_there_is
	for i in $(seq $((runs * 2))); do
		# shellcheck disable=SC2086 # words
		in_background ${kinds[i % 4]} -- sh -c 'sleep 5 & sleep 5'
		sleep "0.$((RANDOM % 80 + 10))"
		kill -KILL "$pid" 2>/dev/null || :
		wait "$pid" 2>/dev/null || :
	done
	# The next start of each kind sweeps.
	quick host -- true
	quick container -- true
	nothing_is_left
}

# Orphans of a killed vmm go at the next start; who has got the number of their namespace stays.
sweeps_its_own()
{
	local pid

	in_background host --net host -- sh -c \
		'sleep 1003 & unshare -m sleep 1004 &
		mkdir -p /sub/dir/bin; cat /bin/busybox >/sub/dir/bin/sleep; busybox chmod +x /sub/dir/bin/sleep
		busybox chroot /sub/dir /bin/sleep 1002 & echo ready; sleep 1005' >"$work/ready"
	wait_for 300 test -s "$work/ready"
	kill -KILL "$pid"
	wait "$pid" || :
	wait_for 30 pgrep -f "sleep 1003"
	wait_for 30 pgrep -f "^/bin/sleep 1002"
	quick host -- true
	wait_for 30 sh -c '! pgrep -f "sleep 100[2345]"'
	# The note of a run whose namespace is this one's now.
	echo "mounts $(readlink /proc/self/ns/mnt | tr -dc 0-9)" >/run/vmm/host-999999
	quick host -- true
	[ ! -e /run/vmm/host-999999 ]
}

# stands FILE: nothing is added to it for half a second.
stands()
{
	local before

	before=$(stat -c %s "$1")
	sleep 0.5
	[ "$(stat -c %s "$1")" = "$before" ]
}

freezes()
{
	local pid twin before

	in_background container --name iced --net none -- sh -c 'while :; do echo; sleep 0.05; done' \
		>"$work/beats"
	wait_for 300 test -s "$work/beats"
	refused_with "no container of yours" "$vmm" freeze other
	"$vmm" freeze iced
	# What was on its way arrives still.
	wait_for 30 stands "$work/beats"
	"$vmm" freeze iced
	before=$(stat -c %s "$work/beats")
	"$vmm" thaw iced
	wait_for 300 sh -c "[ \$(stat -c %s $work/beats) != $before ]"
	# Which of two it would be is not for us to say.
	twin=$pid
	in_background container --name iced --net none -- sleep 1000
	wait_for 300 refused_with "2 containers have this name" "$vmm" freeze iced
	kill -KILL "$pid"
	wait "$pid" || :
	# A frozen one dies with its vmm.
	"$vmm" freeze iced
	kill -KILL "$twin"
	wait "$twin" || :
	refused_with "no container of yours" "$vmm" thaw iced
	quick container -- true
	[ -z "$(find /sys/fs/cgroup -maxdepth 2 -name "vmm-*")" ]
}

for as in container host; do
	check "$as: the command's status comes back" statuses "$as"
	check "$as: 64 MiB through standard input and output, standard error apart" streams "$as"
	check "$as: the root is never changed" writes_are_thrown_away "$as"
	check "$as: --keep keeps what is written" keeps "$as"
	check "$as: --keep keeps nothing of ours" keeps_links "$as"
	check "$as: --keep does not work in what is another's" keep_beside "$as"
	check "$as: user, directory, environment and name are those given" words "$as"
	check "$as: signals reach the command" signals "$as"
	check "$as: volumes are written and read, or only read" volumes "$as"
	check "$as: a volume gets no files of ours" volume_stays "$as"
	check "$as: no descriptor of vmm's caller is open to the command" descriptors "$as"
	check "$as: a terminal is a terminal" terminal "$as"
done
check "container: a terminal that nobody reads keeps no run alive" terminal_unread
check "container: the memory limit kills, and a line says so" memory_limit
check "container: what would reach beyond it is refused" confinement
check "container: device nodes are none, and the host's stay as they are" device_nodes none
check "container: device nodes are none with a bridge either" device_nodes bridge
check "container: what tells of the host is covered" masks
check "container: its own /etc/hosts and hostname, however the root has them" etc_files_however
check "container: stops when frozen, goes on when thawed" freezes
check "container: each network fetches a page from the host" networks
check "container: a published port of the bridge, from the host itself" published bridge 127.0.0.1
check "container: a published port of the bridge, by another address" published bridge 192.0.2.2
check "container: a published port in user mode" published user 127.0.0.1
check "container: a port of a server on the host is refused" taken_port
check "container: pasta need not keep what it was given" pasta_closes_all
check "what a boundary cannot do is refused in one line" refusals
check "an ordinary user has both" ordinary_user
check "nothing is left by one after another" one_after_another
check "nothing is left by twenty at once" at_once
check "nothing is left after SIGKILL and the next start" killed_at_random
check "what a killed one left on the host is known by its own mark" sweeps_its_own
finish
