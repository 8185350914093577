# What single profiles need mounts for, in the words of probe.sh, which this is appended to
mkdir -p /mnt/.probe
# mount(2) with just these flags: busybox adds MS_SILENT to some
raw_mount() { # SOURCE TARGET TYPE FLAGS
    perl -e '
        my ($s, $t, $y) = map { "$_\0" } @ARGV;
        my $d = "\0";
        exit 0 if syscall(165, $s, $t, $y, $ARGV[3] + 0, $d) == 0;
        print "$!\n";
        exit 1' "$@"
}
# -l: somebody else may look at it just then
umount_mnt() { umount -l /mnt/.probe 2>/dev/null; }
R mnt-bind-etc 'mount --bind /etc /mnt/.probe'; umount_mnt
R mnt-old-bind-etc 'raw_mount /etc /mnt/.probe none 4096'; umount_mnt
R mnt-bind-proc 'mount --bind /proc /mnt/.probe'; umount_mnt
R mnt-old-bind-proc 'raw_mount /proc /mnt/.probe none 4096'; umount_mnt
R mnt-proc 'mount -t proc proc /mnt/.probe'; umount_mnt
R mnt-old-proc 'raw_mount proc /mnt/.probe proc 0'; umount_mnt
R mnt-proc-core_pattern 'mount -t proc proc /mnt/.probe && echo core >/mnt/.probe/sys/kernel/core_pattern'; umount_mnt
R mnt-proc-sysrq 'mount -t proc proc /mnt/.probe && echo h >/mnt/.probe/sysrq-trigger'; umount_mnt
R mnt-proc-kcore 'mount -t proc proc /mnt/.probe && dd if=/mnt/.probe/kcore of=/dev/null bs=64 count=1'; umount_mnt
R mnt-sysfs-uevent 'mount -t sysfs sysfs /mnt/.probe && echo >/mnt/.probe/kernel/uevent_helper'; umount_mnt
R mnt-nfs 'mount -t nfs -o nolock,addr=127.0.0.1 127.0.0.1:/x /mnt/.probe'; umount_mnt
R old-proc-over-proc-ro 'raw_mount proc /proc proc 1 && umount -l /proc'
R old-proc-over-proc 'raw_mount proc /proc proc 0 && umount -l /proc'
R old-proc-over-proc-made-rw 'raw_mount proc /proc proc 1 && { mount -o remount,bind,rw /proc; echo core >/proc/sys/kernel/core_pattern; r=$?; umount -l /proc; [ $r = 0 ]; }'

rmdir /mnt/.probe
# a procfs where Docker's rules for binds reach, and the root of a Docker container under other names
dkr=/var/lib/docker/overlay2/probe/merged
mkdir -p $dkr/proc $dkr/p /var/lib/docker/tmp/probe
R old-proc-named-as-bind "raw_mount /etc $dkr/p proc 0"; umount -l $dkr/p 2>/dev/null
raw_mount proc $dkr/proc proc 0 >/dev/null
R old-bind-inner-proc "raw_mount $dkr/proc $dkr/p none 4096"; umount -l $dkr/p 2>/dev/null
R old-bind-inner-proc-tmp "raw_mount $dkr/proc /var/lib/docker/tmp/probe none 4096"; umount -l /var/lib/docker/tmp/probe 2>/dev/null
R old-bind-inner-proc-mnt "raw_mount $dkr/proc /mnt none 4096"; umount -l /mnt 2>/dev/null
umount -l $dkr/proc 2>/dev/null
mkdir -p /run/systemd/unit-root/x
raw_mount /proc /run/systemd/unit-root/x none 4096 >/dev/null
R old-bind-proc-by-unit-root "raw_mount /run/systemd/unit-root/x $dkr/p none 4096"; umount -l $dkr/p 2>/dev/null
umount -l /run/systemd/unit-root/x 2>/dev/null
rmdir /run/systemd/unit-root/x
rm -r /var/lib/docker/overlay2/probe /var/lib/docker/tmp/probe
# what may be moved onto /tmp is of any type
R tmp-proc 'mount -t proc proc /tmp'; umount -l /tmp 2>/dev/null
R tmp-proc-core_pattern 'mount -t proc proc /tmp && echo core >/tmp/sys/kernel/core_pattern'; umount -l /tmp 2>/dev/null
R tmp-sysfs-uevent 'mount -t sysfs sysfs /tmp && echo >/tmp/kernel/uevent_helper'; umount -l /tmp 2>/dev/null
R tmp-binfmt 'mount -t binfmt_misc binfmt /tmp && echo :lab:E::lab::/bin/cat: >/tmp/register && echo -1 >/tmp/lab'; umount -l /tmp 2>/dev/null
# a thread of the kernel that polls for its work
R uring-sqpoll 'perl -e "\$p=pack(q{L3},0,0,2).(qq{\0}x108); exit(syscall(425,1,\$p)<0)"'
