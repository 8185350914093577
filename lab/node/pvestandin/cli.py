"""The command line: which command, which options, and how an error ends it."""

from __future__ import annotations

import os
import re
import sys
import time

from . import change, conf, lxcconf, node, schema
from .conf import Conf, load, locked, save
from .node import PctError

DIGITS = schema.Option("integer")
CREATE_OPTIONS = {
    **dict.fromkeys(
        ("force", "ignore-unpack-errors", "restore", "start", "unique", "ha-managed"), schema.FLAG
    ),
    **dict.fromkeys(("storage", "pool", "password", "ssh-public-keys"), schema.TEXT),
    "bwlimit": schema.Option("number", low=0),
}
CLONE_OPTIONS = {
    **dict.fromkeys(
        ("hostname", "description", "pool", "snapname", "storage", "target"), schema.TEXT
    ),
    "bwlimit": schema.Option("number", low=0),
    "full": schema.FLAG,
}
DESTROY_OPTIONS = dict.fromkeys(("force", "purge", "destroy-unreferenced-disks"), schema.FLAG)
COPY_OPTIONS = dict.fromkeys(("perms", "user", "group"), schema.TEXT)

USAGE = """\
USAGE: pct <COMMAND> [ARGS] [OPTIONS]

       pct clone <vmid> <newid> [OPTIONS]
       pct create <vmid> <ostemplate> [OPTIONS]
       pct destroy <vmid> [OPTIONS]
       pct list 
       pct migrate <vmid> <target> [OPTIONS]
       pct move-volume <vmid> <volume> [<storage>] [<target-vmid>] [<target-volume>] [OPTIONS]
       pct pending <vmid>
       pct resize <vmid> <disk> <size> [OPTIONS]
       pct restore <vmid> <ostemplate> [OPTIONS]
       pct template <vmid>

       pct config <vmid> [OPTIONS]
       pct set <vmid> [OPTIONS]

       pct delsnapshot <vmid> <snapname> [OPTIONS]
       pct listsnapshot <vmid>
       pct rollback <vmid> <snapname> [OPTIONS]
       pct snapshot <vmid> <snapname> [OPTIONS]

       pct reboot <vmid> [OPTIONS]
       pct resume <vmid>
       pct shutdown <vmid> [OPTIONS]
       pct start <vmid> [OPTIONS]
       pct stop <vmid> [OPTIONS]
       pct suspend <vmid>

       pct console <vmid> [OPTIONS]
       pct cpusets 
       pct df <vmid>
       pct enter <vmid> [OPTIONS]
       pct exec <vmid> [<extra-args>] [OPTIONS]
       pct fsck <vmid> [OPTIONS]
       pct fstrim <vmid> [OPTIONS]
       pct mount <vmid>
       pct pull <vmid> <path> <destination> [OPTIONS]
       pct push <vmid> <file> <destination> [OPTIONS]
       pct remote-migrate <vmid> [<target-vmid>] <target-endpoint> --target-bridge <string> \
--target-storage <string> [OPTIONS]
       pct rescan  [OPTIONS]
       pct status <vmid> [OPTIONS]
       pct unlock <vmid>
       pct unmount <vmid>

       pct help [<extra-args>] [OPTIONS]
"""  # noqa: W291


class UsageError(PctError):
    """A 400 of the API's schema: its text, then the command's usage."""


