#!/bin/sh
# Makes the folders of other engines for the live tests: .engines/trixie and .engines/forky, each a small Debian with its
# own docker.io, podman, iptables and nftables. Optional; needs root, debootstrap and the mirror that apt uses here.
set -eu

root=$(cd "$(dirname "$0")/../.." && pwd)
folder=${NETDASH_ENGINES:-$root/.engines}
common="docker.io iptables nftables iproute2 procps"
podman="podman netavark aardvark-dns conmon crun"

die() {
    echo "make engines: $1" >&2
    exit 1
}

[ "$(id -u)" = 0 ] || die "needs root"
command -v debootstrap >/dev/null || die "needs Debian's debootstrap package"
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Label: Debian' | head -n 1)
[ -n "$mirror" ] || die "apt knows no Debian mirror here (apt-get update first)"

suite_packages() {
    case $1 in
        trixie) echo "$common docker-cli" ;;
        *) echo "$common docker-cli $podman" ;;
    esac
}

release() {
    umount --lazy "$1/proc" 2>/dev/null || true
}

make_suite() {
    suite=$1 target=$folder/$1 work=$folder/$1.partial
    [ -e "$target/usr/bin/dockerd" ] || [ -e "$target/usr/sbin/dockerd" ] && return 0
    script=/usr/share/debootstrap/scripts/$suite
    [ -e "$script" ] || script=/usr/share/debootstrap/scripts/sid
    release "$work"
    rm -rf "$work"
    debootstrap --variant=minbase "$suite" "$work" "$mirror" "$script"
    # Nothing that is installed may start: it would run in the machine's own network.
    printf '#!/bin/sh\nexit 101\n' >"$work/usr/sbin/policy-rc.d"
    chmod 755 "$work/usr/sbin/policy-rc.d"
    apt-config dump | grep '^Acquire::' | grep -v '^Acquire::Languages' >"$work/etc/apt/apt.conf.d/90machine" || true
    mount -t proc proc "$work/proc"
    # shellcheck disable=SC2046
    DEBIAN_FRONTEND=noninteractive chroot "$work" apt-get install --yes --no-install-recommends $(suite_packages "$suite")
    release "$work"
    rm -rf "$work"/var/cache/apt/archives/*.deb "$work"/var/lib/apt/lists/* "$work"/usr/share/doc/* "$work"/usr/share/locale/*
    rm -rf "$target"
    mv "$work" "$target"
}

mkdir -p "$folder"
for suite in ${*:-trixie forky}; do
    make_suite "$suite"
    chroot "$folder/$suite" dpkg-query --show --showformat '${Package} ${Version}\n' docker.io iptables nftables
done
