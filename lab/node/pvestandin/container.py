"""Running containers: start, stop, attach, copy files, all with LXC's own tools."""

from __future__ import annotations

import os
import re
import time

from . import change, ha, lxcconf, node, schema
from .conf import Conf, load, locked, save
from .node import PctError

HELPERS = "/usr/lib/phoenix-lab"
LOG_TAIL = 12 * 1024
CLONE_NEWNS = 0x00020000
CLONE_NEWUSER = 0x10000000


def pid_of_init(ctid: str) -> int:
    """PID of the container's init on the node."""
    from subprocess import PIPE, run  # slow to import, seldom needed

    command = ["lxc-info", "-n", ctid, "-p"]
    done = run(command, stdout=PIPE, check=False)
    if done.returncode:
        raise PctError(f"command '{' '.join(command)}' failed: exit code {done.returncode}")
    found = re.search(rb"^PID:\s+(\d+)$", done.stdout, re.MULTILINE)
    if not found:
        raise PctError(f"unable to get PID for CT {ctid} (not running?)")
    return int(found[1])


def start(ctid: str, *, debug: bool = False) -> None:
    """Apply what is pending, derive the LXC config, start, and wait until it runs."""
    if ctid in node.running():
        raise PctError(f"CT {ctid} already running")
    ha.warn_of_broken_resources()
    node.enter_task()
    with locked(ctid):
        conf = load(ctid)
        if schema.truth(conf.get("template")):
            raise PctError("you can't start a CT if it's a template")
        conf.check_lock()
        _start_locked(conf, debug=debug)


def _start_locked(conf: Conf, *, debug: bool) -> None:
    if conf.pending:
        change.apply_pending(conf)
        conf = save(conf)
    lxcconf.update(conf)
    ctid = conf.ctid
    # vm_start: after LXC's configuration is written, so what it writes counts at the next start
    _hookscript(conf, "pre-start", stops=True)
    helper("mount-rootfs", ctid)
    if not _passthrough(conf) or not _lxc_start(
        ctid, debug=debug or schema.truth(conf.get("debug"))
    ):
        helper("umount-rootfs", ctid)
        raise PctError(f"startup for container '{ctid}' failed")
    _hookscript(conf, "post-start")


def _hookscript(conf: Conf, phase: str, *, stops: bool = False) -> None:
    """Run the container's hookscript (PVE::GuestHelpers exec_hookscript), of storage `local` only.

    `stops`: its failure is that of the command, else a warning.
    """
    volume = conf.get("hookscript")
    if volume is None:
        return
    from subprocess import DEVNULL, PIPE, STDOUT, run

    program = node.path(f"/var/lib/vz/snippets/{volume.rpartition('/')[2]}")
    if not os.path.exists(program):
        problem = f"script '{volume}' does not exist"
    elif not os.access(program, os.X_OK):
        problem = f"script '{volume}' is not executable"
    else:
        command = [program, conf.ctid, phase]
        done = run(command, stdin=DEVNULL, stdout=PIPE, stderr=STDOUT, check=False)
        print(done.stdout.decode(errors="replace"), end="", flush=True)
        if done.returncode == 0:
            return
        problem = f"command '{' '.join(command)}' failed: exit code {done.returncode}"
    text = f"hookscript error for {conf.ctid} on {phase}: {problem}\n"
    if stops:
        raise PctError(text)
    node.warn(text)


def _passthrough(conf: Conf) -> bool:
    """Make the nodes of devN, with owner and mode, which the autodev hook binds into the container.

    As lxc-pve-prestart-hook does, only in the folder itself. A second one of a name ends the start.
    """
    from subprocess import run

    folder = f"{lxcconf.directory(conf.ctid)}/passthrough"
    made = node.path(folder)
    if os.path.exists(made):
        run(["rm", "-rf", made], check=True)
    listed = ""
    for device in lxcconf.devices(conf):
        where = device["path"]
        kind, number = lxcconf.device_number(where)
        major, _, minor = number.partition(":")
        if os.path.lexists(made + where):
            print("run_buffer: 571 Script exited with status 17", flush=True)
            return False
        os.makedirs(os.path.dirname(made + where), exist_ok=True)
        mode = device.get("mode", "0660")
        run(["mknod", "-m", mode, made + where, kind, major, minor], check=True)
        uid = lxcconf.host_id(conf, "u", int(device.get("uid", "0")))
        gid = lxcconf.host_id(conf, "g", int(device.get("gid", "0")))
        run(["chown", f"{uid}:{gid}", made + where], check=True)
        listed += f"{kind}:{number}:{where}\n"
    if listed:
        node.replace(f"{made}/devices", listed.encode())
    return True


