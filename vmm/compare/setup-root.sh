# shellcheck shell=sh
# Makes the root that `vmm compare` measures in, and prints where it is. Run by the program with sh.
# Arguments: the cache directory, the workload program, the programs that the rows need. No rights are
# needed.
#
# It holds the workload program, a shell, and those of the programs that are installed here, each with
# the libraries that ldd names. Its name is a sum of all of these, so that it is made anew when one has
# changed; two makers at a time make the same.
set -eu
cache=$1
load=$2
shift 2
programs=
for program; do
	case $program in
	redis-server) programs="$programs redis-server redis-benchmark" ;;
	pgbench) programs="$programs pgbench postgres" ;;
	*) programs="$programs $program" ;;
	esac
done
shell=$(command -v busybox || :)

# Database programs stand outside PATH: those of the newest version.
for database in /usr/lib/postgresql/*; do
	[ ! -x "$database/bin/initdb" ] || PATH=$database/bin:$PATH
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

# The number is of what is made of the same files.
sum=$({ echo 2 && for file in $files; do stat -L -c '%n %s %Y' "${file%=*}"; done; } | cksum | cut -d ' ' -f 1)
root=$cache/root-$sum
# One that is used counts as new.
if [ -e "$root/etc/passwd" ] && touch "$root"; then
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

# Copies FILE to where the root has it as TO, and what FILE is linked with to where it is here.
# "libc.so.6 => /lib/.../libc.so.6 (0x...)" and "/lib64/ld-linux... (0x...)" are ldd's lines.
copy()
{
	mkdir -p "$new${2%/*}"
	cp -L "$1" "$new$2"
	{ ldd "$1" 2>/dev/null || :; } | sed -n 's/^.*[[:blank:]]\(\/[^ ]*\) (0x.*$/\1/p' |
		while read -r library; do
			[ ! -e "$new$library" ] || continue
			mkdir -p "$new${library%/*}"
			cp -L "$library" "$new$library"
		done
}

# A PostgreSQL that needs only to be started: its server refuses to be root's, so it is nobody's as far
# as that can be arranged here. Everything is small, since what is written to is copied first.
make_database()
{
	version=$(dirname "$(dirname "$(readlink -f "$(command -v initdb)")")")
	share=/usr/share/${version#/usr/lib/}
	as=
	[ "$(id -u)" != 0 ] || as="setpriv --reuid 65534 --regid 65534 --clear-groups --inh-caps=-all --"
	mkdir -p "$new$share" "$new/usr/share/zoneinfo"
	cp -R "$share/timezonesets" "$new$share/"
	cp -L /usr/share/zoneinfo/UTC /usr/share/zoneinfo/GMT "$new/usr/share/zoneinfo/"
	copy "$version/lib/plpgsql.so" "$version/lib/plpgsql.so"
	copy "$version/lib/dict_snowball.so" "$version/lib/dict_snowball.so"
	# Nobody may find no way through the cache.
	data=$(mktemp -d /tmp/vmm-oltp.XXXXXX)
	trap 'rm -rf "$new" "$data"' EXIT
	[ -z "$as" ] || chown 65534:65534 "$data"
	(
		cd "$data"
		unset LC_ALL LANG LANGUAGE
		# shellcheck disable=SC2030 # for these programs
		export TZ=UTC
		$as initdb -D data -A trust -U vmm -E SQL_ASCII --locale=C --no-sync --wal-segsize=1
		cat >>data/postgresql.conf <<-TEXT
			listen_addresses = ''
			unix_socket_directories = '/tmp'
			autovacuum = off
			shared_buffers = 16MB
			min_wal_size = 2MB
			max_wal_size = 64MB
			log_timezone = 'UTC'
			timezone = 'UTC'
		TEXT
		$as pg_ctl -D data -w -o "-k $data" -l data/log start
		$as pgbench -i -q -h "$data" -U vmm postgres
		$as pg_ctl -D data -w -m fast stop
	) >&2
	cp -a "$data/data" "$new/var/oltp"
	rm -rf "$data"
}

cp "$load" "$new/bin/vmm-load"
for file in $files; do
	path=${file%=*}
	[ "$path" != "$load" ] || continue
	copy "$path" "/bin/${file#*=}"
done
if [ -x "$new/bin/pgbench" ] && [ -x "$new/bin/postgres" ]; then
	make_database
fi
if [ -n "$shell" ]; then
	for name in sh cat ls sleep true false id uname env mkdir rm mount ip wget chown chmod; do
		ln -s busybox "$new/bin/$name"
	done
fi
chmod 755 "$new"/bin/*
printf 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n' >"$new/etc/passwd"
printf 'root:x:0:\nnogroup:x:65534:\n' >"$new/etc/group"
# Only now complete; whoever came first wins.
mv -T "$new" "$root" 2>/dev/null || [ -e "$root/etc/passwd" ]
# Of those made before only the newest others are kept.
# shellcheck disable=SC2010,SC2012 # names of ours
ls -dt "$cache"/root-* | grep -vxF "$root" | tail -n +6 | xargs -r rm -rf
echo "$root"
