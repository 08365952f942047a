#!/bin/bash
set -u
cd "$(dirname "$0")/../.." || exit 1
. tests/boot/lib.sh
boot_enter "$@"
vm=a
small_ends 120 'echo started; echo c >/proc/sysrq-trigger' -v
tail -5 $work/a.out; echo ====; tail -60 $work/a.err
