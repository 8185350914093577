"""Lines of overlays, right and wrong ones, and profiles that have one."""

from test_apparmor import TEMPLATES

from phoenix.apparmor.observed import ObservedAppArmor
from phoenix.apparmor.overlay import read_overlay
from phoenix.plan.confinement import Confinement
from phoenix.plan.render import render_profile

NAME = "lxc-docker-nested"
OLD = ObservedAppArmor(enabled=True, parser=(3, 0, 8), abis=("3.0",))

#: Every kind of rule that there is.
GOOD = (
    '# what a person writes: ünïcode, "quotes", commas, and a \\',
    "",
    "mount options=(rw,silent) fstype=overlay -> /merged/,",
    'mount options=(ro,nosuid) fstype=fuse.sshfs -> "/srv/my data/",',
    "mount fstype=(tmpfs, ramfs) none -> /srv/data-*/,",
    "mount fstype=mqueue -> /srv/mqueue/,",
    'mount options=(rw, bind) "/srv/a b/" -> @{dkr_root}/x/,',
    "mount options=(rw,rbind) @{dkr_data}/overlay2/@{dkr_id}/diff/x/ -> /tmp/y/,",
    "mount options=(rw,remount,nosuid) -> /srv/y/,",
    "umount /srv/y/,",
    "capability net_raw sys_admin,",
    "network packet,",
    "network inet6 raw,",
    "/srv/a@b:c+d rwlkm,",
    '"/srv/a b" r,',
    "@{ctd_data}/x rix,",
    "@{unit_root}/x a,",
)

#: What must never be, and a word of the reason.
NEVER = {
    "change_profile -> unconfined,": "leave the profile",
    "change_profile,": "leave the profile",
    "userns,": "nested-userns",
    "io_uring,": "io_uring",
    "pivot_root /mnt/,": "another name",
    "all,": "everything",
    "dbus,": "bus",
    "unix peer=(label=unconfined),": "another label",
    "capability,": "every capability",
    "capability sys_module,": "sys_module",
    "capability chown mac_override,": "mac_override",
    "network,": "family",
    "network alg,": "family",
    "network vsock stream,": "family",
    "network inet stream dgram,": "one type",
    "signal,": "another label",
    "signal (send) peer=unconfined,": "another label",
    "ptrace (read) peer=lxc-*,": "another label",
    "mount,": "without a target",
    "mount fstype=overlay,": "without a target",
    "mount -> /srv/x/,": "no type",
    "mount options=(rw,move) -> /srv/x/,": "no type",
    "mount options=(rw,move) /srv/a/ -> /srv/x/,": "no type",
    "mount options=(rw) /srv/a/ -> /srv/x/,": "no type",
    "mount options in (rw,bind) /srv/a/ -> /srv/x/,": "exactly",
    "mount options=(rw,bind) -> /srv/x/,": "without a source",
    "mount options=(rw,bind,rbind) /srv/a/ -> /srv/x/,": "no type",
    "mount fstype=proc -> /srv/x/,": "proc is a file system",
    "mount fstype=sysfs -> /srv/x/,": "sysfs",
    "mount fstype=cgroup2 -> /srv/x/,": "cgroup2",
    "mount fstype=binfmt_misc -> /srv/x/,": "binfmt_misc",
    "mount fstype=ext4 -> /srv/x/,": "no user namespace",
    "mount fstype=(overlay,proc) -> /srv/x/,": "proc",
    "mount fstype=fuse.* -> /srv/x/,": "fuse.*",
    "mount fstype=() -> /srv/x/,": "file system",
    "mount options=(rw,bind) fstype=overlay -> /srv/x/,": "bind",
    "mount options=(rw,bind) / -> /srv/x/,": "procfs in it",
    "mount options=(rw,bind) /proc/ -> /srv/x/,": "proc",
    "mount options=(rw,bind) /srv/proc/ -> /srv/x/,": "proc",
    "mount options=(rw,bind) /srv/*/ -> /srv/x/,": "may lead to proc",
    "mount options=(rw,bind) /srv/pr*c/ -> /srv/x/,": "may lead to proc",
    "mount options=(rw,bind) /s*/class/ -> /srv/x/,": "may lead to sys",
    "mount options=(rw,bind) /srv/** -> /srv/x/,": "everything below",
    "mount options=(rw,bind) /run/ -> /srv/x/,": "systemd",
    "mount options=(rw,bind) /run/systemd/namespace-x/ -> /srv/x/,": "systemd",
    "mount options=(rw,bind) @{unit_root}/x/ -> /srv/x/,": "systemd",
    "mount options=(rw,bind) /tmp/ -> /srv/x/,": "/tmp may be a procfs",
    "mount options=(rw,bind) /tmp/kernel/ -> /srv/x/,": "kernel in /tmp",
    "mount options=(rw,bind) /run/l*/irq/ -> /srv/x/,": "irq in /run/lock",
    "mount options=(rw,bind) /kernel/ -> /srv/x/,": "kernel in /",
    "mount options=(rw,bind) /b*/ -> /srv/x/,": "b* in /",
    "mount options=(rw,bind) /1/root/ -> /srv/x/,": "1 in /",
    "mount options=(rw,bind) /srv/a/ -> /proc/tty/,": "proc",
    "mount options=(rw,bind) /srv/a/ -> /,": "procfs in it",
    "mount fstype=tmpfs -> /srv/sys/,": "sys",
    "umount,": "one place",
    "umount /proc/,": "proc",
    "file,": "everything below",
    "/** rw,": "everything below",
    "/proc/sysrq-trigger w,": "proc",
    "/tmp/sysrq-trigger w,": "sysrq-trigger",
    "/tmp/k* r,": "may lead to kcore",
    "/srv/dev/.lxc/x r,": "dev",
    "/srv/a ux,": "keeps the profile",
    "/srv/a Px,": "keeps the profile",
    "/srv/a cx -> b,": "keeps the profile",
    "/srv/a rw -> /b,": "keeps the profile",
}

