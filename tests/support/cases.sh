# shellcheck shell=bash
# Test cases in shell. A test script sources this file, calls `check` once a case and ends with
# `finish`. Each case prints one line, which run-tests.sh counts:
#   ok NAME (1.2 s)
#   FAIL NAME (1.2 s)      followed by the end of what it printed, indented
#   skip NAME: REASON
# Names say what must happen: "poweroff ends with 0".

cases_failed=0
cases_log=$(mktemp)
cases_only=${TESTS:-}

# Milliseconds since some moment.
now_ms()
{
	local now=${EPOCHREALTIME/[.,]/}

	echo $((now / 1000))
}

# check NAME COMMAND...: COMMAND (a program or a shell function) must end with 0. It runs in a
# subshell with its output in a log and nothing on its input. Status 77 skips the case, the last
# line it printed being the reason. With TESTS set, only cases whose name matches that pattern run.
check()
{
	local name=$1 start status=0 seconds tenths

	shift
	# shellcheck disable=SC2053 # a pattern on purpose
	[ -z "$cases_only" ] || [[ $name == *$cases_only* ]] || return 0
	start=$(now_ms)
	# Not in a condition: the case's own `set -e` would not hold there.
	set +e
	(
		set -e
		"$@"
	) >"$cases_log" 2>&1 </dev/null
	status=$?
	tenths=$((($(now_ms) - start + 50) / 100))
	seconds=$((tenths / 10)).$((tenths % 10))
	case $status in
	0) echo "ok $name ($seconds s)" ;;
	77) echo "skip $name: $(tail -n 1 "$cases_log")" ;;
	*)
		cases_failed=$((cases_failed + 1))
		echo "FAIL $name ($seconds s), status $status"
		tail -n "${TEST_LOG_LINES:-40}" "$cases_log" | tr -d '\r' | sed 's/^/    | /'
		;;
	esac
	return 0
}

# skip_case REASON: ends the case that calls it.
skip_case()
{
	echo "$*"
	exit 77
}

# expect STATUS COMMAND...: COMMAND must end with just that status.
expect()
{
	local wanted=$1 status=0

	shift
	"$@" || status=$?
	[ "$status" = "$wanted" ] || {
		echo "status $status instead of $wanted from: $*"
		return 1
	}
}

finish()
{
	rm -f "$cases_log"
	[ "$cases_failed" = 0 ]
	exit
}