def _lxc_start(ctid: str, *, debug: bool) -> bool:
    """Run `lxc-start -d`; if it fails, print what the real one shows of LXC's log."""
    from subprocess import DEVNULL, run

    log = node.path(f"/run/pve/ct-{ctid}.log")
    os.makedirs(os.path.dirname(log), exist_ok=True)
    if os.path.exists(log):
        os.unlink(log)
    level = "DEBUG" if debug else "ERROR"
    command = ["lxc-start", "-n", ctid, "-d", "-o", log, "-l", level]
    done = run(command, stdin=DEVNULL, stdout=DEVNULL, stderr=DEVNULL, check=False)
    if done.returncode == 0:
        return True
    text = (node.read(log) or b"").decode(errors="replace")
    for line in text.splitlines():
        # lxc-start 920 20261122001407.123 ERROR    sync - ../src/lxc/sync.c:sync_wait:34 - TEXT;
        # the profile is not named: the process that knows it has no terminal any more
        found = re.match(r"lxc-start \S+ \S+ ERROR +(\S+) - [^:]+:(\w+):(\d+) - (.*)", line)
        if found and found[1] not in ("apparmor", "lxc_start", "lxccontainer"):
            print(f"{found[2]}: {found[3]} {found[4]}", flush=True)
    if debug:
        print(re.sub(r"(?m)^lxc-start \S+ \S+ ", "", text)[-LOG_TAIL:], end="", flush=True)
    return False


def stop(ctid: str) -> None:
    """Kill the container."""
    if ctid not in node.running():
        raise PctError(f"CT {ctid} not running")
    ha.warn_of_broken_resources()
    node.enter_task()
    with locked(ctid):
        load(ctid).check_lock()
        kill(ctid)


def kill(ctid: str) -> None:
    """Stop the container at once, for a command that holds its lock (PVE::LXC vm_stop)."""
    _hookscript(load(ctid), "pre-stop")
    _lxc_stop(ctid, ["--kill"])
    _hookscript(load(ctid), "post-stop")


def shutdown(ctid: str, timeout: int, *, force: bool) -> None:
    """Ask init to halt, and wait for it."""
    if ctid not in node.running():
        raise PctError(f"CT {ctid} not running")
    ha.warn_of_broken_resources()
    node.enter_task()
    with locked(ctid):
        load(ctid).check_lock()
        _hookscript(load(ctid), "pre-stop")
        _lxc_stop(ctid, [*([] if force else ["--nokill"]), "--timeout", str(timeout)])
        _hookscript(load(ctid), "post-stop")


def reboot(ctid: str, timeout: int) -> None:
    """Shut down and start again, with pending changes applied in between."""
    if ctid not in node.running():
        raise PctError(f"VM {ctid} not running")
    node.enter_task()
    with locked(ctid):
        load(ctid).check_lock()
        _hookscript(load(ctid), "pre-stop")
        _lxc_stop(ctid, ["--nokill", "--timeout", str(timeout)])
        _hookscript(load(ctid), "post-stop")
        _start_locked(load(ctid), debug=False)


def _lxc_stop(ctid: str, how: list[str]) -> None:
    from subprocess import DEVNULL, run

    command = ["lxc-stop", "-n", ctid, *how]
    done = run(command, stdin=DEVNULL, check=False)
    deadline = time.monotonic() + 10
    while ctid in node.running() and time.monotonic() < deadline:
        if done.returncode:
            raise PctError(f"command '{' '.join(command)}' failed: exit code {done.returncode}")
        time.sleep(0.1)
    helper("umount-rootfs", ctid)


def helper(name: str, ctid: str, *more: str) -> None:
    """Run the lab's own helper, if it is there."""
    program = node.path(f"{HELPERS}/{name}")
    if not os.path.exists(program):
        return
    from subprocess import DEVNULL, run

    done = run([program, ctid, *more], stdin=DEVNULL, check=False)
    if done.returncode:
        raise PctError(f"command '{HELPERS}/{name} {ctid}' failed: exit code {done.returncode}")


def as_root_of(conf: Conf) -> list[str]:
    """What a command begins with that makes files as the container's root (userns_command)."""
    maps = [value.split() for key, value in conf.raw if key == "lxc.idmap"]
    if not maps and not schema.truth(conf.get("unprivileged")):
        return []
    maps = maps or [[kind, "0", "100000", "65536"] for kind in "ug"]
    return ["lxc-usernsexec", *[word for one in maps for word in ("-m", ":".join(one))], "--"]


def execute(ctid: str, command: list[str], *, keep_env: bool) -> None:
    """Become `lxc-attach`: stdin, exit code and signals are its own."""
    load(ctid)
    if not command:
        raise PctError("missing command at /usr/share/perl5/PVE/CLI/pct.pm line 246.")
    if ctid not in node.running():
        raise PctError(f"container '{ctid}' not running!")
    how = "--keep-env" if keep_env else "--clear-env"
    search = os.environ.get("PATH", "")
    if not node.ROOT:
        search = os.environ["PATH"] = "/sbin:/bin:/usr/sbin:/usr/bin"
    for folder in search.split(":"):
        program = f"{folder}/lxc-attach"
        if os.access(program, os.X_OK):
            os.execv(program, ["lxc-attach", "-n", ctid, how, "--", *command])  # noqa: S606
    raise PctError("lxc-attach: command not found", 127)


