#!/usr/bin/env bash
# Builds a guest kernel from Debian's linux-source package into the cache, once.
#   build.sh [PROFILE]	last line of output: the directory with vmlinux, bzImage, config
#   build.sh --compressions	... with bzImage.gzip, .bzip2, .lzma, .xz, .lzo, .lz4, .zstd
#   build.sh --list		the profiles
# PROFILE is one of the names below or fragments joined by `+` (base+virtio-mmio). The directory's
# name carries a hash over source version, fragments, the steps below and the compiler, so that what
# is there is right. Any number may run at once: one builds, the others wait. Progress goes to stderr.
set -euo pipefail

package=linux-source-6.12
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/vmm/kernels
jobs=${JOBS:-$(nproc)}
keep=3		# built kernels of one profile that stay in the cache

say() { echo "guest-kernel: $*" >&2; }
die() { say "$*"; exit 1; }

profiles() {
	cat <<-'LIST'
	full	base+virtio-pci+virtio-mmio+userland	default: any user land, both transports
	hardened	base+virtio-pci+virtio-mmio+userland+mitigations	for guests that run hostile programs
	tiny	base	serial console and initramfs only: what a boot costs at least
	debug	base+virtio-pci+virtio-mmio+userland+mitigations+debug	checks and names, slow
	LIST
}

# Prints the fragment files of profile $1 in the order in which they overrule each other.
fragments_of() {
	local words name file have_virtio=
	words=$(profiles | awk -F'\t' -v p="$1" '$1 == p { print $2 }')
	for name in $(tr + ' ' <<<"${words:-$1}"); do
		file=$here/$name.config
		[[ $name =~ ^[a-z0-9-]+$ && -f $file ]] ||
			die "$name: neither a profile (build.sh --list) nor a fragment in $here"
		if [[ $name == virtio-* && -z $have_virtio ]]; then
			echo "$here/virtio.config"
			have_virtio=1
		fi
		echo "$file"
	done
}

# One `CONFIG_X=value` a line, comments gone, the last word on each option kept.
merged() {
	sed 's/[[:space:]]*#.*//; /^$/d' "$@" | awk -F= '{ v[$1] = $0 } END { for (k in v) print v[k] }' |
		LC_ALL=C sort
}

