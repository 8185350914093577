# The same for /mnt, in the words of probe.sh, which this is appended to
mkdir -p /mnt/.probe
umount_mnt() { umount -l /mnt/.probe 2>/dev/null; }
R mnt-bind-etc 'mount --bind /etc /mnt/.probe'; umount_mnt
R mnt-old-bind-etc 'busybox mount -o bind /etc /mnt/.probe'; umount_mnt
R mnt-bind-proc 'mount --bind /proc /mnt/.probe'; umount_mnt
R mnt-old-bind-proc 'busybox mount -o bind /proc /mnt/.probe'; umount_mnt
R mnt-proc 'mount -t proc proc /mnt/.probe'; umount_mnt
R mnt-old-proc 'busybox mount -t proc proc /mnt/.probe'; umount_mnt
R mnt-proc-core_pattern 'mount -t proc proc /mnt/.probe && echo core >/mnt/.probe/sys/kernel/core_pattern'; umount_mnt
R mnt-proc-sysrq 'mount -t proc proc /mnt/.probe && echo h >/mnt/.probe/sysrq-trigger'; umount_mnt
R mnt-proc-kcore 'mount -t proc proc /mnt/.probe && dd if=/mnt/.probe/kcore of=/dev/null bs=64 count=1'; umount_mnt
R mnt-sysfs-uevent 'mount -t sysfs sysfs /mnt/.probe && echo >/mnt/.probe/kernel/uevent_helper'; umount_mnt
R mnt-nfs 'mount -t nfs -o nolock,addr=127.0.0.1 127.0.0.1:/x /mnt/.probe'; umount_mnt
R proc-over-proc-ro 'busybox mount -o ro -t proc proc /proc && umount /proc'
R proc-over-proc-rw 'busybox mount -t proc proc /proc && umount /proc'
rmdir /mnt/.probe
