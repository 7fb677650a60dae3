# SPDX-License-Identifier: Apache-2.0
# Sourced by scripts/run and scripts/check: what the machine needs, and how a build directory is made.
# shellcheck shell=bash

# What building needs, by Debian package; scripts/check adds what testing needs.
# shellcheck disable=SC2034
BUILD_PACKAGES=(gcc libc6-dev make autoconf automake pkgconf
	libevent-dev libssl-dev libyaml-dev libjansson-dev libdb-dev libnng-dev libwslay-dev libedit-dev)

say()
{
	printf '%s\n' "$*"
}

die()
{
	printf '%s: %s\n' "${0##*/}" "$*" >&2
	exit 1
}

# as_root COMMAND...: with sudo when this is not root.
as_root()
{
	if [ "$(id -u)" -eq 0 ]; then
		"$@"
	elif command -v sudo >/dev/null; then
		sudo "$@"
	else
		die "not root and no sudo; run as root: $*"
	fi
}

apt_install()
{
	as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends \
		-o DPkg::Lock::Timeout=300 install "$@"
}

# need_packages PACKAGE...: installs those that are missing; says nothing when none is.
need_packages()
{
	local missing=() p log

	if ! command -v apt-get >/dev/null; then
		say "no apt-get here, so nothing is installed; needed (names of Debian's packages): $*"
		return 0
	fi
	for p in "$@"; do
		case "$(dpkg-query -W -f '${Status}' "$p" 2>/dev/null)" in
		*' installed') ;;
		*) missing+=("$p") ;;
		esac
	done
	[ ${#missing[@]} -eq 0 ] && return 0
	say "installing by apt: ${missing[*]}"
	log=$(mktemp)
	# The package lists may be absent or old: then, and only then, fetch them.
	if ! apt_install "${missing[@]}" >"$log" 2>&1; then
		if ! { as_root apt-get -qq update && apt_install "${missing[@]}"; } >"$log" 2>&1; then
			cat "$log" >&2
			rm -f "$log"
			die "apt-get could not install: ${missing[*]}"
		fi
	fi
	rm -f "$log"
}

# need_configure: makes ./configure when it is missing or older than what it is made from. A build directory
# that exists already looks after that itself.
need_configure()
{
	[ -e config.status ] && die "this tree was configured in place; run 'make distclean' first"
	[ -e configure.ac ] || return 0
	if [ ! -x configure ] || [ ! -e Makefile.in ] || [ configure.ac -nt configure ] ||
	    [ -n "$(find Makefile.am ./*/local.mk -newer Makefile.in -print -quit)" ]; then
		autoreconf -fi
	fi
}

# build_in DIR TARGET... [-- CONFIGURE ARGUMENT...]: configures DIR once and makes the targets there.
build_in()
{
	local dir=$1 targets=() jobs

	shift
	while [ $# -gt 0 ] && [ "$1" != -- ]; do
		targets+=("$1")
		shift
	done
	[ $# -gt 0 ] && shift
	jobs=$(nproc 2>/dev/null || echo 1)
	need_configure || return
	mkdir -p "$dir" || return
	[ -e "$dir/config.status" ] || (cd "$dir" && ../configure --quiet "$@") || return
	make -s -C "$dir" -j"$jobs" "${targets[@]}"
}
