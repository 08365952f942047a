# shellcheck shell=sh
# Prints podman's command line, a word a line. Arguments: vmm, root, scratch, kernel, command...
# The root is read through an overlay that is thrown away.
root=$2; shift 4
command -v podman >/dev/null || { echo "podman is not installed" >&2; exit 1; }
printf '%s\n' podman run --rm -i --network none --rootfs "$root:O" "$@"
