"""The program as it travels to a node: packed here, unpacked there in memory.

The modules of `phoenix` that are packed with it are those that both sides share; they keep to the
standard library of Python 3.9, as everything in `node` does.
"""

from __future__ import annotations

import base64
import io
import json
import re
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from node.observe import SECTIONS
from phoenix.docker.names import PROBES

_TOP = Path(__file__).parents[1]

#: The modules of `phoenix` that the node's program shares.
SHARED = (
    *("__init__", "apparmor/__init__", "docker/__init__", "pve/__init__", "runs/__init__"),
    *("text/__init__", "apparmor/audit_line", "apparmor/observed"),
    *("docker/daemon_json", "docker/names", "text/json_document"),
    *("pve/application", "pve/bind_sources", "pve/conf", "pve/ha", "pve/health", "pve/hooks"),
    "pve/keys",
    "pve/values",
    *("runs/journal", "runs/outcome", "runs/record", "text/printable"),
)

#: What reads the program from the first line of stdin and runs it, a zip or `node.sent`; no file is
#: written. Whatever is started from it does not get the descriptor.
BOOT = """\
import binascii,os,sys,zlib
if sys.version_info<(3,9):sys.exit("phoenix-harden needs Python 3.9 on the node")
p=zlib.decompress(binascii.a2b_base64(sys.stdin.buffer.readline()))
if p[:2]==b"PK":
 m=os.memfd_create("phoenix-harden")
 os.write(m,p)
 sys.path.insert(0,"/proc/self/fd/"+str(m))
else:exec(p)
from node.main import main
sys.exit(main(sys.argv[1:]))
"""

#: What the watch needs of `node` and of `phoenix`: it shall not change with every version.
_WATCH = (
    *("__init__", "bounded", "containers", "files", "kernel", "refusal", "root", "say", "watch"),
)
_WATCH_SHARED = (
    *("__init__", "apparmor/__init__", "pve/__init__", "text/__init__"),
    *("apparmor/observed", "pve/conf", "pve/keys", "pve/values", "text/printable"),
)

_WATCH_SCRIPT = """\
#!/usr/bin/python3 -I
# Managed by phoenix-harden: host_prep --data watch=false removes it.
# Its sources, as a zip: {names}
import base64,os,sys,zlib
if sys.version_info<(3,9):sys.exit("phoenix-harden needs Python 3.9 on the node")
m=os.memfd_create("phoenix-harden")
os.write(m,base64.b64decode('''
{data}'''))
sys.path.insert(0,"/proc/self/fd/"+str(m))
from node.watch import main
sys.exit(main([]))
"""

_IMPORT = re.compile(r"^ *from ((?:node|phoenix)[.\w]*) import (.+)$", re.MULTILINE)

_SCRIPT = re.compile(r'\bscript\("([a-z-]+)"\)')

_COMMENT = re.compile(rb"^ *#(?!!).*\n", re.MULTILINE)

_MAIN = "import sys\nfrom node.main import main\nsys.exit(main(sys.argv[1:]))\n"


@cache
def program() -> bytes:
    """The program as a zip that Python runs; the same bytes for the same sources."""
    return _zip(_files(), zipfile.ZIP_DEFLATED)


@cache
def watch_script() -> str:
    """The watch as the one file that is installed on a node: a text, as every file of ours there.

    Not compressed: the same bytes on every operator's machine, whatever its zlib.
    """
    files = [
        *((f"node/{name}.py", _TOP / "node" / f"{name}.py") for name in _WATCH),
        *((f"phoenix/{name}.py", _TOP / "phoenix" / f"{name}.py") for name in _WATCH_SHARED),
    ]
    data = _zip(((name, path.read_bytes()) for name, path in files), zipfile.ZIP_STORED)
    names = ", ".join(name for name, _ in files)
    return _WATCH_SCRIPT.format(names=names, data=base64.encodebytes(data).decode())


def stdin(request: Any = None, observes: bool = False) -> str:
    """What `BOOT` reads: the program, and what the verb is asked, each in a line of base64.

    `observes`: the verb is `observe`; only what the sections that are asked for need is sent then.
    """
    sent = _sent(tuple(sorted(request)) if observes else None)
    asked = zlib.compress(json.dumps(request).encode(), 9)
    return "".join(f"{base64.b64encode(part).decode()}\n" for part in (sent, asked))


@cache
def _sent(sections: tuple[str, ...] | None) -> bytes:
    """The program as it is sent: compressed as one; a command may have 128 KiB and no more.

    `sections`: those of `observe` that are asked for, None for all verbs.
    """
    if sections is None:
        return zlib.compress(_zip(_files(), zipfile.ZIP_STORED), 9)
    files = observing(sections)
    arrives = (_TOP / "node/sent.py").read_bytes()
    return zlib.compress(b"%s\narrive(%s)\n" % (arrives, repr(files).encode("ascii")), 9)


def observing(sections: Iterable[str]) -> dict[str, bytes]:
    """The files that the verb `observe` needs for these sections."""
    modules = (SECTIONS[one][0] for one in sections if one in SECTIONS)
    needed = _needed("main", "observe", *modules)
    every = {f"node/{path.name}" for path in (_TOP / "node").glob("*.py")} | {"__main__.py"}
    every |= {f"phoenix/{name}.py" for name in SHARED if not name.endswith("__init__")}
    every |= {name for name, _ in _data()}
    return {name: data for name, data in _files() if name not in every - needed}


def _needed(*modules: str) -> set[str]:
    """The files of these modules of `node` and of all that they import, those of `phoenix` too.

    And the scripts that they have run in guests.
    """
    found: set[str] = set()
    left = ["node/__init__.py", *(f"node/{name}.py" for name in modules)]
    while left:
        name = left.pop()
        if name not in found and (_TOP / name).exists():
            found.add(name)
            source = (_TOP / name).read_text()
            found |= {f"node/data/{script}.sh" for script in _SCRIPT.findall(source)}
            for module, names in _IMPORT.findall(source):
                path = module.replace(".", "/")
                left += [f"{path}.py", *(f"{path}/{one}.py" for one in names.split(", "))]
    return found


def _zip(files: Iterable[tuple[str, bytes]], how: int) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in files:
            entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            archive.writestr(entry, data, how, 9 if how == zipfile.ZIP_DEFLATED else None)
    return buffer.getvalue()


def _files() -> Iterator[tuple[str, bytes]]:
    yield "__main__.py", _MAIN.encode()
    for path in sorted((_TOP / "node").glob("*.py")):
        if path.name not in ("pack.py", "sent.py"):
            yield f"node/{path.name}", path.read_bytes()
    for name in SHARED:
        yield f"phoenix/{name}.py", (_TOP / "phoenix" / f"{name}.py").read_bytes()
    yield from _data()


def _data() -> Iterator[tuple[str, bytes]]:
    for path in sorted((_TOP / "templates/guest").iterdir()):
        # lines for people do not travel: a command has room for 128 KiB
        yield f"node/data/{path.name}", _COMMENT.sub(b"", path.read_bytes())
    for name in PROBES:
        path = _TOP / f"templates/probe/probe-{name}"
        yield f"node/data/{path.name}", path.read_bytes()
