#!/bin/sh
# A small initrd for the tree $1: only what finds the disk. An essential hook: the initrd is
# made when the kernel is installed.
set -eu
root=$1
mkdir -p "$root/etc/initramfs-tools/conf.d" "$root/etc/initramfs-tools/hooks"
echo MODULES=list > "$root/etc/initramfs-tools/conf.d/lab"
cat > "$root/etc/initramfs-tools/hooks/lab" <<'EOF'
#!/bin/sh
[ "$1" = prereqs ] && exit 0
. /usr/share/initramfs-tools/hook-functions
manual_add_modules virtio_pci virtio_blk ext4
EOF
chmod 755 "$root/etc/initramfs-tools/hooks/lab"