# Fails, with names, when configuration $2 does not hold all that $1 asks for.
check_config() {
	local line option wrong=()
	while IFS= read -r line; do
		option=${line%%=*}
		if [[ $line == *=n ]]; then
			grep -q "^$option=" "$2" && wrong+=("$option (is set)")
		elif ! grep -qxF "$line" "$2"; then
			wrong+=("$line ($(grep -E "^$option=|^# $option is" "$2" || echo absent))")
		fi
	done <"$1"
	[[ ${#wrong[@]} -eq 0 ]] || die "Kconfig did not take: $(printf '\n  %s' "${wrong[@]}")"
}

install_missing() {
	local missing=() pair as_root=()
	for pair in make:make gcc:gcc ld:binutils bc:bc flex:flex bison:bison xz:xz-utils lz4:lz4 \
		zstd:zstd cpio:cpio flock:util-linux "$@"; do
		command -v "${pair%%:*}" >/dev/null || missing+=("${pair##*:}")
	done
	[[ -e /usr/include/libelf.h ]] || missing+=(libelf-dev)
	[[ -e /usr/src/$package.tar.xz ]] || missing+=("$package")
	[[ ${#missing[@]} -gt 0 ]] || return 0
	[[ $(id -u) -eq 0 ]] || as_root=(sudo)
	say "installing ${missing[*]}"
	"${as_root[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" >&2 || {
		"${as_root[@]}" apt-get update -qq >&2
		"${as_root[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" >&2
	} || die "cannot install ${missing[*]}: run apt-get install ${missing[*]} as root"
}

# Unpacks the source once, without what an x86 guest without a screen can never compile (two
# thirds of it). Only .c and .h files are left out there, since Kconfig reads every Kconfig file.
unpack_source() {
	src=$cache/src-$version-$(declare -f unpack_source | sha256sum | cut -c1-8)
	[[ -e $src/.complete ]] && return 0
	say "unpacking $package $version (about 10 s)"
	rm -rf "$cache"/src-*
	mkdir -p "$src"
	local part skip=() arch
	for part in gpu media net/ethernet net/wireless staging infiniband scsi iio clk pinctrl usb; do
		skip+=("--exclude=$package/drivers/$part/*.[ch]")
	done
	for arch in alpha arc arm arm64 csky hexagon loongarch m68k microblaze mips nios2 openrisc \
		parisc powerpc riscv s390 sh sparc um xtensa; do
		skip+=("--exclude=$package/arch/$arch/*.[chS]" "--exclude=$package/arch/$arch/*.dts*")
	done
	tar -C "$src" --strip-components=1 "${skip[@]}" --exclude="$package/sound/*.[ch]" \
		--exclude="$package/Documentation/*.rst" --exclude="$package/Documentation/*.yaml" \
		--exclude="$package/tools/testing" --exclude="$package/tools/perf" \
		-xf "/usr/src/$package.tar.xz"
	touch "$src/.complete"
}

kmake() {
	nice -n 15 make -s -C "$src" O="$work/obj" ARCH=x86_64 -j"$jobs" LOCALVERSION= \
		KBUILD_BUILD_USER=vmm KBUILD_BUILD_HOST=guest-kernel \
		KBUILD_BUILD_TIMESTAMP='2026-01-01 00:00:00 UTC' "$@" >>"$log" 2>&1 9>&- ||
		die "the kernel's build failed, log in $log: $(grep -m1 -Ei 'error|can.t open' "$log")"
}

configure() {
	rm -rf "$work/obj"
	mkdir -p "$work/obj"
	kmake KCONFIG_ALLCONFIG="$1" allnoconfig
	check_config "$1" "$work/obj/.config"
}

build_profile() {
	merged "${files[@]}" >"$work/wanted"
	configure "$work/wanted"
	say "compiling profile $name (2 to 6 minutes on two cores; log in $log)"
	kmake vmlinux bzImage
	strip -s -o "$work/out/vmlinux" "$work/obj/vmlinux"
	cp "$work/obj/arch/x86/boot/bzImage" "$work/out/bzImage"
	cp "$work/obj/System.map" "$work/out/System.map"
	cp "$work/obj/.config" "$work/out/config"
}

# The loaders' tests want a kernel of every payload compression. Only the last step of the build
# depends on that choice, so one small kernel is linked seven times.
build_compressions() {
	local how
	for how in gzip bzip2 lzma xz lzo lz4 zstd; do
		{
			echo CONFIG_64BIT=y
			echo CONFIG_PVH=y
			echo CONFIG_HYPERVISOR_GUEST=y
			echo CONFIG_PARAVIRT=y
			echo CONFIG_TTY=y
			echo CONFIG_PRINTK=y
			echo CONFIG_EXPERT=y
			echo CONFIG_VT=n
			echo CONFIG_SERIAL_8250=y
			echo CONFIG_SERIAL_8250_CONSOLE=y
			echo "CONFIG_KERNEL_${how^^}=y"
		} >"$work/wanted"
		mkdir -p "$work/obj"
		kmake KCONFIG_ALLCONFIG="$work/wanted" allnoconfig
		check_config "$work/wanted" "$work/obj/.config"
		say "linking a tiny kernel with $how"
		kmake bzImage
		cp "$work/obj/arch/x86/boot/bzImage" "$work/out/bzImage.$how"
	done
	strip -s -o "$work/out/vmlinux" "$work/obj/vmlinux"
	cp "$work/obj/.config" "$work/out/config"
}

done_already() {
	[[ -e $out/config ]] || return 0
	echo "$out"
	exit 0
}

# A function, so that all of the script is read before anything runs.
main() {
	local fragment_list hash
	name=full files=()
	case ${1:-} in
	--list) profiles; exit 0 ;;
	--compressions) name=compressions ;;
	-h | --help) sed -n '2,9s/^# \{0,1\}//p' "$0"; exit 0 ;;
	-*) die "$1: unknown option (build.sh --help)" ;;
	?*) name=$1 ;;
	esac
	[[ $(uname -m) == x86_64 ]] || die "builds x86-64 guest kernels on x86-64 only, this is $(uname -m)"
	if [[ $name == compressions ]]; then
		install_missing bzip2:bzip2 lzop:lzop
	else
		fragment_list=$(fragments_of "$name")
		mapfile -t files <<<"$fragment_list"
		install_missing
	fi

	version=$(dpkg-query -W -f '${Version}' "$package")
	hash=$({ echo "$version $name"; gcc -dumpfullversion; ld --version | head -1
		[[ ${#files[@]} -eq 0 ]] || merged "${files[@]}"; declare -f unpack_source kmake build_profile build_compressions; } |
		sha256sum | cut -c1-12)
	out=$cache/$name-$hash
	done_already

	mkdir -p "$cache"
	exec 9>"$cache/.lock"
	flock -n 9 || { say "waiting for another build to end"; flock 9; }
	done_already
	rm -rf "$cache"/.work.*		# of a build that was killed
	log=$cache/$name.log
	: >"$log"
	work=$(mktemp -d "$cache/.work.XXXXXX")
	trap 'rm -rf "$work"' EXIT
	mkdir "$work/out"
	unpack_source
	if [[ $name == compressions ]]; then build_compressions; else build_profile; fi
	rm -rf "$out"
	mv "$work/out" "$out"
	rm -f "$log"
	# shellcheck disable=SC2012  # names are ours: no newline, no blank
	ls -dt "$cache/$name"-???????????? | tail -n +$((keep + 1)) | xargs -r rm -rf
	say "$name: vmlinux $(stat -c %s "$out/vmlinux") bytes"
	echo "$out"
}

main "$@"; exit
