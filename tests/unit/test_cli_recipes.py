"""`phoenix harden` and the like: the command line of pyinfra that each becomes, or why not."""

import os
import sys
from pathlib import Path

import pytest

from phoenix.cli import main as cli
from phoenix.plan.options import KEYS, PATHS

ROOT = Path(__file__).parents[2]


class Exec(SystemExit):
    """What the process becomes."""

    def __init__(self, program, words, environment):
        super().__init__(0)
        self.program, self.words, self.environment = program, words, environment
        self.folder = Path.cwd()

    @property
    def data(self):
        given = [word.removeprefix("--data=") for word in self.words if word.startswith("--data=")]
        return dict(one.split("=", 1) for one in given)

    @property
    def nodes(self):
        return [self.environment.get(name) for name in ("PHOENIX_NODES", "PHOENIX_CLUSTER")]


@pytest.fixture
def here(tmp_path, monkeypatch):
    """The folder of an operator, with a fleet file."""
    monkeypatch.chdir(tmp_path)
    for name in ("PHOENIX_NODES", "PHOENIX_CLUSTER"):
        monkeypatch.delenv(name, raising=False)

    def become(*words):
        process = Exec(*words)
        monkeypatch.chdir(tmp_path)
        raise process

    monkeypatch.setattr(os, "execve", become)
    (tmp_path / "phoenix_lxc_configs.json").write_text("{}")
    return tmp_path


def becomes(*argv):
    with pytest.raises(Exec) as caught:
        cli.main([*argv])
    return caught.value


def refused(capsys, *argv):
    """The line that says why; nothing has been run."""
    with pytest.raises(SystemExit) as caught:
        cli.main([*argv])
    assert not isinstance(caught.value, Exec)
    assert caught.value.code == 2
    return capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize("name", ["doctor", "harden", "audit", "create", "rollback", "host-prep"])
def test_each_recipe_is_run_by_pyinfra_in_the_folder_where_it_lies(here, name):
    run = becomes(name, "root@pve1", "--dry")
    assert (run.program, run.words[:3]) == (sys.executable, [sys.executable, "-m", "pyinfra"])
    assert run.folder == ROOT
    recipe = f"deploys/{name.replace('-', '_')}.py"
    assert (ROOT / recipe).is_file()
    assert run.words[run.words.index("inventory.py") + 1] == recipe
    assert "--dry" in run.words


def test_pyinfras_flags_are_its_own_and_none_is_given_unasked(here):
    assert becomes("harden").words[3:5] == ["inventory.py", "deploys/harden.py"]
    run = becomes("harden", "--dry", "-y", "--json", "-vv")
    assert {*run.words[3 : run.words.index("inventory.py")]} == {"--dry", "--yes", "--json", "-vv"}


@pytest.mark.parametrize("name", ["audit", "doctor"])
def test_what_changes_nothing_asks_nothing(here, name):
    assert "--yes" in becomes(name).words


def test_a_first_look_reads_a_fleet_file_only_if_it_is_named(here, capsys):
    assert becomes("doctor").data == {}
    run = becomes("doctor", "--fleet", "phoenix_lxc_configs.json")
    assert run.data == {"fleet": f"{here}/phoenix_lxc_configs.json"}
    assert "no file other.json" in refused(capsys, "doctor", "--fleet", "other.json")


def test_nodes_that_are_named_are_the_nodes(here, monkeypatch):
    assert becomes("harden", "root@pve1", "pve2").nodes == ["root@pve1,pve2", None]
    assert becomes("harden", "@local").nodes == ["@local", None]
    assert becomes("harden", "--cluster", "root@pve1").nodes == [None, "root@pve1"]
    monkeypatch.setenv("PHOENIX_CLUSTER", "root@pve8")
    assert becomes("harden").nodes == [None, "root@pve8"]
    assert becomes("harden", "root@pve1").nodes == ["root@pve1", None]
    monkeypatch.delenv("PHOENIX_CLUSTER")
    monkeypatch.setenv("PHOENIX_NODES", "root@pve9")
    assert becomes("harden").nodes == ["root@pve9", None]
    assert becomes("harden", "--cluster", "root@pve1").nodes == [None, "root@pve1"]


@pytest.mark.parametrize(
    "node", ["-oProxyCommand=x", "a,b", "a b", "root@pve1:22", "", "$(id)", "é"]
)
def test_what_is_no_name_for_ssh_is_refused_before_anything_runs(here, capsys, node):
    assert "no node's name" in refused(capsys, "harden", "root@pve1", "--", node)
    assert "argument --cluster" in refused(capsys, "harden", f"--cluster={node}")


