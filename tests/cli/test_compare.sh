#!/bin/bash
# vmm compare with a stand-in for vmm that runs the workload without any boundary: what the runner and
# the reports do, wherever this is run.
# timeout: 200
# shellcheck disable=SC2317 # functions that check calls
# shellcheck source=tests/support/cases.sh
set -u
cd "$(dirname "$0")/../.." || exit 1
. tests/support/cases.sh
vmm=$PWD/build/$(uname -m)/vmm
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# A comparison started in the background would otherwise ignore it.
trap - INT
export XDG_CACHE_HOME=$work/cache
mkdir "$work/cache" "$work/root"

# run --as NAME ... -- vmm-load WORD...: machines fail, the others run it as it is.
cat >"$work/stand-in" <<'TEXT'
#!/bin/sh
for word; do
	[ "$word" != machine ] || { echo "vmm: no machines <here>" >&2; exit 125; }
	shift
	[ "$word" != -- ] || break
done
shift
exec "$XDG_CACHE_HOME/vmm/compare/vmm-load" "$@"
TEXT
chmod +x "$work/stand-in"

compare()
{
	"$vmm" compare --program "$work/stand-in" --rootfs "$work/root" --quick "$@"
}

valid()
{
	tests/support/check-json.py vmm/compare/compare.schema.json "$1"
}

a_failing_boundary_gives_its_reason()
{
	compare --rows start,stop,kernel,sees,image --runs 2 --json "$work/a.json" --html "$work/a.html" \
		--svg "$work/a.svg" >"$work/a.txt"
	valid "$work/a.json"
	jq -e '[.rows[] | select(.name | startswith("image") | not) | .columns.machine.reason] |
		all(. == "no machines <here>")' "$work/a.json"
	jq -e '[.rows[] | select(.name == "stop" or .name == "kernel.fork") | .columns.host] |
		all(.n == 2 and .median > 0 and .reason == null)' "$work/a.json"
	jq -e '.rows[] | select(.name == "sees.own-kernel") | .columns.host.text == "no, the host'"'"'s"' "$work/a.json"
	grep -q 'Nothing runs as machine: no machines <here>' "$work/a.txt"
	grep -q 'no machines &lt;here&gt;' "$work/a.html"
	# Nothing is loaded from elsewhere.
	[ "$(grep -Eoc '<script|src=|https?://' "$work/a.html")" = 0 ]
	grep -q '</svg>' "$work/a.svg"
}

ctrl_c_leaves_what_was_done()
{
	local pid i

	compare --rows start,stop,kernel,memory --runs 90 --as host -v --json "$work/b.json" \
		>"$work/b.txt" 2>"$work/b.err" &
	pid=$!
	for ((i = 0; i < 600; i++)); do
		! grep -q 'micro: host' "$work/b.err" || break
		sleep 0.1
	done
	# The program itself, not the function's shell.
	pkill -INT -P "$pid" -x vmm || kill -INT "$pid"
	i=0
	wait "$pid" || i=$?
	[ "$i" = 130 ]
	valid "$work/b.json"
	jq -e '.interrupted and (.rows[] | select(.name == "stop") | .finished and .columns.host.n == 90)' "$work/b.json"
	jq -e '[.rows[] | select(.name | startswith("memory")) | .finished] | any | not' "$work/b.json"
	grep -q INTERRUPTED "$work/b.txt"
	[ -z "$(find "$work/cache/vmm/compare" -name 'run.*')" ]
}

json_goes_to_standard_output()
{
	compare --rows suspend,density --as host --json - >"$work/c.json"
	valid "$work/c.json"
}

check "a failing boundary gives its reason, and the others their figures" a_failing_boundary_gives_its_reason
check "Ctrl-C leaves the rows done so far, marked" ctrl_c_leaves_what_was_done
check "JSON on standard output is to the schema" json_goes_to_standard_output
finish
