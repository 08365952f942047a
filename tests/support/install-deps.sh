#!/bin/bash
# install-deps.sh [build|lab|run|kernel|test|lint|all]...
#
# The one list of Debian packages that this project uses, by purpose and with the reason for each,
# and the program that installs those that are missing. Called by the Makefile and by the scripts
# that need the packages, so it must cost next to nothing when all is there (some 20 ms), and it
# touches neither the network nor the package system then.
set -eu

packages_build="
build-essential   # gcc, make, libc headers
pkg-config        # compiler flags of the libraries below
liburing-dev      # io_uring
libelf-dev        # vmlinux, ELF notes
libfdt-dev        # device trees
zlib1g-dev        # libelf's
libdeflate-dev    # bzImage payloads, one library a compression
libzstd-dev
liblz4-dev
liblzma-dev
libbz2-dev
liblzo2-dev
acpica-tools      # iasl, for the ACPI tables
libjansson-dev    # JSON configuration and reports
libseccomp-dev    # confinement
libcap-dev
lxc-dev           # liblxc's header; the library is loaded when a container starts
musl-tools        # static programs that run in any root
lz4               # which vmm carries inside itself, packed
"
packages_lab="
qemu-system-x86     # the emulated host
qemu-system-common  # virtiofsd
gcc                 # tests/lab/mend.c
libc6-dev
busybox-static      # that host's first programs
cpio                # its initramfs
xz-utils            # module files, kernel payloads
zstd
lz4
kmod                # modules by name, inside the lab
iproute2            # ip, inside the lab
util-linux          # setpriv, unshare
"
packages_lab_aarch64="
qemu-system-arm     # the emulated aarch64 host
"
packages_run="
passt               # user-mode network
e2fsprogs           # mke2fs -d, for disk images
curl                # the fetch that the demonstration shows
nftables            # a container's bridge: NAT and published ports
uidmap              # containers of an ordinary user
"
packages_kernel="
flex                # a guest kernel built from Debian's source package
bison
bc
libssl-dev
libelf-dev
xz-utils
cpio
kmod
"
packages_lint="
clang-format        # layout
clang-tidy          # checks
cppcheck
shellcheck
"
packages_test="
libcmocka-dev       # unit tests
clang               # sanitizer builds, fuzz targets
libclang-rt-14-dev  # sanitizer and fuzzer run-time libraries
llvm-14             # symbolizer, coverage
debootstrap         # the Debian disk image
fdisk               # its partition table
erofs-utils         # images of directories
iperf3              # network load
fio                 # disk load
ethtool             # offloads, checked
strace              # system calls, counted
socat               # pseudo terminals and sockets
jq                  # JSON output, looked into
python3-jsonschema  # and held against its schema
redis-server        # workloads of vmm compare, as are fio, sysbench, stress-ng and postgresql
redis-tools
sysbench
stress-ng
postgresql
procps              # processes, looked for afterwards
python3             # benchmarks: runner, statistics, charts
linux-perf          # benchmarks: system calls and exits, counted
"

list()
{
	local purpose

	for purpose; do
		case $purpose in
		build) echo "$packages_build" ;;
		lab) echo "$packages_lab" ;;
		lab-aarch64) echo "$packages_lab $packages_lab_aarch64" ;;
		run) echo "$packages_build $packages_lab $packages_run" ;;
		kernel) echo "$packages_build $packages_kernel" ;;
		lint) echo "$packages_build $packages_lint" ;;
		test) echo "$packages_build $packages_lab $packages_run $packages_test" ;;
		all) list test lint kernel lab-aarch64 ;;
		*)
			echo "install-deps: unknown purpose '$purpose'; known are" \
				"build lab lab-aarch64 run kernel test lint all" >&2
			exit 2
			;;
		esac
	done
}

[ $# -gt 0 ] || set -- all
# In a subshell an unknown purpose could not end the script; hence the assignment first.
text=$(list "$@")
wanted=$(grep -o "^[^#]*" <<<"$text" | xargs -n1 | sort -u)
# shellcheck disable=SC2016 # the ${...} are dpkg-query's, not the shell's
present=$(dpkg-query -W -f='${db:Status-Status} ${binary:Package}\n' |
	sed -n 's/^installed \([^:]*\).*/\1/p' | sort -u)
missing=$(comm -23 <(echo "$wanted") <(echo "$present"))
[ -n "$missing" ] || exit 0

as_root=()
if [ "$(id -u)" != 0 ]; then
	if sudo -n true 2>/dev/null || { [ -t 0 ] && command -v sudo >/dev/null; }; then
		as_root=(sudo)
	else
		echo "install-deps: missing packages, and neither root nor sudo to install them:" \
			"apt-get install $(xargs <<<"$missing")" >&2
		exit 1
	fi
fi

echo "installing: $(xargs <<<"$missing")" >&2
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# Another package run may hold the lock; wait for it rather than fail.
apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300)
# shellcheck disable=SC2086 # one word a package
if ! { "${apt[@]}" update || :; "${apt[@]}" install --no-install-recommends $missing; } >"$log" 2>&1; then
	tail -n 20 "$log" >&2
	echo "install-deps: apt-get failed; the last lines are above" >&2
	exit 1
fi
