#!/bin/bash
# run-tests.sh [SUITE...]: builds what the suites need and runs them; by default all:
#   unit  unit-asan  unit-tsan  unit tests, plain and with the sanitizers
#   fuzz                        every fuzz target replays its corpus
#   cli guest boot              the scripts test_*.sh and run.sh of tests/SUITE
#   boot-full                   tests/boot/full_*.sh: longer boots, by name only (make test-boot)
# A program or script that fails is tried once more, and the second try counts: the emulated host of
# the lab fails now and then by itself. What failed first is shown, on lines that begin with "#".
# One line a case on standard output: "ok NAME (seconds)", "FAIL NAME" with the end of its log,
# "skip NAME: reason"; the last line is "N passed, N failed, N skipped". Status 0 when none failed
# and some passed. What each program printed stays in build/test-logs. TESTS=PATTERN picks cases of
# the shell suites by name; there must be one. A script that prints no such lines counts as one case,
# and is left out when some are picked. Its line "# timeout: SECONDS" sets how long it may take (300).
set -u

cd "$(dirname "$0")/../.." || exit 1
. tests/support/cases.sh
arch=$(uname -m)
logs=${TEST_LOGS:-build/test-logs}
passed=0
failed=0
skipped=0
# How many cases the scripts have had; empty when there was no script.
picked=

ok()
{
	echo "ok $1"
	passed=$((passed + ${2:-1}))
}

# fail LINE LOG [COUNT]
fail()
{
	echo "FAIL $1"
	tail -n 40 "$2" | sed 's/^/    | /'
	failed=$((failed + ${3:-1}))
}

skip()
{
	echo "skip $1"
	skipped=$((skipped + ${2:-1}))
}

elapsed()
{
	local tenths=$((($(now_ms) - $1 + 50) / 100))

	echo "$((tenths / 10)).$((tenths % 10)) s"
}

# After 45 minutes nothing is tried again: the whole has 90.
late()
{
	[ $(($(now_ms) - start_all)) -gt 2700000 ]
}

# build SUITE TARGET...: a suite whose programs do not build has failed, and the others go on.
build()
{
	local suite=$1 start

	shift
	start=$(now_ms)
	if make -s -j"$(nproc)" "$@" >"$logs/$suite/build.log" 2>&1; then
		echo "# $suite: built in $(elapsed "$start")"
		return 0
	fi
	fail "$suite must build" "$logs/$suite/build.log"
	return 1
}

# Sum of the numbers that stand before "test(s)" in the lines of the log with this word.
cmocka_count()
{
	sed -n "s/^\[ *$1 *\] \([0-9]*\) test(s).*/\1/p" "$2" | awk '{ n += $1 } END { print n + 0 }'
}

# Why tests of a cmocka program were skipped, as tests/support/skip.h has it: each reason once.
cmocka_reasons()
{
	sed -n 's/^# skip: //p' "$1" | sort -u | paste -sd ';' | sed 's/;/; /g'
}

