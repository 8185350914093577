"""`phoenix denials` against nodes that a program in ssh's place plays."""

import base64
import json
import os
import re
import signal
import subprocess
import sys
import zlib
from pathlib import Path

import pytest

from phoenix.cli import main as cli

ROOT = Path(__file__).parents[2]
AT = 1795307262.25
TEXT = (
    'apparmor="DENIED" operation="open" class="file" profile="lxc-docker-nested" name="{}" '
    'comm="dd" requested_mask="r" denied_mask="r" fsuid=100000 ouid=0'
)
#: `observe` is answered from HOST.json, every other verb with HOST.1, HOST.2, ... in turn: its
#: lines, then its exit code once stdin has ended, or at once where the file says so.
SSH = """#!/bin/sh
for last; do :; done
while [ "$1" != -- ]; do shift; done
host=${2#*@}
cd %s
case $last in
*" observe "*)
    read program; read request; echo "$request" >>$host.observed
    cat $host.json || { echo "ssh: connect to host $host: No route to host" >&2; exit 255; } ;;
*)
    read program; read request; echo "$request" >>$host.asked
    turn=$(wc -l <$host.asked)
    cat $host.$turn
    [ -e $host.$turn.breaks ] && { echo "Connection closed by $host" >&2; exit 255; }
    cat >/dev/null ;;
esac
"""

#: Whoever runs us in the background may have SIGINT ignored, and children inherit that.
INTERRUPTIBLE = ("env", "--default-signal=INT")


class Nodes:
    """What the nodes say, and what they were asked."""

    def __init__(self, folder):
        self.folder = folder

    def says(self, name, denials=(), ctids=(910,), source="audit.log"):
        one = dict.fromkeys(("pid", "label", "ha", "started", "live", "ours"))
        one |= {"label": "lxc-docker-nested (enforce)", "running": True, "pid": 1, "started": 100}
        confs = {str(ctid): one | {"conf": f"hostname: ct{ctid}\n"} for ctid in ctids}
        none = {"elsewhere": {}, "problems": [], "wanted": None}
        answer = {
            "containers": {"node": name, "containers": confs, **none},
            "denials": {"source": source, "begins": None, "left": 0, "denials": [*denials]},
        }
        (self.folder / f"{name}.json").write_text(json.dumps(answer))

    def streams(self, name, turn, *events, breaks=False):
        lines = "".join(f"{json.dumps(event)}\n" for event in events)
        (self.folder / f"{name}.{turn}").write_text(f"Welcome to {name}\n{lines}")
        if breaks:
            (self.folder / f"{name}.{turn}.breaks").touch()

    def asked(self, name, how="asked"):
        lines = (self.folder / f"{name}.{how}").read_text().splitlines()
        return [json.loads(zlib.decompress(base64.b64decode(line))) for line in lines]


@pytest.fixture
def nodes(tmp_path, monkeypatch):
    ssh = tmp_path / "bin" / "ssh"
    ssh.parent.mkdir()
    ssh.write_text(SSH % tmp_path)
    ssh.chmod(0o755)
    monkeypatch.setenv("PATH", f"{ssh.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("PHOENIX_NODES", "root@pve1")
    # there is no lab for who has no node
    monkeypatch.setattr("phoenix.cli.nodes._CHECKOUT", tmp_path)
    return Nodes(tmp_path)


def run(capsys, *argv):
    status = cli.main(["denials", *argv])
    return (status, *capsys.readouterr())


def denial(name="/srv/a", at=AT, serial=7):
    owner, text = [910, "3f" * 32, "web"], TEXT.format(name)
    event = {"event": "denial", "at": at, "serial": serial, "text": text, "pid": 1}
    return {**event, "owner": owner, "count": 1, "sharing": [910]}


SOURCE = {"event": "source", "source": "audit.log", "missing": ""}
LINE = (
    "2026-11-22 00:27:42Z pve1: CT 910 ct910: denied: read /srv/a by dd in container web under "
    "lxc-docker-nested: if its software needs that: `/srv/a r,` in profiles.d/910.rules, which "
    "phoenix learn proposes\n"
)


class Following:
    """`phoenix denials --follow` as a process."""

    def __init__(self, *argv, **streams):
        command = [
            *INTERRUPTIBLE,
            sys.executable,
            "-m",
            "phoenix.cli.main",
            "denials",
            "--follow",
            *argv,
        ]
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **streams}
        self.process = subprocess.Popen(command, cwd=ROOT, text=True, **streams)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with self.process:
            self.process.kill()

    def line(self):
        return self.process.stdout.readline()

    def says(self):
        return self.process.stderr.readline()

    def stop(self):
        self.process.send_signal(signal.SIGINT)
        out, errors = self.process.communicate(timeout=60)
        assert "Traceback" not in errors
        return self.process.returncode, out, errors