class Call:
    """One command line, taken apart: positional arguments, options, what follows `--`."""

    def __init__(self, command: str, arguments: list[str]) -> None:
        self.command = command
        self.positional: list[str] = []
        self.options: dict[str, str] = {}
        self._take_apart(arguments)
        self._count()

    @property
    def ctid(self) -> str:
        """The first positional argument."""
        return self.positional[0]

    def flag(self, name: str, default: str = "0") -> bool:
        """A boolean option."""
        return schema.truth(self.options.get(name, default))

    def _known(self, key: str) -> schema.Option | None:
        if self.command in OF_A_CONF and key not in ("parent", "snaptime"):
            found = schema.option(key)
            if found:
                return found
        return COMMANDS[self.command][2].get(key)

    def _take_apart(self, arguments: list[str]) -> None:
        problems: list[str] = []
        rest = list(arguments)
        while rest:
            argument = rest.pop(0)
            if argument == "--":
                self.positional += rest
                break
            name = re.fullmatch(r"--?([^-=][^=]*)(?:=(.*))?", argument, re.DOTALL)
            if not name:
                self.positional.append(argument)
                continue
            known = self._known(name[1])
            if known is None:
                problems.append(f"Unknown option: {name[1]}")
            elif name[2] is not None:
                self.options[name[1]] = name[2]
            elif known.kind == "boolean":
                value = rest and schema.KINDS["boolean"].fullmatch(rest[0])
                self.options[name[1]] = rest.pop(0) if value else "1"
            elif rest:
                self.options[name[1]] = rest.pop(0)
            else:
                problems.append(f"Option {name[1]} requires an argument")
        if problems:
            text = "\n".join(problems)
            raise UsageError(f"{text}\n400 unable to parse option\n{self.usage()}", 2)

    def _count(self) -> None:
        wanted = COMMANDS[self.command][1].split()
        if len(self.positional) < len([name for name in wanted if name[0] == "<"]):
            raise UsageError(f"400 not enough arguments\n{self.usage()}", 2)
        if len(self.positional) > len(wanted) and "[<extra-args>]" not in wanted:
            raise UsageError(f"400 too many arguments\n{self.usage()}", 2)
        problems = []
        for name, value in zip(wanted, self.positional, strict=False):
            if why := _argument_problem(name.strip("<>"), value):
                problems.append(why)
        for key, value in self.options.items():
            why = _id_problem(key, value) if key in ("delete", "revert") else None
            if not why and self.command in OF_A_CONF:
                why = schema.refusal(key, value)
            if why:
                problems.append(why)
            known = self._known(key)
            if known and known.kind == "boolean" and not why:
                self.options[key] = "1" if schema.truth(value) else "0"
        if problems:
            raise self.refused(problems, 2)

    def refused(self, problems: list[str], code: int) -> UsageError:
        """What the API says of bad parameters."""
        text = "\n".join(["400 Parameter verification failed.", *problems])
        return UsageError(f"{text}\n{self.usage()}", code)

    def usage(self) -> str:
        """The command's usage line."""
        arguments, options = COMMANDS[self.command][1:3]
        has_options = options or self.command in ("exec", "config")
        return f"pct {self.command} {arguments}{' [OPTIONS]' if has_options else ''}"


def _argument_problem(name: str, text: str) -> str | None:
    if name in ("vmid", "newid"):
        if not re.fullmatch(r"[+-]?\d+", text):
            return f"{name}: type check ('integer') failed - got '{text}'"
        if not re.fullmatch(r"[1-9]\d{2,8}", text):
            return f"{name}: invalid format - value does not look like a valid VM ID\n"
    if name == "snapname":
        return _id_problem(name, text)
    if name == "disk" and not re.fullmatch(r"rootfs|mp\d+", text):
        listed = "', '".join(["rootfs", *[f"mp{number}" for number in range(256)]])
        return f"disk: value '{text}' does not have a value in the enumeration '{listed}'"
    if name == "size" and not re.fullmatch(r"\+?\d+(\.\d+)?[KMGT]?", text):
        return "size: value does not match the regex pattern"
    return None


def _id_problem(key: str, text: str) -> str | None:
    for name in re.split(r"[,;\s]+", text):
        if not re.fullmatch(r"[a-zA-Z][a-zA-Z0-9_-]+", name):
            return f"{key}: invalid format - invalid configuration ID '{name}'\n"
    return None


def _list(_call: Call) -> None:
    """`pct list`."""
    found = conf.ctids()
    running = node.running()
    rows = []
    problems = []
    for number, ctid in enumerate(found):
        container = load(ctid)
        if not re.fullmatch(r"[1-9]\d{2,8}", ctid):
            why = "invalid format - value does not look like a valid VM ID"
            problems.append(f"[{number}].vmid: {why}\n")
        status = "running" if ctid in running else "stopped"
        rows.append((ctid, status, container.get("lock") or "", _name(container)))
    if problems:
        raise _bad_result(problems, "pct list ")
    if rows:
        rows.insert(0, ("VMID", "Status", "Lock", "Name"))
    for row in rows:
        print("{:<10} {:<10} {:<12} {:<20}".format(*row))


