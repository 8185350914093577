# allows.sh - what each permission of apparmor_allows is for, under the name of the permission that it
# needs; a line for each: PASS or FAIL NAME
T() { # NAME COMMAND
    if said=$(timeout 600 sh -c "$2" 2>&1); then
        echo "PASS $1"
    else
        echo "FAIL $1: $(echo "$said" | tail -n 2 | tr '\n' ' ')"
    fi
}
mkdir -p /srv/data /srv/there /srv/upper /srv/work /srv/lower /srv/fstab
echo data >/srv/data/file
echo lower >/srv/lower/file
T guest-mounts/bind 'mount --bind /srv/data /srv/there && cat /srv/there/file'
T guest-mounts/remount 'mount -o remount,bind,ro /srv/there && ! touch /srv/there/x'
umount -l /srv/there 2>/dev/null
# as busybox and util-linux before 2.39 do it
old_bind='my ($s, $t, $n) = ("/srv/data\0", "/srv/there\0", "\0"); exit(syscall(165, $s, $t, $n, 4096, $n) != 0)'
export old_bind
T guest-mounts/old-bind 'perl -e "$old_bind" && cat /srv/there/file'
umount -l /srv/there 2>/dev/null
T guest-mounts/tmpfs 'mount -t tmpfs -o size=1m ram /srv/there && touch /srv/there/x'
umount -l /srv/there 2>/dev/null
T guest-mounts/overlay 'mount -t overlay -o lowerdir=/srv/lower,upperdir=/srv/upper,workdir=/srv/work o /srv/there && cat /srv/there/file'
umount -l /srv/there 2>/dev/null
cp /etc/fstab /srv/fstab.before 2>/dev/null || : >/srv/fstab.before
printf '%s\n' 'ram /srv/fstab tmpfs size=1m 0 0' '/srv/data /srv/there none bind 0 0' >>/etc/fstab
systemctl daemon-reload
T guest-mounts/fstab 'systemctl start srv-fstab.mount srv-there.mount && cat /srv/there/file'
umount -l /srv/there /srv/fstab 2>/dev/null
cat /srv/fstab.before >/etc/fstab
systemctl daemon-reload
T fuse-mounts 'fuse-overlayfs -o lowerdir=/srv/lower,upperdir=/srv/upper,workdir=/srv/work /srv/there && cat /srv/there/file'
umount -l /srv/there 2>/dev/null
T nested-userns/unshare 'unshare -Ur true'
T nested-userns/PrivateUsers 'systemd-run --wait -q --pipe -p PrivateUsers=yes true'
# as Chromium's sandbox does: namespaces, and an empty root
T nested-userns/browser 'unshare -Urpnf chroot /srv/there true 2>&1 | grep -q "No such file"'
T binfmt 'mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc && echo :lab:E::lab::/bin/cat: >/proc/sys/fs/binfmt_misc/register'
[ ! -e /proc/sys/fs/binfmt_misc/lab ] || echo -1 >/proc/sys/fs/binfmt_misc/lab
umount -l /proc/sys/fs/binfmt_misc 2>/dev/null
rm -r /srv/data /srv/there /srv/upper /srv/work /srv/lower /srv/fstab /srv/fstab.before
