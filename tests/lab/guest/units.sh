# units.sh [NAME...] - systemd's sandbox directives, one after another, and a package; all or those
# named; a line for each: PASS, FAIL or NONE (this systemd does not know it) NAME
only=" $* "
booted() { systemctl is-system-running --wait 2>/dev/null | grep -qx -e running -e degraded; }
unit() {
    name=$1
    shift
    [ "$only" = "  " ] || [ "$only" != "${only/ $name / }" ] || return
    properties=()
    for one in "$@"; do properties+=(-p "$one"); done
    if said=$(timeout 600 systemd-run --wait -q --pipe "${properties[@]}" true 2>&1); then
        echo "PASS $name"
    elif echo "$said" | grep -q -e 'Unknown assignment' -e 'Failed to parse'; then
        echo "NONE $name"
    else
        echo "FAIL $name: $(echo "$said" | tail -n 2 | tr '\n' ' ')"
    fi
}
until booted; do sleep 0.5; done
mkdir -p /srv/data /srv/root
echo secret >/srv/data/secret
for one in PrivateTmp=yes PrivateTmp=disconnected PrivateDevices=yes PrivateNetwork=yes PrivateIPC=yes PrivateMounts=yes \
    ProtectSystem=yes ProtectSystem=full ProtectSystem=strict ProtectHome=yes ProtectHome=read-only \
    ProtectHome=tmpfs ProtectKernelTunables=yes ProtectKernelModules=yes ProtectKernelLogs=yes \
    ProtectControlGroups=yes ProtectControlGroups=private ProtectControlGroups=strict \
    ProtectClock=yes ProtectHostname=yes ProtectProc=invisible ProtectProc=ptraceable ProcSubset=pid PrivatePIDs=yes PrivateBPF=yes \
    NoNewPrivileges=yes RestrictNamespaces=yes RestrictSUIDSGID=yes RestrictRealtime=yes \
    LockPersonality=yes MemoryDenyWriteExecute=yes RemoveIPC=yes DynamicUser=yes MountAPIVFS=yes \
    SystemCallFilter=@system-service SystemCallArchitectures=native RestrictAddressFamilies=AF_UNIX \
    CapabilityBoundingSet= AmbientCapabilities=CAP_NET_RAW ReadOnlyPaths=/srv ReadWritePaths=/srv InaccessiblePaths=/srv \
    InaccessiblePaths=/proc/kcore NoExecPaths=/srv ExecPaths=/usr TemporaryFileSystem=/srv:ro \
    BindPaths=/srv/data:/mnt BindReadOnlyPaths=/srv/data:/mnt BindReadOnlyPaths=/usr:/srv/root \
    StateDirectory=thing RuntimeDirectory=thing CacheDirectory=thing LogsDirectory=thing ConfigurationDirectory=thing \
    LoadCredential=s:/srv/data/secret SetCredential=s:x ImportCredential=nothing.* KeyringMode=private KeyringMode=shared \
    MountFlags=slave MountFlags=shared PrivateUsers=no UMask=0077 Slice=lab.slice IPAddressDeny=any DevicePolicy=closed \
    DevicePolicy=strict DeviceAllow=/dev/null Delegate=yes LogNamespace=lab RootEphemeral=no OOMPolicy=stop \
    TTYPath=/dev/null MemoryMax=64M CPUQuota=50% TasksMax=20 IOWeight=50 NetworkNamespacePath=/proc/1/ns/net \
    IPCNamespacePath=/proc/1/ns/ipc; do
    unit "$one" "$one"
done
unit DynamicUser+StateDirectory DynamicUser=yes StateDirectory=thing2 CacheDirectory=thing2
unit redis PrivateDevices=yes PrivateTmp=yes PrivateUsers=no ProtectHome=yes ProtectSystem=strict \
    ProtectKernelTunables=yes ProtectKernelModules=yes ProtectControlGroups=yes ReadWritePaths=-/var/lib \
    NoNewPrivileges=yes RuntimeDirectory=redis MemoryDenyWriteExecute=yes
unit logrotate PrivateDevices=yes PrivateTmp=yes ProtectClock=yes ProtectControlGroups=yes ProtectHostname=yes \
    ProtectKernelLogs=yes ProtectKernelModules=yes ProtectKernelTunables=yes ProtectSystem=full RestrictNamespaces=yes
unit everything PrivateTmp=yes PrivateDevices=yes PrivateNetwork=yes ProtectProc=invisible ProcSubset=pid ProtectSystem=strict \
    ProtectHome=tmpfs ProtectKernelTunables=yes ProtectControlGroups=yes DynamicUser=yes TemporaryFileSystem=/opt \
    BindReadOnlyPaths=/srv/data:/opt/data LoadCredential=s:/srv/data/secret
if [ "$only" = "  " ]; then
    if said=$({ apt-get -qq update && apt-get -qq -y install --reinstall fuse3; } </dev/null 2>&1); then
        echo 'PASS apt-install'
    else
        echo "FAIL apt-install: $(echo "$said" | tail -n 2 | tr '\n' ' ')"
    fi
fi
