#!/bin/bash
# timeout: 900
# vmm compare in all three boundaries: its report is to the schema, each row has a figure or says why not, and
# nothing that it made is left.
# shellcheck disable=SC2016,SC2031,SC2317 # texts for other programs; cases by name
set -u

cd "$(dirname "$0")/../.." || exit 1
. tests/boot/lib.sh
boot_enter "$@"

export XDG_CACHE_HOME=$work/cache
# Ours, when it was built: it boots quickest. Else a stock one.
# shellcheck disable=SC2012 # names are ours
kernel=$(ls -dt "$BOOT_KERNELS"/full-*/vmlinux 2>/dev/null | head -n 1)
kernel=${kernel:-$BOOT_VMLINUX}

rows_are_filled()
{
	"$vmm" compare --quick --runs 1 --kernel "$kernel" --json "$work/report.json" \
		--rows sees,net.nat.round-trip,net.user.round-trip,image,suspend
	tests/support/check-json.py vmm/compare/compare.schema.json "$work/report.json"
	# A cell without a figure, a text or a reason.
	jq -e '[.rows[].columns[] | select(.median == null and .text == null and .reason == null)] == []' \
		"$work/report.json"
	# What says why not is what cannot be had.
	jq -r '.rows[] | .name as $row | .columns | to_entries[] | select(.value.reason) |
		$row + " " + .key + ": " + .value.reason' "$work/report.json" | tee "$work/reasons"
	expect 1 grep -v '^suspend ' "$work/reasons"
	jq -r '.rows[] | select(.name == "sees.own-kernel") | .columns.machine.text' \
		"$work/report.json" | grep -x yes
	[ ! -e /sys/class/net/vmm-compare ]
	[ -z "$(find "$work/cache/vmm/compare" -maxdepth 1 -name 'run.*')" ]
}

a_run_that_the_lab_broke_is_taken_again()
{
	# The second run of any.
	cat >"$work/breaks" <<-TEXT
		#!/bin/sh
		[ "\$1" != run ] || echo >>$work/runs
		[ "\$1" != run ] || [ "\$(wc -l <$work/runs)" != 2 ] || {
			echo "vmm: the guest's kernel panicked; its last lines:" >&2
			echo "Kernel panic - not syncing: here" >&2
			exit 120
		}
		exec $vmm "\$@"
	TEXT
	chmod +x "$work/breaks"
	: >"$work/runs"
	"$vmm" compare --inside=time --program "$work/breaks" --quick --runs 2 --rows stop --as host \
		--json "$work/again.json"
	jq -e '.rows[0].columns.host | .n == 2 and .reason == null' "$work/again.json"
	jq -r '.facts[] | .name + ": " + .value' "$work/again.json" | grep '^runs taken again: 1'
}

check "each row of the comparison has a figure or a reason" rows_are_filled
check "a run that the lab broke is taken again, and the report says so" a_run_that_the_lab_broke_is_taken_again
boot_finish
