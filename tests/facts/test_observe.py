"""The command of a fact, and what becomes of an answer that is none."""

import json
import random
import shlex
import shutil
import subprocess

import pytest
from pyinfra.api.command import StringCommand
from pyinfra.api.exceptions import FactProcessError

from facts.audit import Denials
from facts.docker import Dockers
from facts.journal import FilesOfRun, Runs
from facts.observe import Observe
from facts.pct import Containers
from facts.program import Asked
from node.observe import SECTIONS

#: Linux takes no longer argument (MAX_ARG_STRLEN).
LONGEST = 128 * 1024


def travels(command):
    """The one argument as which a connector hands it to the node's shell."""
    return shlex.quote(f"sh -c {shlex.quote(StringCommand(command).get_raw_value())}")


def request(containers, paths):
    """What a recipe asks for; hardly anything repeats itself in it."""
    chance = random.Random(containers)
    ctids = [100 + number for number in range(containers)]
    words = [f"{chance.getrandbits(48):x}" for _ in range(containers * paths)]
    return {
        "containers": {},
        "apparmor": {"files": ["lxc-docker-nested", "lxc-phoenix-v2"]},
        "storage": {"paths": [f"/tank/data/{word}" for word in words]},
        "dockers": {"ctids": ctids, "probe": ctids},
        "runs": {"unfinished": True},
        "watch": {},
        "denials": {"since": None, "only": ctids},
    }


def test_of_whatever_fleet_a_command_has_only_what_is_asked_about():
    commands = [
        travels(Observe().command(Asked(request(containers, paths=9)))) for containers in (1, 9000)
    ]
    assert commands[0] == commands[1]
    assert len(commands[0]) < 1000
    asked = Asked(request(containers=9000, paths=9))
    assert str(asked) == "containers,apparmor,storage,dockers,runs,watch,denials"
    assert asked.readlines() == asked.readlines() == [*asked]


def test_a_node_is_asked_about_more_than_an_argument_can_hold(node):
    paths = [f"/tank/{random.Random(number).randbytes(60).hex()}" for number in range(1500)]
    asked = {"storage": {"paths": paths}}
    assert len("".join(Asked(asked).readlines())) > LONGEST
    asked["storage"]["paths"].append("/etc")
    node.has("/etc/fstab", "")
    assert node.see(Observe, asked)["storage"]["paths"] == ["/etc"]


def test_a_node_without_python_says_so_and_takes_what_it_is_sent(node, tmp_path):
    node.tool("systemctl", "exit 1")
    command = StringCommand(Observe().command(Asked(request(1000, 9)))).get_raw_value()
    sh, cat = shutil.which("sh"), shutil.which("cat")
    (tmp_path / "few").mkdir()
    (tmp_path / "few/cat").symlink_to(cat)
    sent = "".join(Asked(request(1000, 9)).readlines())
    with subprocess.Popen(
        [sh, "-c", command],
        env={"PATH": str(tmp_path / "few")},
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as asked:
        # raises BrokenPipeError where nobody takes it
        asked.stdin.write(sent)
        asked.stdin.close()
        assert asked.stderr.read() == "python3 is missing on this node: apt install python3\n"
    assert asked.returncode == 127


def test_a_fact_by_itself_that_is_too_much_for_one_command_is_one_line_that_says_so():
    command = StringCommand(Dockers().command(tuple(range(100, 400_000, 3)))).get_raw_value()
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "too much for one command: ask about fewer at once, or all by facts.observe\n"
    )


def test_all_of_it_is_one_answer(node):
    node.tool("systemctl", "exit 1")
    node.has("/etc/pve/lxc/910.conf", "arch: amd64\n")
    run = "r20261122T013000Z-beef"
    asked = {
        "containers": {},
        "apparmor": {"files": []},
        "storage": {"paths": ["/etc/pve"]},
        "dockers": {"ctids": [910], "probe": []},
        "rules": {"rules": []},
        "runs": {"unfinished": True},
        "run_files": {"run": run, "paths": []},
        "staged": {"run": run, "ctid": 910},
        "denials": {"since": None, "only": []},
        "watch": {},
        "backups": {"listed": False},
        "fallen": {"only": []},
        "hookscripts": {},
        "overrides": {},
        "versions": {},
        "etc_pve": {},
        "stock": {"templates": []},
        "includes": {},
        "cluster": {},
    }
    assert set(asked) == set(SECTIONS)
    answer = node.see_as_sent(Observe, asked)
    assert list(answer) == list(asked)
    assert answer["containers"]["containers"]["910"]["conf"] == "arch: amd64\n"
    assert answer["storage"]["paths"] == ["/etc/pve"]


def test_a_section_that_there_is_not_is_refused(node):
    done = node.verb("observe", request={"containers": {}, "secrets": {}})
    assert (done.returncode, done.stderr) == (2, "")
    assert done.stdout == "observe: no such section: secrets\n"


@pytest.mark.parametrize("output", [[], ["hello"], ['{"containers": {'], ["[1]"], ["{" * 5000]])
def test_an_answer_that_did_not_arrive_whole_is_one_clean_error(output):
    for fact in (Observe, Containers):
        with pytest.raises(FactProcessError, match="did not arrive whole: run again"):
            fact().process(output)


@pytest.mark.parametrize(
    ("fact", "answer"),
    [
        (Containers, {}),
        (Containers, {"containers": {"node": "pve1"}}),
        (Containers, {"containers": None}),
        (Dockers, {"dockers": {"\x1b[2J": {"state": "ok", "text": "", "error": ""}}}),
        (Denials, {"denials": {"source": "", "begins": None, "left": 0, "denials": [[1]]}}),
        (Runs, {"runs": {"runs": {"../..": ""}, "active": [], "problems": []}}),
        (FilesOfRun, {"run_files": []}),
    ],
)
def test_an_answer_that_is_not_understood_is_one_clean_line(fact, answer):
    with pytest.raises(FactProcessError, match="the node's answer is not understood, ") as caught:
        fact().process([json.dumps(answer)])
    assert str(caught.value).isprintable()


def test_a_run_that_is_none_is_refused_before_anybody_is_asked():
    with pytest.raises(ValueError, match="is not the id of a run"):
        FilesOfRun().command("../../etc")
