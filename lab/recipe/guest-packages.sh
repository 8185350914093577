#!/bin/sh
# guest-packages.sh TREE REPOSITORY: packages that are not installed, while the tree still knows where
# its own come from. mmdebstrap runs it as a customize hook, in its (user) namespace.
set -eu
root=$1

# the small package repository that the node serves
chroot "$root" sh -eu <<'EOF'
mkdir /debs
cd /debs
with_theirs() { # PACKAGE…: and what they need that is not there
    apt-get -qq -s --allow-remove-essential install --no-install-recommends "$@" >/simulated
    sed -n 's/^Inst \([^ ]*\) .*/\1/p' /simulated
    rm /simulated
}
podman=$(with_theirs podman crun)
openrc=$(with_theirs openrc sysvinit-core initscripts systemd-sysv-)
# what the tree has and a template lacks: guest-template.sh
docker=$(apt-get -qq -s purge --autoremove docker.io docker-cli iptables fuse-overlayfs |
    sed -n 's/^Purg \([^ ]*\) .*/\1/p')
# shellcheck disable=SC2086 # names of packages
apt-get -qq download $docker $podman $openrc
EOF
for deb in "$root"/debs/*.deb; do
    name=$(basename "$deb")
    cp "$deb" "$2/$name"
    chroot "$root" dpkg-deb -f "/debs/$name"
    echo "Filename: ./$name"
    echo "Size: $(stat -c %s "$deb")"
    echo "SHA256: $(sha256sum "$deb" | cut -d' ' -f1)"
    echo
done > "$2/Packages"
rm "$root"/debs/*

# BuildKit and compose, where Docker does not look: some guests link them to where it does. Every
# command of a docker with plugins runs them all, and that takes an emulated one seconds
chroot "$root" sh -eu <<'EOF'
cd /debs
apt-get -qq download docker-buildx docker-compose
for deb in *.deb; do dpkg-deb -x "$deb" tree; done
mkdir -p /usr/share/lab/cli-plugins
cp tree/usr/libexec/docker/cli-plugins/docker-* /usr/share/lab/cli-plugins/
EOF
rm -r "$root/debs"
