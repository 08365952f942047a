# shellcheck shell=sh
# Prints runc's command line, a word a line. Arguments: vmm, root, scratch, kernel, command...
# The bundle is runc's own template with the command, no terminal, and the root read-only.
root=$2; scratch=$3; shift 4
command -v runc >/dev/null || { echo "runc is not installed" >&2; exit 1; }
words=
for word; do words="$words${words:+, }\"$word\""; done
mkdir -p "$scratch/runc"
cd "$scratch/runc" || exit 1
rm -f config.json
runc spec
sed -i -e 's|"terminal": true|"terminal": false|' -e "s|\"path\": \"rootfs\"|\"path\": \"$root\"|" \
	-e "/\"args\": \[/{n;s|.*|$words|}" config.json
printf '%s\n' runc run -b "$scratch/runc" vmm-compare
