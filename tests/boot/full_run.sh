#!/bin/bash
# timeout: 1500
# `make run`, as somebody new here would type it: without a terminal it shows what a machine can do,
# on one it gives a shell; the second time it is quick. Where that needs the lab, it starts one.
# shellcheck disable=SC2016,SC2030,SC2031,SC2317 # guests' texts; cases by name
set -u

cd "$(dirname "$0")/../.." || exit 1
. tests/support/cases.sh
work=$(mktemp -d)
trap 'rm -rf "$work" "$cases_log"' EXIT

# The kernel takes minutes when it is not in the cache, and those are not what is tested here.
kernel=$(guest-kernel-configs/build.sh full | tail -n 1)/bzImage || exit 1
export KERNEL=$kernel

without_terminal()
{
	make -s run </dev/null >"$work/out" 2>"$work/err" || {
		cat "$work/out" "$work/err"
		return 1
	}
	tr -d '\r' <"$work/out"
	[ "$(grep -c "which is a failure" "$work/out")" = 0 ]
	grep -q "^kernel .*Linux" "$work/out"
	grep -q "^disk .*on / as ext4" "$work/out"
	grep -q "^file .*read back alike" "$work/out"
	grep -q "^address .*by DHCP" "$work/out"
	grep -q "^fetch .*a page from a server on the host" "$work/out"
}

wait_for()
{
	local deadline=$((SECONDS + $1))

	shift
	until "$@"; do
		[ "$SECONDS" -lt "$deadline" ] || {
			echo "in vain: $*"
			tail -n 20 "$work/shown"
			return 1
		}
		sleep 0.2
	done 2>/dev/null
}

# A shell that answers, Ctrl-a x, and a terminal that is as it was.
on_terminal()
{
	mkfifo "$work/keys"
	exec 7<>"$work/keys"
	cat >"$work/shell" <<-TEXT
	stty rows 40 columns 100
	stty -g >$work/before
	make -s run
	echo \$? >$work/status
	stty -g >$work/after
	TEXT
	script -q -f -c "sh $work/shell" "$work/shown" <&7 7>&- >/dev/null &
	# shellcheck disable=SC2064 # now
	trap "kill $! 2>/dev/null || :" EXIT
	wait_for 200 grep -q 'small:[^ ]*# ' "$work/shown"
	printf 'echo $((6 * 7))-answers; stty size\r' >&7
	wait_for 120 grep -q '42-answers' "$work/shown"
	wait_for 120 grep -q '40 100' "$work/shown"
	printf '\001x' >&7
	wait_for 120 [ -s "$work/after" ]
	exec 7>&-
	[ "$(cat "$work/status")" = 0 ]
	cmp "$work/before" "$work/after"
}

second_is_quick()
{
	local start=$SECONDS

	make -n run >/dev/null
	make -s all
	KERNEL=$kernel tests/image/mksmall.sh "$work/disk.img"
	guest-kernel-configs/build.sh full
	[ $((SECONDS - start)) -lt 30 ]
}

check "make run without a terminal shows disk, file, address and fetch, and gives 0" \
	without_terminal
check "make run on a terminal gives a shell, Ctrl-a x gives the terminal back" on_terminal
check "what make run prepares is quick when it is there" second_is_quick
finish
