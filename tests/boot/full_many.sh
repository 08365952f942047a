#!/bin/bash
# timeout: 3600
# Machines in numbers: one after another (RUNS, 100), twenty at once, and RUNS/2 monitors killed at a random
# moment by the one signal that cannot be handled. What there is afterwards is compared with what there
# was before. test_container.sh does the same with containers.
# shellcheck disable=SC2016,SC2030,SC2031,SC2317 # texts for other shells; cases by name
set -u

cd "$(dirname "$0")/../.." || exit 1
. tests/boot/lib.sh
boot_enter "$@"

runs=${RUNS:-100}
export XDG_CACHE_HOME=$work/cache
root=$work/root
mkdir -p "$root/bin" "$root/tmp"
cp "$(command -v busybox)" "$root/bin/busybox"
for name in sh sleep true; do
	ln -s busybox "$root/bin/$name"
done
chmod -R go+rX "$root"
# shellcheck disable=SC2012 # names are ours
kernel=$(ls -dt "$BOOT_KERNELS"/full-*/vmlinux 2>/dev/null | head -n 1)
kernel=${kernel:-$BOOT_VMLINUX}

run()
{
	"$vmm" run --kernel "$kernel" --rootfs "$root" --memory 128M --timeout 100 "$@"
}

one_after_another()
{
	local i status bad=0

	note_what_there_is
	for i in $(seq "$runs"); do
		status=0
		run --net none -- sh -c "exit $((i % 100))" || status=$?
		[ "$status" = $((i % 100)) ] || {
			echo "machine $i ended with $status"
			bad=$((bad + 1))
		}
	done
	for i in 1 2; do
		run --net user -- true
	done
	nothing_is_left
	[ "$bad" = 0 ]
}

at_once()
{
	local i pids=() status bad=0

	note_what_there_is
	for i in $(seq 20); do
		run --net none --timeout 600 -- sh -c "sleep 1; exit $i" &
		pids+=($!)
	done
	for i in $(seq 20); do
		status=0
		wait "${pids[i - 1]}" || status=$?
		[ "$status" = "$i" ] || {
			echo "machine $i ended with $status"
			bad=$((bad + 1))
		}
	done
	nothing_is_left
	[ "$bad" = 0 ]
}

killed_at_random()
{
	local i pid nets=(none user)

	note_what_there_is
	for i in $(seq $((runs / 2))); do
		"$vmm" run --kernel "$kernel" --rootfs "$root" --memory 128M --net "${nets[i % 2]}" \
			-- sh -c 'sleep 5 & sleep 5' &
		pid=$!
		sleep "$((RANDOM % 3)).$((RANDOM % 90 + 10))"
		kill -KILL "$pid" 2>/dev/null || :
		wait "$pid" 2>/dev/null || :
	done
	run --net none -- true
	nothing_is_left
}

# The image, and what else a first run leaves for good.
run --net user -- true
check "nothing is left by $runs machines one after another" one_after_another
check "nothing is left by twenty machines at once" at_once
check "nothing is left after $((runs / 2)) SIGKILLs" killed_at_random
boot_finish
