#!/usr/bin/env bash
# Makes a root of Debian 13 in a folder, with the peers that Debian 12 has not, or not as new: curl, nginx, OpenSSL, ngtcp2
# and aioquic. The tests run them from there (see debian13_test.go), with nothing of the machine changed but the folder.
#
#   interop/debian13.sh DIR    a minute and 350 MB, once; needs root, or sudo, and debootstrap
#
# A folder that an earlier run has finished is left as it is.
set -euo pipefail
dir=${1:?usage: debian13.sh DIR}
packages=(ca-certificates curl nginx-light ngtcp2-client ngtcp2-server openssl
	python-aioquic-doc python3-aioquic python3-httpx python3-wsproto)
[ "$(cat "$dir/finished" 2>/dev/null)" != "${packages[*]}" ] || exit 0
as_root=()
[ "$(id -u)" = 0 ] || as_root=(sudo)
if ! type -P debootstrap >/dev/null && [ ! -x /usr/sbin/debootstrap ]; then
	"${as_root[@]}" apt-get update -q
	"${as_root[@]}" apt-get install -q -y --no-install-recommends debootstrap
fi
# What an earlier run left half-way is of no use.
"${as_root[@]}" rm -rf "$dir"
mkdir -p "$(dirname "$dir")"
"${as_root[@]}" env PATH="$PATH:/usr/sbin" debootstrap --variant=minbase trixie "$dir"
"${as_root[@]}" chroot "$dir" env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${packages[@]}"
"${as_root[@]}" rm -rf "$dir"/var/cache/apt/archives/*.deb
echo "${packages[*]}" | "${as_root[@]}" tee "$dir/finished" >/dev/null
