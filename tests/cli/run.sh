#!/usr/bin/env bash
# Runs the command lines in tests/cli/*.golden and compares what they print and return.
#   tests/cli/run.sh [--update] [FILE.golden...]
# A case is a line "$ COMMAND", what it prints (both streams, in order), and "=> STATUS". COMMAND is
# run by bash in a fresh directory that holds a copy of tests/cli/files, bzImage (empty) and
# disk.img (1 MiB of zeroes); "vmm" is the program built. --update writes what is printed instead.
# The program may be named by VMM=PATH.
set -uo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
vmm=${VMM:-$here/../../build/$(uname -m)/vmm}
vmm=$(realpath "$vmm") || exit 1
timeout=$(type -P timeout)
update=
[[ ${1:-} != --update ]] || { update=1; shift; }
[[ $# -gt 0 ]] || set -- "$here"/*.golden

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/bin" "$work/dir"
cp "$vmm" "$work/bin/vmm" || exit 1
for program in bash cat chmod cmp cp env grep head jq ls mkdir printf rm sed sort tail touch tr truncate uname wc; do
	path=$(type -P "$program") && ln -s "$path" "$work/bin/$program"
done

fresh_directory() {
	rm -rf "$work/dir"
	mkdir "$work/dir"
	cp -r "$here/files/." "$work/dir"
	touch "$work/dir/bzImage"
	truncate -s 1M "$work/dir/disk.img"
}

# Runs command line $1 and prints it as a case with what came of it.
run_case() {
	fresh_directory
	echo "\$ $1"
	(cd "$work/dir" && env -i PATH="$work/bin" HOME=/ LC_ALL=C "$timeout" -k 1 10 \
		bash -c "$1" 2>&1 </dev/null)
	echo "=> $?"
}

cases=0 failed=0
for golden; do
	: >"$work/new"
	while IFS= read -r line; do
		case $line in
		'$ '*)
			run_case "${line#\$ }" >>"$work/new"
			cases=$((cases + 1)) ;;
		'# '* | '') echo "$line" >>"$work/new" ;;
		esac
	done < <(grep -E '^(\$ |# |$)' "$golden" | cat -s)
	if [[ -n $update ]]; then
		awk '/^\$ / && NR > 1 && last !~ /^# |^$/ { print "" } { print; last = $0 }' "$work/new" >"$golden"
	elif ! diff -u --label "$golden" --label 'printed now' <(grep -v '^$' "$golden") \
		<(grep -v '^$' "$work/new"); then
		failed=$((failed + 1))
	fi
done
echo "cli: $cases command lines, $failed of $# files differ"
[[ $failed -eq 0 ]]
