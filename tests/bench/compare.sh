#!/bin/bash
# compare.sh [OPTION...]: makes the example report in tests/bench/compare, from a real run of `vmm compare`
# in the lab, where instructions are counted: `--quick` with the `full` guest kernel,
# unless options for vmm compare say otherwise. Some minutes on an idle machine.
set -eu
cd "$(dirname "$0")/../.."
tests/support/install-deps.sh test kernel
build=${BUILD:-build/$(uname -m)}
make -s all BUILD="$build"
[ $# -gt 0 ] || set -- --quick
kernel=$(guest-kernel-configs/build.sh full | tail -n 1)
out=tests/bench/compare
mkdir -p "$out"
# The lab shares the directory, so the report comes out of it as it is.
"$build/vmm" compare --lab --icount "$@" --kernel "$kernel/vmlinux" --json "$out/example.json" \
	--html "$out/example.html" --svg "$out/example.svg" >"$out/example.txt"
# Where the tree lies, and whose it is, says nothing.
sed -i -e "s|$PWD/||g" -e "s|$HOME/|~/|g" "$out"/example.*
tests/support/check-json.py vmm/compare/compare.schema.json "$out/example.json"
