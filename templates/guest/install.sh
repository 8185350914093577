#!/bin/sh
# install ACTION... - what it takes beside packages to bring Docker into this guest, in which it
# runs; busybox is enough.
#
#   codename        that of its release, as package repositories call it
#   fingerprints    of the OpenPGP key on stdin, as `gpg --show-keys --with-colons` prints them
#   put PATH        have what comes on stdin as this file, root's own and readable by all
#   gpu             have NVIDIA's toolkit leave the rules of cgroups for devices alone
#   enable          have Docker start with the guest, and now
#   forget          remove the files of a repository of Docker's that we put here
#
# Exit: 0 done; 127 no gpg; else failed, and the last line says why
set -u
# PHOENIX_ROOT: a fake root, for the tests
export LC_ALL=C
umask 022
root=${PHOENIX_ROOT:-}

codename() {
    # a derivative of Ubuntu names that, too
    for key in UBUNTU_CODENAME VERSION_CODENAME; do
        head -c 65536 "$root/etc/os-release" 2>/dev/null |
            sed -n "s/^$key=[\"']\{0,1\}\([^\"']*\).*/\1/p" | grep . | head -n 1
    done | head -n 1
}
fingerprints() {
    command -v gpg >/dev/null || exit 127
    home=$(mktemp -d) || exit 1
    gpg --batch --no-options --homedir "$home" --with-colons --show-keys
    code=$?
    rm -rf "$home"
    exit $code
}
put() { # PATH
    file=$root$1
    mkdir -p "${file%/*}" && cat >"$file.phoenix-harden" && mv -f "$file.phoenix-harden" "$file"
}
gpu() {
    nvidia-ctk config --set nvidia-container-cli.no-cgroups=true --in-place
}
enable() {
    if [ -d /run/systemd/system ]; then
        # after failed starts systemd refuses another one for a while
        systemctl reset-failed docker.socket docker.service 2>/dev/null
        systemctl enable docker.service && systemctl start docker.service
    elif command -v rc-update >/dev/null; then
        # it fails where it is there already
        rc-update add docker default
        rc-service docker start
    else
        service docker start
    fi
}
forget() {
    rm -f "$root/etc/apt/keyrings/phoenix-docker.asc" \
        "$root/etc/apt/sources.list.d/phoenix-docker.sources" \
        "$root/etc/pki/rpm-gpg/RPM-GPG-KEY-phoenix-docker" \
        "$root/etc/yum.repos.d/phoenix-docker.repo"
}

case $1 in
codename | fingerprints | gpu | enable | forget) "$1" ;;
put) put "$2" ;;
*) exit 1 ;;
esac