#: What is no line of an overlay at all.
MALFORMED = {
    "/srv/a r": "comma",
    "/srv/a r, /srv/b r,": "one rule a line",
    "/srv/a r, # why": "its own line",
    "/srv/a wa,": "exclude each other",
    "/srv/a all,": "each access once",
    "mount options=(rw,ro) fstype=tmpfs -> /srv/x/,": "exclude each other",
    "mount options=(,) fstype=tmpfs -> /srv/x/,": "exactly",
    "mount none fstype=tmpfs -> /srv/x/,": "in front of the source",
    "mount options=(rw) /srv/a fstype=overlay -> /srv/x/,": "in front of the source",
    "mount fstype=tmpfs @{mine} -> /srv/x/,": "a path begins with",
    "mount fstype=tmpfs @{ -> /srv/x/,": "a path begins with",
    "mount options=(rw,bind) none -> /srv/x/,": "a path begins with",
    "\x0c/srv/a r,": "cannot be printed",
    "\xa0/srv/a r,": "cannot be printed",
    "\u2028# a comment": "cannot be printed",
    "deny /srv/a r,": "no `deny` here",
    "audit /srv/a r,": "no `audit` here",
    "owner /srv/a r,": "no `owner` here",
    "priority=1 /srv/a r,": "no `priority=1` here",
    "include <abstractions/base>": "include",
    "#include <abstractions/base>": "include",
    "# include <abstractions/base>": "include",
    "@{mine} = /srv": "no variables",
    "abi <abi/3.0>,": "no variables",
    "}": "one rule a line",
    "} profile x { file,": "one rule a line",
    "profile x { file, }": "one rule a line",
    "^hat { file, }": "one rule a line",
    "if defined @{x} { file, }": "without an `if`",
    "# allowed here: nested-userns": "our own profiles",
    "#logged here: /etc": "our own profiles",
    "@{HOME}/x r,": "a path begins with",
    "@{any_proc}/x r,": "a path begins with",
    "/srv/@{profile_name} r,": "a path begins with",
    "/srv/{a,proc} r,": "a path begins with",
    "/srv/[p]roc r,": "a path begins with",
    "/srv/a? r,": "a path begins with",
    "/srv/a\\x r,": "a path begins with",
    '"/srv/a,b" r,': "a path begins with",
    "/srv/a*b* r,": "a path begins with",
    "/srv/../proc/x r,": "a path begins with",
    "//srv/a r,": "a path begins with",
    "/srv/ä r,": "a path begins with",
    '/srv/"a b" r,': "like this",
    "/srv/a\tr,": "cannot be printed",
    "/srv/\u202ea r,": "cannot be printed",
    "rlimit nofile <= 4,": "a rule here is",
    "link /a -> /b,": "a rule here is",
    "srv/a r,": "a rule here is",
    f"/srv/{'a' * 1000} r,": "longer than",
}


def flaws(*lines):
    """What is wrong with an overlay of these lines, as (line, why)."""
    _, found = read_overlay("\n".join(lines).encode())
    return [(one.line, one.why) for one in found]


def profile(lines, template=NAME, node=OLD, **form):
    """The text of a container's own profile with an overlay."""
    form = {"own": 910, "overlay": tuple(lines), **form}
    return render_profile(Confinement(template, **form), TEMPLATES, node)
