#!/bin/sh
# node-setup.sh TREE: turns the bootstrapped tree into the node, as far as that needs no booted
# system. mmdebstrap runs it as a customize hook, in its (user) namespace.
set -eu
root=$1

echo pve-lab > "$root/etc/hostname"
printf '127.0.0.1 localhost\n10.10.10.1 pve-lab\n' > "$root/etc/hosts"
: > "$root/etc/fstab"
: > "$root/etc/machine-id"

# eth0 is QEMU's user-mode network, vmbr0 is where the containers live
mkdir -p "$root/etc/systemd/network"
cat > "$root/etc/systemd/network/eth0.network" <<'EOF'
[Match]
Name=eth0
[Network]
Address=10.0.2.15/24
Gateway=10.0.2.2
LinkLocalAddressing=no
EOF
cat > "$root/etc/systemd/network/vmbr0.netdev" <<'EOF'
[NetDev]
Name=vmbr0
Kind=bridge
EOF
cat > "$root/etc/systemd/network/vmbr0.network" <<'EOF'
[Match]
Name=vmbr0
[Network]
Address=10.10.10.1/24
ConfigureWithoutCarrier=yes
LinkLocalAddressing=no
IPv4Forwarding=yes
EOF

cat > "$root/etc/ssh/sshd_config.d/lab.conf" <<'EOF'
PermitRootLogin prohibit-password
PasswordAuthentication no
UsePAM no
PrintMotd no
UseDNS no
MaxStartups 100
MaxSessions 100
EOF

# what Docker in an unprivileged container needs but may not load by itself
cat > "$root/etc/modules-load.d/lab.conf" <<'EOF'
fuse
overlay
loop
dm_snapshot
bridge
br_netfilter
veth
nf_tables
nft_compat
nft_chain_nat
nf_nat
nf_conntrack
nf_conntrack_netlink
xt_MASQUERADE
xt_addrtype
xt_conntrack
xt_nat
xt_tcpudp
xt_mark
xt_comment
ip_tables
iptable_nat
iptable_filter
EOF
# drivers of what QEMU has and nobody here needs, and ciphers made for real processors
for module in kvm_amd ccp powernow_k8 iTCO_wdt lpc_ich pcspkr psmouse cfg80211 vsock_loopback \
    aesni_intel ghash_clmulni_intel sha512_ssse3 sha256_ssse3 sha1_ssse3; do
    echo "install $module /bin/false"
done > "$root/etc/modprobe.d/lab.conf"
# as Proxmox has it (and Docker's many bridges would need it anyway)
cat > "$root/etc/sysctl.d/lab.conf" <<'EOF'
kernel.keys.maxkeys = 2000
fs.inotify.max_user_instances = 1024
net.ipv4.ip_forward = 1
EOF

# of AppArmor's hundred profiles only what LXC brings: compiling all takes an emulated node minutes
mkdir -p "$root/etc/systemd/system/apparmor.service.d"
cat > "$root/etc/systemd/system/apparmor.service.d/lab.conf" <<'EOF'
[Service]
ExecStart=
ExecStart=/bin/sh -c 'exec apparmor_parser -rW /etc/apparmor.d/*lxc-*'
ExecReload=
ExecReload=/bin/sh -c 'exec apparmor_parser -rW /etc/apparmor.d/*lxc-*'
EOF

printf 'root:100000:65536\n' > "$root/etc/subuid"
printf 'root:100000:65536\n' > "$root/etc/subgid"

# every denial counts: no rate limit, a deep backlog; system calls are not audited, as elsewhere,
# nor does each of Docker's many rules for nftables need three records
mkdir -p "$root/etc/audit/rules.d"
cat > "$root/etc/audit/rules.d/audit.rules" <<'EOF'
-D
-b 16384
-r 0
-f 1
--backlog_wait_time 60000
-a task,never
-a always,exclude -F msgtype=NETFILTER_CFG
-a always,exclude -F msgtype=BPF
-a always,exclude -F msgtype=SERVICE_START
-a always,exclude -F msgtype=SERVICE_STOP
EOF

mkdir -p "$root/etc/systemd/journald.conf.d"
printf '[Journal]\nStorage=volatile\nRuntimeMaxUse=32M\nRateLimitBurst=0\nAudit=no\n' \
    > "$root/etc/systemd/journald.conf.d/lab.conf"

chroot "$root" systemctl -q enable systemd-networkd.service ssh.service
chroot "$root" systemctl -q mask \
    apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer fstrim.timer \
    e2scrub_all.timer e2scrub_reap.service systemd-networkd-wait-online.service \
    systemd-logind.service systemd-logind-varlink.socket modprobe@drm.service \
    lxc.service lxc-net.service getty@tty1.service serial-getty@ttyS0.service \
    systemd-pstore.service systemd-random-seed.service systemd-binfmt.service

# all of this is as the packages want it: nothing is left for the first boot
touch -r "$root/usr" "$root/etc/.updated" "$root/var/.updated"