def _name(container: Conf) -> str:
    return re.sub(r"\s", "", container.get("hostname") or f"CT{container.ctid}")


def _bad_result(problems: list[str], usage: str) -> PctError:
    return UsageError("\n".join(["400 Result verification failed", *problems, usage]), 255)


def _config(call: Call) -> None:
    """`pct config`: pending values are shown as if they were current, but for --current."""
    container = load(call.ctid)
    section: conf.Section = container
    if (name := call.options.get("snapshot")) is not None:
        if call.flag("current"):
            problem = "'snapshot' parameter only works with 'current' set to 0"
            raise call.refused([f"snapshot: {problem}"], 255)
        if name not in container.snapshots:
            raise PctError(f"snapshot '{name}' does not exist")
        section = container.snapshots[name]
    elif not call.flag("current"):
        section.options |= {k: v for k, v in container.pending.options.items() if k != "delete"}
        for key in change.deletions(container.pending):
            if section.get(key) not in (None, "", "0"):
                del section.options[key]
        section.env = container.pending.env or section.env
    problems = [
        why
        for key, value in section.options.items()
        if schema.option(key) and (why := schema.refusal(key, value))
    ]
    if problems:
        raise _bad_result(problems, call.usage())
    for key in sorted(section.options):
        value = section.options[key]
        _print(f"{key}: {conf.encode(value) if key == 'description' else value}")
    for variable in section.env:
        _print(f"lxc.environment.runtime: {variable}")
    for key, value in section.raw:
        _print(f"{key}: {value}")


def _print(line: str) -> None:
    sys.stdout.buffer.write(line.encode("utf-8", "surrogateescape") + b"\n")


def _pending(call: Call) -> None:
    """`pct pending`."""
    container = load(call.ctid)
    pending = container.pending
    if pending.raw:
        # as the real one: raw lines are an array, which its own schema refuses
        why = "type check ('string') failed - got ARRAY"
        number = len(container.options) + 1
        raise _bad_result([f"[{number}].pending: {why}"], call.usage())
    delete = change.deletions(pending)
    for key in sorted({*container.options, *pending.options} - {"delete"}):
        current = container.get(key)
        waiting = pending.get(key)
        shown = conf.encode(current or "") if key == "description" else current
        if current is not None:
            _print(f"{'del' if key in delete else 'cur'} {key}: {shown}")
        if waiting is not None and key not in delete:
            shown = conf.encode(waiting) if key == "description" else waiting
            _print(f"new {key}: {shown}")


def _set(call: Call) -> None:
    """`pct set`."""
    values = dict(call.options)
    digest = values.pop("digest", None)
    if not values:
        raise PctError("no options specified", 2)
    lists = {}
    for name in ("delete", "revert"):
        lists[name] = [key for key in re.split(r"[,;\s]+", values.pop(name, "")) if key]
        for key in lists[name]:
            if key in call.options:
                problem = f"you can't use '-{key}' and -{name} {key}' at the same time"
                raise call.refused([f"{name}: {problem}"], 255)
            if schema.option(key) is None:
                raise call.refused([f"{name}: unknown option '{key}'"], 255)
    with locked(call.ctid):
        container = load(call.ctid)
        container.check_lock()
        if digest is not None and digest != container.digest():
            problem = "detected modified configuration - file changed by other user? Try again."
            raise PctError(problem)
        running = call.ctid in node.running()
        problems = change.apply(
            container, values, lists["delete"], lists["revert"], running=running
        )
        lxcconf.update(save(container))
    if problems:
        raise call.refused([f"{key}: {why}" for key, why in problems.items()], 255)


