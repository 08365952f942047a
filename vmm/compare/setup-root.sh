# shellcheck shell=sh
# Makes the root that `vmm compare` measures in, and prints where it is. Run by the program with sh.
# Arguments: the cache directory, the workload program. No rights are needed.
#
# It holds the workload program, a shell, and those of Debian's programs that are installed here, each
# with the libraries that ldd names. Its name is a sum of all of these, so that it is made anew when
# one has changed; two makers at a time make the same.
set -eu
cache=$1
load=$2
programs="xz fio redis-server redis-benchmark sysbench stress-ng iperf3"
shell=$(command -v busybox || :)

# Database programs stand outside PATH.
for tool in /usr/lib/postgresql/*/bin; do
	[ -d "$tool" ] && PATH=$PATH:$tool
done
files=$load
for program in $programs; do
	path=$(command -v "$program" || :)
	[ -z "$path" ] || files="$files $(readlink -f "$path")=$program"
done
if [ -n "$shell" ]; then
	files="$files $shell=busybox"
else
	files="$files $(readlink -f /bin/sh)=sh"
fi

sum=$(for file in $files; do stat -L -c '%n %s %Y' "${file%=*}"; done | cksum | cut -d ' ' -f 1)
root=$cache/root-$sum
if [ -e "$root/etc/passwd" ]; then
	echo "$root"
	exit 0
fi

new=$(mktemp -d "$cache/new.XXXXXX")
trap 'rm -rf "$new"' EXIT
chmod 755 "$new"
for dir in bin dev etc home lib lib64 proc root run sys tmp usr usr/lib usr/share var volume; do
	mkdir "$new/$dir"
done
chmod 1777 "$new/tmp"
cp "$load" "$new/bin/vmm-load"
for file in $files; do
	path=${file%=*}
	[ "$path" != "$load" ] || continue
	cp -L "$path" "$new/bin/${file#*=}"
	# "libc.so.6 => /lib/.../libc.so.6 (0x...)" and "/lib64/ld-linux... (0x...)"
	{ ldd "$path" 2>/dev/null || :; } | sed -n 's/^.*[[:blank:]]\(\/[^ ]*\) (0x.*$/\1/p' |
		while read -r library; do
			[ ! -e "$new$library" ] || continue
			mkdir -p "$new${library%/*}"
			cp -L "$library" "$new$library"
		done
done
if [ -n "$shell" ]; then
	for name in sh cat ls sleep true false id uname env mkdir rm mount ip wget; do
		ln -s busybox "$new/bin/$name"
	done
fi
chmod 755 "$new"/bin/*
printf 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n' >"$new/etc/passwd"
printf 'root:x:0:\nnogroup:x:65534:\n' >"$new/etc/group"
# Only now complete; whoever came first wins.
mv -T "$new" "$root" 2>/dev/null || [ -e "$root/etc/passwd" ]
# Of those made before only the newest other is kept.
# shellcheck disable=SC2012 # names of ours
ls -dt "$cache"/root-* | tail -n +3 | xargs -r rm -rf
echo "$root"