def test_all_nodes_are_asked_and_told_in_the_audits_words(nodes, capsys, monkeypatch):
    monkeypatch.setenv("PHOENIX_NODES", "root@pve1,root@pve2")
    nodes.says("pve1", [[3, AT, TEXT.format("/srv/a")]])
    nodes.says("pve2")
    status, out, errors = run(capsys)
    assert (status, errors) == (0, "")
    assert out == (
        "pve1: denied since each container's start (audit.log):\n"
        "  CT 910 ct910: 3x read /srv/a by dd under lxc-docker-nested, last 2026-11-22 00:27:42Z: "
        "if its software needs that: `/srv/a r,` in profiles.d/910.rules, which phoenix learn "
        "proposes\n"
        "pve2: nothing was denied since each container's start (audit.log)\n"
    )


def test_a_node_is_asked_for_what_is_wanted_of_it(nodes, capsys):
    nodes.says("pve1", ctids=(910, 952))
    assert run(capsys, "952", "910", "--since", "2h")[0] == 0
    assert nodes.asked("pve1", "observed") == [
        {"containers": {}, "denials": {"since": [-7200], "only": [952, 910]}}
    ]


def test_nodes_that_are_named_count_instead_of_the_variable(nodes, capsys):
    nodes.says("pve3")
    status, out, _ = run(capsys, "--node", "root@pve3")
    assert (status, out.startswith("pve3: nothing was denied")) == (0, True)


def test_a_node_out_of_reach_is_told_and_the_others_are_shown(nodes, capsys):
    nodes.says("pve1")
    status, out, errors = run(capsys, "--node", "root@pve1", "--node", "root@pve2")
    assert status == 1
    assert out.startswith("pve1: nothing was denied")
    assert errors == (
        "pve2: ssh: connect to host pve2: No route to host: see whether this works: ssh root@pve2\n"
    )


def test_a_container_that_no_node_has_is_told(nodes, capsys):
    nodes.says("pve1")
    status, _, errors = run(capsys, "999")
    words = "CT 999: not on pve1: name its node with --node\n"
    assert (status, errors) == (1, words)


def test_one_that_is_elsewhere_in_the_cluster_is_told_with_its_node(nodes, capsys):
    nodes.says("pve1")
    answer = json.loads((nodes.folder / "pve1.json").read_text())
    answer["containers"]["elsewhere"] = {"999": "pve2"}
    (nodes.folder / "pve1.json").write_text(f"{json.dumps(answer)}\n")
    status, _, errors = run(capsys, "999")
    assert (status, errors) == (1, "CT 999: it is on pve2: name that with --node\n")


def test_json_has_the_same_and_the_problems(nodes, capsys):
    nodes.says("pve1", [[3, AT, TEXT.format("/srv/a")]])
    status, out, errors = run(capsys, "--json", "--node", "root@pve1", "--node", "root@pve2")
    data = json.loads(out)
    assert status == 1
    assert [problem in errors for problem in data["problems"]] == [True]
    (node,) = data["nodes"]
    assert (node["node"], node["log"]) == ("pve1", "audit.log")
    (one,) = node["denials"]
    assert (one["ctids"], one["count"], one["what"]) == ([910], 3, "read /srv/a")


def test_an_answer_that_is_not_understood_is_no_traceback(nodes, capsys):
    (nodes.folder / "pve1.json").write_text('{"containers": {}}\n')
    status, _, errors = run(capsys)
    assert (status, errors) == (1, "pve1: its answer is not understood: KeyError 'node'\n")