def _listsnapshot(call: Call) -> None:
    """`pct listsnapshot`: a tree, oldest first, `current` below its parent."""
    container = load(call.ctid)
    children: dict[str, list[str]] = {}
    snapshots = container.snapshots
    by_time = sorted(snapshots, key=lambda name: snapshots[name].number("snaptime"))
    for name in by_time:
        parent = container.snapshots[name].get("parent") or ""
        children.setdefault(parent if parent in container.snapshots else "", []).append(name)
    parent = container.get("parent") or ""
    children.setdefault(parent if parent in container.snapshots else "", []).append("current")
    _print_branch(container, children, "", "`->")


def _print_branch(
    container: Conf, children: dict[str, list[str]], parent: str, prefix: str
) -> None:
    for name in children.get(parent, []):
        snapshot = container.snapshots.get(name)
        taken, description = "", "You are here!"
        if snapshot is not None:
            description = (snapshot.get("description") or "no-description").split("\n")[0]
            if stamp := snapshot.number("snaptime"):
                taken = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(stamp))
        width = max(30 - len(prefix), 0)
        _print(f"{prefix} {name:<{width}} {taken:<23} {description}")
        if snapshot is not None:
            _print_branch(container, children, name, f" {prefix}")


def _status(call: Call) -> None:
    """`pct status`."""
    container = load(call.ctid)
    running = call.ctid in node.running()
    if not call.flag("verbose"):
        print(f"status: {'running' if running else 'stopped'}")
        return
    from . import container as runtime

    most, _, swap = lxcconf.memory_limits(container)
    facts: dict[str, object] = {
        "cpus": container.get("cores") or container.get("cpulimit") or os.cpu_count(),
        "lock": container.get("lock"),
        "maxmem": most,
        "maxswap": swap,
        "name": _name(container),
        "status": "running" if running else "stopped",
        "template": container.get("template"),
        "type": "lxc",
        "vmid": call.ctid,
    }
    if running:
        pid = runtime.pid_of_init(call.ctid)
        facts |= {"pid": pid, **runtime.usage(call.ctid, pid)}
    for key in sorted(facts):
        if facts[key] is not None:
            print(f"{key}: {facts[key]}")


def _unlock(call: Call) -> None:
    """`pct unlock`."""
    with locked(call.ctid):
        container = load(call.ctid)
        if not container.options.pop("lock", None):
            raise PctError("no lock found trying to remove any lock")
        save(container)


def _snapshot(call: Call) -> None:
    from . import snapshots

    snapshots.snapshot(call.ctid, call.positional[1], call.options.get("description"))


def _delsnapshot(call: Call) -> None:
    from . import snapshots

    snapshots.delete(*call.positional, force=call.flag("force"))


def _rollback(call: Call) -> None:
    from . import snapshots

    snapshots.roll_back(*call.positional, start=call.flag("start"))


def _create(call: Call) -> None:
    from . import create

    restore = call.command == "restore"
    create.create(call.ctid, call.positional[1], call.options, restore=restore)


def _clone(call: Call) -> None:
    from . import clone

    clone.clone(call.ctid, call.positional[1], call.options)


def _template(call: Call) -> None:
    from . import clone

    clone.template(call.ctid)


def _resize(call: Call) -> None:
    from . import clone

    clone.resize(*call.positional)


def _destroy(call: Call) -> None:
    from . import destroy

    destroy.destroy(
        call.ctid,
        force=call.flag("force"),
        purge=call.flag("purge"),
        unreferenced=call.flag("destroy-unreferenced-disks"),
    )


def _start(call: Call) -> None:
    from . import container  # list, config and set do without

    container.start(call.ctid, debug=call.flag("debug"))


def _stop(call: Call) -> None:
    from . import container

    container.stop(call.ctid)


def _shutdown(call: Call) -> None:
    from . import container

    timeout = int(call.options.get("timeout", "60"))
    container.shutdown(call.ctid, timeout, force=call.flag("forceStop"))


def _reboot(call: Call) -> None:
    from . import container

    container.reboot(call.ctid, int(call.options.get("timeout", "60")))


def _exec(call: Call) -> None:
    from . import container

    container.execute(call.ctid, call.positional[1:], keep_env=call.flag("keep-env", "1"))


