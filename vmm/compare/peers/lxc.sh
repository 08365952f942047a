# shellcheck shell=sh
# Prints lxc-execute's command line, a word a line. Arguments: root, scratch, kernel, command...
root=$1; scratch=$2; shift 3
command -v lxc-execute >/dev/null || { echo "lxc-execute is not installed" >&2; exit 1; }
mkdir -p "$scratch/lxc" "$scratch/lxc-upper"
cat >"$scratch/lxc.conf" <<TEXT
lxc.rootfs.path = overlay:$root:$scratch/lxc-upper
lxc.net.0.type = empty
lxc.apparmor.allow_incomplete = 1
TEXT
printf '%s\n' lxc-execute -n compare -P "$scratch/lxc" -f "$scratch/lxc.conf" -- "$@"
