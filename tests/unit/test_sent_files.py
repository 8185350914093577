"""node/sent.py: modules out of files in memory."""

import ast
import base64
import subprocess
import sys
import traceback
import zlib
from pkgutil import get_data

import pytest

from node import pack
from node.sent import Files, arrive

FILES = {
    "sentabc/__init__.py": b'"""A package."""\n',
    "sentabc/one.py": b"from sentabc.below import two\nVALUE = two.VALUE + 1\n",
    "sentabc/below/__init__.py": b"",
    "sentabc/below/two.py": b"VALUE = 41\n\ndef fail():\n    raise KeyError('here')\n",
    "sentabc/data/x.sh": b"echo \xff\n",
}


@pytest.fixture
def arrived(monkeypatch):
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path])
    arrive(FILES)
    yield
    for name in [name for name in sys.modules if name.split(".")[0] == "sentabc"]:
        del sys.modules[name]


@pytest.mark.usefixtures("arrived")
def test_modules_and_what_lies_beside_them_are_found():
    from sentabc import one

    assert one.VALUE == 42
    assert get_data("sentabc", "data/x.sh") == b"echo \xff\n"
    with pytest.raises(FileNotFoundError):
        get_data("sentabc", "data/y.sh")


@pytest.mark.usefixtures("arrived")
def test_what_is_not_there_is_no_module_and_what_python_brings_is_found():
    with pytest.raises(ModuleNotFoundError):
        import sentabc.three  # noqa: F401
    assert Files(FILES).find_spec("json") is None


@pytest.mark.usefixtures("arrived")
def test_a_traceback_has_the_lines():
    from sentabc.below import two

    with pytest.raises(KeyError) as caught:
        two.fail()
    last = traceback.extract_tb(caught.value.__traceback__)[-1]
    assert (last.filename, last.line) == ("sentabc/below/two.py", "raise KeyError('here')")


def test_only_what_the_sections_need_is_sent_and_python_itself_reads_it():
    files = pack.observing(["etc_pve"])
    assert {"node/main.py", "node/observe.py", "node/etc_pve.py"} <= files.keys()
    assert not {"node/commit.py", "node/dockers.py", "node/data/docker.sh"} & files.keys()
    sent = pack.stdin({"etc_pve": {}}, observes=True).splitlines()[0]
    source = zlib.decompress(base64.b64decode(sent))
    call = source.decode().rpartition("\narrive(")[2].removesuffix(")\n")
    assert ast.literal_eval(call) == files


def test_a_program_that_did_not_arrive_whole_runs_nothing():
    cut = pack.stdin({"etc_pve": {}}, observes=True).splitlines()[0][:2000]
    words = [sys.executable, "-I", "-c", pack.BOOT, "observe", "etc_pve"]
    done = subprocess.run(words, input=f"{cut}\n", capture_output=True, text=True)
    assert done.returncode != 0
    assert done.stdout == ""
