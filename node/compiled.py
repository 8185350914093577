"""The program with its modules compiled by this node's Python: each call of it begins at once.

As it is sent, all that a verb needs is compiled each time, which takes a slow node seconds.
"""

from __future__ import annotations

import importlib.util
import io
import marshal
import zipfile

from node.files import digest


def with_code(program: bytes, path: str) -> bytes:
    """The zip of a program with its code beside its sources; `path`: where it shall lie.

    The code is not checked against the sources, which nobody changes where it lies (PEP 552);
    another Python than the one that it was made by passes over it (`zipimport`). Raises BadZipFile.
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(program)) as sent, zipfile.ZipFile(buffer, "w") as laid:
        names = [name for name in sent.namelist() if not name.endswith(".pyc")]
        for name in names:
            _add(laid, name, sent.read(name))
        for name in names:
            if name.endswith(".py"):
                _add(laid, f"{name}c", _code(sent.read(name), f"{path}/{name}"))
        laid.comment = _mark(program)
    return buffer.getvalue()


def is_of(laid: bytes, program: bytes) -> bool:
    """Whether that is what `with_code` has made of this program, whole."""
    return laid.endswith(_mark(program))


def _mark(program: bytes) -> bytes:
    # compiled twice, the same source need not give the same bytes
    return digest(program).encode()


def _add(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)


def _code(source: bytes, name: str) -> bytes:
    unchecked = (1).to_bytes(4, "little")
    code = marshal.dumps(compile(source, name, "exec", dont_inherit=True))
    return importlib.util.MAGIC_NUMBER + unchecked + importlib.util.source_hash(source) + code