def _push(call: Call) -> None:
    _copy(call, "push")


def _pull(call: Call) -> None:
    _copy(call, "pull")


def _copy(call: Call, which: str) -> None:
    from . import container

    owner = container.Owner(*(call.options.get(name) for name in ("perms", "user", "group")))
    getattr(container, which)(*call.positional, owner)


#: Their options are those of a conf, beside a few of their own.
OF_A_CONF = ("create", "restore", "set")
# command: what runs it, its arguments, its own options
COMMANDS = {
    "clone": (_clone, "<vmid> <newid>", CLONE_OPTIONS),
    "config": (_config, "<vmid>", {"current": schema.FLAG, "snapshot": schema.TEXT}),
    "create": (_create, "<vmid> <ostemplate>", CREATE_OPTIONS),
    "delsnapshot": (_delsnapshot, "<vmid> <snapname>", {"force": schema.FLAG}),
    "destroy": (_destroy, "<vmid>", DESTROY_OPTIONS),
    "exec": (_exec, "<vmid> [<extra-args>]", {"keep-env": schema.FLAG}),
    "list": (_list, "", {}),
    "listsnapshot": (_listsnapshot, "<vmid>", {}),
    "pending": (_pending, "<vmid>", {}),
    "pull": (_pull, "<vmid> <path> <destination>", COPY_OPTIONS),
    "push": (_push, "<vmid> <file> <destination>", COPY_OPTIONS),
    "reboot": (_reboot, "<vmid>", {"timeout": DIGITS}),
    "resize": (_resize, "<vmid> <disk> <size>", {"digest": schema.TEXT}),
    "restore": (_create, "<vmid> <ostemplate>", CREATE_OPTIONS),
    "rollback": (_rollback, "<vmid> <snapname>", {"start": schema.FLAG}),
    "set": (_set, "<vmid>", dict.fromkeys(("delete", "revert", "digest"), schema.TEXT)),
    "shutdown": (_shutdown, "<vmid>", {"timeout": DIGITS, "forceStop": schema.FLAG}),
    "snapshot": (_snapshot, "<vmid> <snapname>", {"description": schema.TEXT}),
    "start": (_start, "<vmid>", {"debug": schema.FLAG, "skiplock": schema.FLAG}),
    "status": (_status, "<vmid>", {"verbose": schema.FLAG}),
    "stop": (_stop, "<vmid>", {"skiplock": schema.FLAG}),
    "template": (_template, "<vmid>", {}),
    "unlock": (_unlock, "<vmid>", {}),
}


def main(arguments: list[str]) -> int:
    """Run one command line; the result is the exit code."""
    arguments = [_as_the_locale_reads_it(argument) for argument in arguments]
    if not arguments or arguments[0] not in COMMANDS:
        problem = f"unknown command 'pct {arguments[0]}'" if arguments else "no command specified"
        print(f"ERROR: {problem}\n{USAGE}", end="", file=sys.stderr)
        return 255
    try:
        call = Call(arguments[0], arguments[1:])
        COMMANDS[call.command][0](call)
    except PctError as error:
        return _fail(str(error), error.code)
    except schema.FormatError as error:
        return _fail(error.lines(), 2)
    except OSError as error:
        return _fail(str(error), error.errno or 255)
    except KeyboardInterrupt:
        return 130
    return 0


def _fail(text: str, code: int) -> int:
    sys.stdout.flush()
    sys.stderr.flush()
    sys.stderr.buffer.write(f"{text}\n".encode("utf-8", "surrogateescape"))
    return 255 if code and node.in_task() else code


def _as_the_locale_reads_it(argument: str) -> str:
    """Without a UTF-8 locale each byte beyond ASCII arrives as U+FFFD."""
    names = (os.environ.get(name) for name in ("LC_ALL", "LC_CTYPE", "LANG"))
    locale = next((name for name in names if name), "C")
    if argument.isascii() or re.search(r"utf-?8", locale, re.IGNORECASE):
        return argument
    return "".join("\ufffd" if byte > 126 else chr(byte) for byte in os.fsencode(argument))
