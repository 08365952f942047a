#!/bin/bash
# What runs the tests: a pattern that picks no case is an error, not a success.
# timeout: 300
# shellcheck disable=SC2317 # functions that check calls
# shellcheck source=tests/support/cases.sh
set -u
cd "$(dirname "$0")/../.." || exit 1
. tests/support/cases.sh
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# picks PATTERN: runs what it picks of this suite, with what was printed in $work/said.
picks()
{
	TEST_LOGS=$work/logs TESTS=$1 tests/support/run-tests.sh cli >"$work/said" 2>&1
}

a_pattern_of_nothing()
{
	expect 1 picks "no case has this name"
	cat "$work/said"
	grep -x "FAIL TESTS=no case has this name must pick a case: no name of cli matches" "$work/said"
	expect 1 grep "^ok " "$work/said"
	[ "$(tail -n 1 "$work/said")" = "0 passed, 1 failed, 0 skipped" ]
}

a_pattern_of_one()
{
	picks "a pattern picks its case alone, inn[e]r"
	cat "$work/said"
	[ "$(tail -n 1 "$work/said")" = "1 passed, 0 failed, 0 skipped" ]
}

check "a pattern that picks no case is an error" a_pattern_of_nothing
check "a pattern picks its case alone" a_pattern_of_one
[ -z "${TEST_LOGS:-}" ] || check "a pattern picks its case alone, inner" true
finish
