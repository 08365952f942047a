#!/bin/bash
# coverage.sh [PREFIX...]: which lines the unit tests and the replayed fuzz corpora reach, of files
# whose path begins with a PREFIX (devices/virtio): one line a file, then the functions that have
# lines which were not reached. Called by `make coverage`, which has built the programs in BUILD.
# What a program reaches that dies by a signal, as some tests' children do, is not counted.
set -eu

cd "$(dirname "$0")/../.."
build=${BUILD:?}
prefixes=${*:-devices/virtio}
profiles=$PWD/$build/profiles
objects=()

rm -rf "$profiles"
mkdir -p "$profiles"
export LLVM_PROFILE_FILE=$profiles/%m.profraw

for program in "$build"/tests/unit/test_*; do
	[ -x "$program" ] || continue
	timeout 300 "$program" >"$profiles/log" 2>&1 || echo "${program##*/} fails" >&2
	objects+=(-object "$program")
done
for program in "$build"/fuzz_*; do
	[ -x "$program" ] || continue
	corpus=tests/fuzz/corpus/${program##*/fuzz_}
	timeout 300 "$program" -runs=0 "$corpus" >"$profiles/log" 2>&1 || echo "${program##*/} fails" >&2
	objects+=(-object "$program")
done
llvm-profdata-14 merge -sparse -o "$profiles/all" "$profiles"/*.profraw
llvm-cov-14 export -format=lcov -instr-profile "$profiles/all" "${objects[@]:1}" >"$profiles/lcov" 2>"$profiles/log"
awk -v PREFIXES="$prefixes" -v ROOT="$PWD" -f tests/support/coverage.awk "$profiles/lcov"