def test_a_node_that_looks_like_an_option_is_refused(here, capsys):
    assert "-oProxyCommand=x" in refused(capsys, "harden", "-oProxyCommand=x")
    assert "no node's name" in refused(capsys, "harden", "--cluster=@local")


def test_nodes_and_a_cluster_at_once_are_refused(here, capsys):
    assert "--cluster: not allowed with NODE" in refused(
        capsys, "harden", "root@pve1", "--cluster", "root@pve2"
    )


def test_a_relative_path_is_one_from_where_the_operator_is(here):
    (here / "fleets").mkdir()
    (here / "fleets/a.json").write_text("{}")
    run = becomes("harden", "--fleet", "fleets/a.json", "--data", "report=out", "--data=plan=/p")
    assert run.data == {
        "fleet": f"{here}/fleets/a.json",
        "report": f"{here}/out",
        "plan": "/p",
    }


def test_the_keys_that_are_paths_are_those_that_name_files_and_folders():
    assert {"fleet", "profiles", "backup", "plan", "report", "write"} == PATHS


def test_a_link_to_a_fleet_file_stays_one_for_the_overlays_beside_it(here):
    (here / "link.json").symlink_to("phoenix_lxc_configs.json")
    assert becomes("harden", "--fleet", "link.json").data["fleet"] == f"{here}/link.json"


def test_without_a_name_the_fleet_file_is_that_of_this_folder_never_the_labs(here, capsys):
    assert becomes("harden").data == {"fleet": f"{here}/phoenix_lxc_configs.json"}
    (here / "phoenix_lxc_configs.json").unlink()
    assert refused(capsys, "harden").endswith(
        "no phoenix_lxc_configs.json in this folder: name the fleet file with --fleet FILE"
    )
    assert "no file a.json" in refused(capsys, "harden", "--fleet", "a.json")


def test_a_fleet_file_that_cannot_be_looked_for_is_told_with_the_reason(here, capsys):
    name = "x" * 300
    said = refused(capsys, "harden", "--fleet", name)
    assert said.startswith("phoenix harden: error: cannot read the fleet file xxx")
    assert said.endswith(": File name too long")


def test_a_rollback_needs_no_fleet_file(here):
    (here / "phoenix_lxc_configs.json").unlink()
    assert becomes("rollback", "--data", "run=x").data == {"run": "x"}


def test_containers_are_named_by_an_option_or_by_a_key(here, capsys):
    assert becomes("rollback", "--only", "910,953").data == {"only": "910,953"}
    assert "only is given twice" in refused(capsys, "rollback", "--only=1", "--data=only=2")


@pytest.mark.parametrize("key", ["strict", "ssh_strict_host_key_checking", "ssh_hostname"])
def test_a_key_that_the_recipe_does_not_take_is_refused_before_anything_runs(here, capsys, key):
    assert f"--data {key}: " in refused(capsys, "harden", f"--data={key}=no")


@pytest.mark.parametrize("pair", ["report", "=x", ""])
def test_data_that_is_no_pair_is_refused(here, capsys, pair):
    assert "write KEY=VALUE" in refused(capsys, "audit", f"--data={pair}")


def test_a_value_may_have_anything_in_it(here):
    assert becomes("audit", "--data", "accept=a=b --dry").data["accept"] == "a=b --dry"


def test_what_would_have_python_find_other_modules_is_not_handed_on(here, monkeypatch):
    for name in ("VIRTUAL_ENV", "PYTHONSAFEPATH"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("SSH_AUTH_SOCK", "s")
    environment = becomes("harden").environment
    assert environment["SSH_AUTH_SOCK"] == "s"
    assert not {"VIRTUAL_ENV", "PYTHONSAFEPATH"} & {*environment}


@pytest.mark.parametrize("name", ["doctor", "harden", "audit", "create", "rollback", "host-prep"])
def test_the_help_names_every_key(here, capsys, name):
    with pytest.raises(SystemExit) as caught:
        cli.main([name, "--help"])
    assert caught.value.code == 0
    said = " ".join(capsys.readouterr().out.split())
    assert f"Keys of --data: {', '.join(KEYS[name.replace('-', '_')])}." in said


def test_the_version_is_that_of_the_installation(capsys, monkeypatch):
    monkeypatch.setattr("importlib.metadata.version", {"phoenix-harden": "7.0"}.__getitem__)
    with pytest.raises(SystemExit) as caught:
        cli.main(["--version"])
    assert (caught.value.code, capsys.readouterr().out) == (0, "phoenix-harden 7.0\n")