# One cmocka program: each of its tests counts.
unit_program()
{
	local suite=$1 program=$2 name log start status try good bad none line

	name=$suite/${program##*/test_}
	log=$logs/$suite/${program##*/}.log
	start=$(now_ms)
	for try in 1 2; do
		status=0
		timeout -k 5 300 "$program" >"$log" 2>&1 </dev/null || status=$?
		good=$(cmocka_count PASSED "$log")
		bad=$(cmocka_count FAILED "$log")
		none=$(cmocka_count SKIPPED "$log")
		if [ "$status$bad" = 00 ] || [ $try = 2 ] || late; then
			break
		fi
		echo "# $name: status $status, $bad failed; a second try follows"
		tail -n 20 "$log" | sed 's/^/#   | /'
	done
	line="$name: $good tests ($(elapsed "$start"))"
	[ "$none" = 0 ] || skip "$name: $none tests: $(cmocka_reasons "$log")" "$none"
	if [ "$status" != 0 ] || [ "$bad" != 0 ]; then
		# A crash, a hang or a sanitizer's report fails no test by name.
		[ "$bad" != 0 ] || bad=1
		passed=$((passed + good))
		fail "$line, status $status" "$log" "$bad"
	elif [ "$good" = 0 ] && [ "$none" = 0 ]; then
		fail "$name ran no test" "$log"
	else
		ok "$line" "$good"
	fi
}

suite_unit()
{
	local suite=$1 flavor=${1#unit} program

	build "$suite" "$suite" || return
	for program in tests/unit/test_*.c; do
		unit_program "$suite" "build/$arch$flavor/tests/unit/$(basename "$program" .c)"
	done
}

suite_fuzz()
{
	local target name log start count

	build fuzz fuzz-build || return
	for target in tests/fuzz/fuzz_*.c; do
		name=$(basename "$target" .c)
		log=$logs/fuzz/$name.log
		start=$(now_ms)
		count=$(find "tests/fuzz/corpus/${name#fuzz_}" -type f 2>/dev/null | wc -l)
		if [ "$count" = 0 ]; then
			echo "tests/fuzz/corpus/${name#fuzz_} is empty" >"$log"
			fail "$name must have a corpus" "$log"
		elif find "tests/fuzz/corpus/${name#fuzz_}" -type f -print0 |
			timeout -k 5 300 xargs -0 "build/$arch-fuzz/$name" -timeout=20 \
				-artifact_prefix="$logs/fuzz/" >"$log" 2>&1; then
			ok "fuzz/${name#fuzz_} replays $count inputs ($(elapsed "$start"))"
		else
			fail "fuzz/${name#fuzz_} replays $count inputs" "$log"
		fi
	done
}

# How many scripts of a suite run beside each other. Those of boot have a lab of their own each, with
# one processor; on a host with hardware KVM they would disturb each other.
beside()
{
	case $1 in
	boot | boot-full)
		if "build/$arch/vmm" doctor --json 2>/dev/null | grep -q '"kind": "hardware"'; then
			echo 1
		else
			nproc
		fi
		;;
	*) echo 1 ;;
	esac
}

# Ctrl-C reaches the scripts in the background only so far that they would be tried again.
interrupted()
{
	: >"$logs/interrupted"
	wait
	exit 130
}

# The same as script, in the background, with what it counted in a file.
# shellcheck disable=SC2030 # its counts are its own
script_beside()
{
	local tally

	tally=$logs/$1/$(basename "$2" .sh).tally
	while [ "$(jobs -rp | wc -l)" -ge "$3" ]; do
		wait -n || :
	done
	rm -f "$tally"
	(
		passed=0 failed=0 skipped=0
		script "$1" "$2"
		echo "$passed $failed $skipped" >"$tally"
	) &
}

# Adds what the scripts of a suite have counted. One that could not even say it has failed.
# shellcheck disable=SC2031 # as above
script_tallies()
{
	local path tally good bad none

	wait
	for path; do
		tally=${path%.log}.tally
		if ! read -r good bad none 2>/dev/null <"$tally"; then
			good=0 bad=0 none=0
			fail "$(basename "$path" .log) must be counted" "$path"
		fi
		passed=$((passed + good))
		failed=$((failed + bad))
		skipped=$((skipped + none))
		picked=$((picked + good + bad + none))
	done
}

# One script: its lines are passed on as they come, and counted from its log afterwards.
script()
{
	local suite=$1 path=$2 name log limit start status try good bad none

	name=$suite/$(basename "$path" .sh)
	log=$logs/$suite/$(basename "$path" .sh).log
	limit=$(sed -n 's/^# timeout: \([0-9]*\).*/\1/p' "$path" | head -n 1)
	start=$(now_ms)
	for try in 1 2; do
		timeout -k 20 "${limit:-300}" "$path" 2>&1 </dev/null | tee "$log" |
			sed -un '/^\(ok\|skip\) /p; /^\(FAIL \|    | \)/s/^/# /p'
		status=${PIPESTATUS[0]}
		good=$(grep -c '^ok ' "$log")
		bad=$(grep -c '^FAIL ' "$log")
		none=$(grep -c '^skip ' "$log")
		if [ "$status$bad" = 00 ] || [ "$status" = 77 ] || [ $try = 2 ] || late ||
			[ -e "$logs/interrupted" ]; then
			break
		fi
		echo "# $name: status $status, $bad failed; a second try follows"
	done
	grep '^FAIL ' "$log"
	passed=$((passed + good))
	failed=$((failed + bad))
	skipped=$((skipped + none))
	if [ "$status" = 124 ] || [ "$status" = 137 ]; then
		fail "$name must end in ${limit:-300} s" "$log"
	elif [ "$status" = 77 ] && [ $((good + bad + none)) = 0 ]; then
		skip "$name: $(tail -n 1 "$log")"
	elif [ "$status" != 0 ] && [ "$bad" = 0 ]; then
		fail "$name ends with status $status ($(elapsed "$start"))" "$log"
	elif [ $((good + bad + none)) = 0 ] && [ -z "${TESTS:-}" ]; then
		ok "$name ($(elapsed "$start"))"
	fi
}

suite_scripts()
{
	local suite=$1 path logs_found=() width

	case $suite in
	guest) build "$suite" all guests vmm-asan || return ;;
	*) build "$suite" all guests || return ;;
	esac
	width=$(beside "$suite")
	for path in tests/"$suite"/test_*.sh tests/"$suite"/run.sh tests/"${suite%-full}"/"${suite#boot-}"_*.sh; do
		[ -x "$path" ] || continue
		# Without cases there is nothing to be picked.
		[ -z "${TESTS:-}" ] || grep -q 'cases\.sh\|lib\.sh' "$path" || continue
		logs_found+=("$logs/$suite/$(basename "$path" .sh).log")
		script_beside "$suite" "$path" "$width"
	done
	script_tallies "${logs_found[@]}"
	[ ${#logs_found[@]} != 0 ] || {
		: >"$logs/$suite/none.log"
		fail "$suite must have tests" "$logs/$suite/none.log"
	}
}

[ $# -gt 0 ] || set -- unit unit-asan unit-tsan fuzz cli guest boot
start_all=$(now_ms)
mkdir -p "$logs"
rm -f "$logs/interrupted"
trap interrupted INT TERM
for suite; do
	mkdir -p "$logs/$suite"
	start_suite=$(now_ms)
	case $suite in
	unit | unit-asan | unit-tsan) suite_unit "$suite" ;;
	fuzz) suite_fuzz ;;
	cli | guest | boot | boot-full) suite_scripts "$suite" ;;
	*)
		echo "run-tests: no suite '$suite'" >&2
		exit 2
		;;
	esac
	echo "# $suite: $(elapsed "$start_suite")"
done
echo "# all: $(elapsed "$start_all")"
if [ -n "${TESTS:-}" ] && [ "$picked" = 0 ]; then
	echo "A pattern stands for any part of a name: ok lines have them." >"$logs/picked.log"
	fail "TESTS=$TESTS must pick a case: no name of $* matches" "$logs/picked.log"
fi
rm -f "$cases_log"
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ] && [ "$passed" != 0 ]
