# shellcheck shell=bash
# Packages taken from Debian's archive without installing them. Sourced.

# apt_options ARCH: the options with which apt programs speak about that architecture, one a word.
# A foreign architecture's package lists go to a directory of their own, so that the machine's
# package system is not altered; its own lists are used as they are.
apt_options()
{
	local state=${XDG_CACHE_HOME:-$HOME/.cache}/vmm/apt-$1

	[ "$1" != "$(dpkg --print-architecture)" ] || return 0
	mkdir -p "$state/state/lists/partial" "$state/cache/archives/partial"
	: >"$state/status"
	echo "-o Dir::State=$state/state -o Dir::State::status=$state/status" \
		"-o Dir::Cache=$state/cache -o APT::Architecture=$1" \
		"-o APT::Architectures=$1 -o APT::Sandbox::User=root"
}

# apt_refresh ARCH: fetches the package lists; that it could not shows in what comes next.
apt_refresh()
{
	local as_root=()

	# shellcheck disable=SC2046 # options, one a word
	if [ "$1" = "$(dpkg --print-architecture)" ]; then
		[ "$(id -u)" = 0 ] || as_root=(sudo -n)
		"${as_root[@]}" apt-get -qq update >&2 || :
	else
		apt-get $(apt_options "$1") -qq update >&2 || :
	fi
}

# apt_download ARCH DIR PACKAGE...: the packages' files into DIR.
apt_download()
{
	local arch=$1 dir=$2

	shift 2
	# shellcheck disable=SC2046 # options, one a word
	(cd "$dir" && apt-get $(apt_options "$arch") -qq -o APT::Sandbox::User=root download "$@") >&2
}