def push(ctid: str, source: str, target: str, owner: Owner) -> None:
    """Copy a file of the node into a running container."""
    with locked(ctid):
        if ctid not in node.running():
            raise PctError("can only push files to a running CT")
        try:
            content = _read_whole(source)
        except OSError:
            raise CopyError(f"failed to open {source} for reading") from None
        _in_container(pid_of_init(ctid), lambda: owner.write(target, content), as_root=True)


def pull(ctid: str, source: str, target: str, owner: Owner) -> None:
    """Copy a file of a running container to the node."""
    with locked(ctid):
        if ctid not in node.running():
            raise PctError("can only pull files from a running VM")
        pid = pid_of_init(ctid)
        handle = owner.create(target)

        def copy() -> None:
            try:
                content = _read_whole(source)
            except OSError as error:
                raise CopyError(f"failed to open {source}: {error.strerror}") from None
            _write_whole(handle, content)

        _in_container(pid, copy, as_root=False)


class CopyError(PctError):
    """push and pull say what failed, and exit 0 all the same."""

    def __init__(self, text: str) -> None:
        super().__init__(text, 0)


class Owner:
    """--perms, --user and --group: how the copy's file is to be."""

    def __init__(self, perms: str | None, user: str | None, group: str | None) -> None:
        self.user = user
        self.group = group
        self.mode: int | None = None
        if perms is not None:
            octal = perms if perms.startswith("0") else f"0{perms}"
            if not re.fullmatch(r"0(?:[0-7]*|[xX][0-9a-fA-F]+)", octal):
                raise CopyError(f"invalid mode: '{octal}'")
            self.mode = int(octal, 16 if octal[1:2] in ("x", "X") else 8)

    def create(self, file: str) -> int:
        """Open the file for writing, new ones 0644; chmod, then chown, which takes setuid away."""
        try:
            handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        except OSError as error:
            raise CopyError(f"failed to create file: {file}: {error.strerror}") from None
        if self.mode is not None:
            os.fchmod(handle, self.mode & 0o777)
        uid = _id_of("/etc/passwd", "uid", self.user)
        gid = _id_of("/etc/group", "gid", self.group)
        if (uid, gid) != (-1, -1):
            try:
                os.fchown(handle, uid, gid)
            except OSError as error:
                raise CopyError(f"failed to change file owner: {error.strerror}") from None
        return handle

    def write(self, file: str, content: bytes) -> None:
        """Create the file with that content."""
        _write_whole(self.create(file), content)


def _id_of(table: str, kind: str, name: str | None) -> int:
    """The numeric id of a user or group, of whichever root directory we are in; -1 for None."""
    if name is None:
        return -1
    if name.isdigit():
        return int(name)
    for line in (node.read(table) or b"").decode(errors="replace").splitlines():
        fields = line.split(":")
        if fields[0] == name and len(fields) > 2:
            return int(fields[2])
    raise CopyError(f"failed to get {kind} for: {name}")


def _read_whole(file: str) -> bytes:
    with open(file, "rb") as handle:
        return handle.read()


def _write_whole(handle: int, content: bytes) -> None:
    with open(handle, "wb") as out:
        out.write(content)


def _in_container(pid: int, work, *, as_root: bool) -> None:  # type: ignore[no-untyped-def]
    """Do the work in a child that has entered the container's mount namespace.

    As root of the container also in its user namespace, so that what it makes has its owners.
    """
    setns = getattr(os, "setns", None)
    if setns is None:
        raise CopyError("push and pull need Python 3.12")
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        return
    try:
        kinds = (("user", CLONE_NEWUSER),) if as_root else ()
        if as_root and os.path.samefile(f"/proc/{pid}/ns/user", "/proc/self/ns/user"):
            kinds = ()
        spaces = [
            (os.open(f"/proc/{pid}/ns/{name}", os.O_RDONLY), kind)
            for name, kind in (*kinds, ("mnt", CLONE_NEWNS))
        ]
        for handle, kind in spaces:
            setns(handle, kind)
        if kinds:
            os.setgroups([])
            os.setresgid(0, 0, 0)
            os.setresuid(0, 0, 0)
        os.chdir("/")
        os.umask(0o022)
        work()
    except PctError as error:
        os.write(2, f"{error}\n".encode())
    except OSError as error:
        os.write(2, f"failed to enter the container: {error}\n".encode())
    finally:
        os._exit(0)


def usage(ctid: str, pid: int) -> dict[str, object]:
    """What `status --verbose` adds for a running container, from its cgroup."""
    group = node.path(f"/sys/fs/cgroup/lxc/{ctid}")
    facts: dict[str, object] = {"uptime": int(time.time() - os.stat(f"/proc/{pid}").st_ctime)}
    for key, name in (("mem", "memory.current"), ("swap", "memory.swap.current")):
        facts[key] = int(node.read(f"{group}/{name}") or 0)
    return facts
