#!/bin/bash
# run-demo.sh: what `make run` does. Installs what is missing, builds, gets a guest kernel (the
# first time that takes some minutes), makes a small disk image, and boots it: to a shell on a
# terminal; without one, through a short script in the guest that ends with power off, whose
# outcome is this program's status. Where /dev/kvm cannot run a Linux the same happens inside the
# lab. KERNEL=FILE takes another kernel, with virtio, ext4 and devtmpfs built in.
set -eu

cd "$(dirname "$0")/../.."
arch=$(uname -m)
vmm=build/$arch/vmm
disk=build/demo.img

# The machine itself, here or in the lab: $1 is the kernel.
boot()
{
	local web port status=0

	if [ -t 0 ] && [ -t 1 ]; then
		echo "A shell in the guest; poweroff ends it, Ctrl-a x quits." >&2
		exec "$vmm" run --kernel "$1" --disk "$disk"
	fi
	web=$(mktemp -d)
	echo "a page from a server on the host, on $(hostname)" >"$web/hello.txt"
	port=$((20000 + $$ % 20000))
	busybox httpd -f -p "127.0.0.1:$port" -h "$web" &
	server=$!
	trap 'kill $server; rm -rf "$web"' EXIT
	trap 'exit 143' TERM INT HUP
	"$vmm" run --kernel "$1" --disk "$disk" --net user --cmdline "quiet vmm.demo=$port" \
		--timeout 120s </dev/null || status=$?
	exit $status
}

if [ "${1:-}" = --boot ]; then
	boot "$2"
fi

tests/support/install-deps.sh run
make -s -j"$(nproc)" all
kernel=${KERNEL:-}
if [ -z "$kernel" ]; then
	kernel=$(guest-kernel-configs/build.sh full | tail -n 1)/bzImage
fi
tests/image/mksmall.sh "$disk"
if "$vmm" doctor --json 2>/dev/null | grep -q '"kind": "hardware"'; then
	boot "$kernel"
fi
echo "No hardware KVM here that could run a Linux: the machine boots inside the lab, an emulated" \
	"host, where all is some fifty times slower." >&2
exec tests/lab/run -- tests/support/run-demo.sh --boot "$kernel"