def test_without_a_node_it_is_said_what_to_do(nodes, capsys, monkeypatch):
    monkeypatch.setenv("PHOENIX_NODES", "")
    status, _, errors = run(capsys)
    assert (status, errors.startswith("no node: give --node root@pve1")) == (1, True)


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["99"], "argument CTID: "),
        (["--since", "2099-01-01"], "argument --since: 2099-01-01 is still to come"),
        (["--since", "yesterday"], "argument --since: write 45m, 2h, 3d or 1w, or a time like"),
        (["--sinc=2h"], "unrecognized arguments: --sinc"),
    ],
)
def test_a_wrong_command_line_is_told_in_a_line(nodes, capsys, argv, says):
    with pytest.raises(SystemExit) as caught:
        cli.main(["denials", *argv])
    assert caught.value.code == 2
    assert says in capsys.readouterr().err


def test_following_tells_each_new_kind_and_ends_with_a_summary(nodes):
    nodes.says("pve1")
    nodes.streams("pve1", 1, SOURCE, denial())
    with Following() as following:
        assert following.line() == LINE
        code, out, errors = following.stop()
    assert code == 130
    assert errors == "pve1: follows audit.log\n"
    assert "pve1: denied since " in out
    assert "  CT 910 ct910: 1x read /srv/a by dd in container web under lxc-docker-nested" in out


def test_several_nodes_are_followed_at_once(nodes):
    for name in ("pve1", "pve2"):
        nodes.says(name)
        nodes.streams(name, 1, SOURCE, denial())
    with Following("--node", "root@pve1", "--node", "root@pve2") as following:
        lines = sorted([following.line(), following.line()])
        assert lines == [LINE, LINE.replace("pve1", "pve2")]


def test_a_line_that_breaks_is_made_again_where_it_was(nodes):
    nodes.says("pve1")
    nodes.streams("pve1", 1, SOURCE, denial(), breaks=True)
    nodes.streams("pve1", 2, SOURCE, denial("/srv/b", AT + 5, 9))
    with Following() as following:
        assert following.line() == LINE
        assert "read /srv/b" in following.line()
        code, out, errors = following.stop()
    assert code == 130
    assert [one["after"] for one in nodes.asked("pve1")] == [None, [AT, 7]]
    *before, last = errors.splitlines()
    assert before == [
        "pve1: follows audit.log",
        "pve1: Connection closed by pve1: see whether this works: ssh root@pve1; trying again "
        "until it answers",
    ]
    # a busy machine takes longer
    assert re.fullmatch(r"pve1: connected again after \d+ s: it goes on where it was", last)
    assert out.count("1x read /srv/") == 2


def test_a_node_that_is_down_is_followed_once_it_is_up(nodes):
    nodes.streams("pve1", 1, SOURCE, denial())
    with Following() as following:
        assert "No route to host" in following.says()
        nodes.says("pve1")
        assert following.line() == LINE


def test_with_since_what_the_log_has_comes_first(nodes):
    nodes.says("pve1")
    nodes.streams("pve1", 1, SOURCE, denial())
    with Following("910", "--since", "2026-11-22T00:00:00Z") as following:
        following.line()
        _, out, _ = following.stop()
    assert nodes.asked("pve1") == [{"only": [910], "after": [1795305600, 0]}]
    assert "pve1: denied since 2026-11-22 00:00:00Z" in out


def test_following_as_json_is_an_object_a_line(nodes):
    nodes.says("pve1")
    nodes.streams("pve1", 1, SOURCE, denial())
    with Following("--json") as following:
        events = [json.loads(following.line())["event"] for _ in range(2)]
        assert events == ["source", "denial"]
        _, out, errors = following.stop()
    summary = json.loads(out)
    assert (summary["event"], errors) == ("summary", "")
    assert summary["nodes"][0]["denials"][0]["what"] == "read /srv/a"


def test_a_pipe_that_closes_ends_it_without_a_word(nodes):
    nodes.says("pve1")
    nodes.streams("pve1", 1, denial())
    with Following() as following:
        following.line()
        following.process.stdout.close()
        # nothing more is denied, and it ends all the same
        assert following.process.wait(60) == 141
        assert following.process.stderr.read() == ""


def test_ctrl_c_while_nodes_are_asked_is_no_traceback(nodes):
    os.mkfifo(nodes.folder / "pve1.json")
    command = [*INTERRUPTIBLE, sys.executable, "-m", "phoenix.cli.main", "denials"]
    process = subprocess.Popen(
        command, cwd=ROOT, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    with (nodes.folder / "pve1.json").open("w"):
        # as a terminal does it: to all of them
        os.killpg(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (130, "interrupted\n")
