"""`phoenix learn`: what it asks, shows and writes, with nodes whose answers are files."""

from __future__ import annotations

import base64
import json
import os
import zlib

import pytest
from learn_cases import NAME, OWN, file, mount, seen
from plan_cases import CONF, DOCKER

from phoenix.cli import main as cli
from phoenix.fleet.parse import parse_fleet
from phoenix.plan.learning import profile_names

ENTRY = {**DOCKER, "apparmor_own": True}
APPARMOR = {
    "enabled": True,
    "parser": [4, 1, 0],
    "abis": ["4.0"],
    "loaded": {},
    "files": {},
    "tunables_error": "",
    "hook": None,
    "reads_global_d": True,
    "stale": [],
}
BIND = mount("/b/", "/a/", "rw, bind", count=3)


def line(denial):
    """A kind of refusal as the node sends it."""
    verdict = "ALLOWED" if denial.complain else "DENIED"
    words = [
        f'{key}="{value}"' for key, value in denial.fields.items() if key not in ("msg", "type")
    ]
    return [denial.count, denial.last, f'apparmor="{verdict}" {" ".join(words)}']


def answer(*denials, containers=None, files=None, **log):
    """What a node says."""
    labels = {910: OWN} if containers is None else containers
    found = {
        str(ctid): {
            "conf": CONF.replace("unconfined", label, 1),
            "running": True,
            "pid": ctid,
            "started": 1795304000,
            "label": f"{label} (complain)",
            "ha": None,
            "live": None,
            "ours": None,
        }
        for ctid, label in labels.items()
    }
    about = {"node": "pve1", "containers": found, "elsewhere": {}, "problems": [], "wanted": None}
    seen = {"source": "audit.log", "begins": None, "left": 0, "denials": [*map(line, denials)]}
    return {
        "containers": about,
        "apparmor": {**APPARMOR, "files": files or {}},
        "denials": {**seen, **log},
    }


@pytest.fixture
def fleet(tmp_path):
    path = tmp_path / "fleet.json"
    path.write_text(json.dumps({"lxc_configs": {"910": ENTRY}}))
    return path


@pytest.fixture
def learn(tmp_path, monkeypatch, capsys, fleet):
    """Run the command against nodes: name to answer, or to a script in ssh's place."""
    programs = tmp_path / "bin"
    programs.mkdir()
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.delenv("PHOENIX_NODES", raising=False)

    def run(*words, **nodes):
        script = '#!/bin/sh\nwhile [ "$1" != -- ]; do shift; done\n. "$(dirname "$0")/${2#root@}"\n'
        (programs / "ssh").write_text(script)
        (programs / "ssh").chmod(0o755)
        for name, said in nodes.items():
            said = said if isinstance(said, str) else f"cat <<'EOT'\n{json.dumps(said)}\nEOT\n"
            (programs / name).write_text(f"cat >{programs}/asked.{name}\n{said}")
        asked = [text for name in nodes for text in ("--node", f"root@{name}")]
        status = cli.main(["learn", "910", "--fleet", str(fleet), *asked, *words])
        return (status, *capsys.readouterr())

    def asked(name):
        _, request = (programs / f"asked.{name}").read_text().splitlines()
        return json.loads(zlib.decompress(base64.b64decode(request)))

    run.asked = asked
    run.file = tmp_path / "profiles.d/910.rules"
    return run


def test_it_shows_a_diff_and_writes_nothing(learn):
    status, out, err = learn(pve1=answer(BIND))
    assert (status, err) == (
        0,
        "new rules: 1; --write writes them for review, harden applies them\n",
    )
    assert out.startswith("--- profiles.d/910.rules\n+++ profiles.d/910.rules\n@@ -0,0 +1,7 @@\n")
    assert "\n+# seen 3x, last 2026-11-22 00:01 UTC, by app\n" in out
    assert out.endswith("\n+mount options=(rw,bind) /a/ -> /b/,\n")
    assert not learn.file.parent.exists()


def test_write_writes_it_once_and_for_review(learn):
    status, out, err = learn("--write", pve1=answer(BIND))
    assert status == 0
    assert f"written: {learn.file}; review it" in err
    text = learn.file.read_text()
    assert text.endswith("\nmount options=(rw,bind) /a/ -> /b/,\n")
    assert [*learn.file.parent.iterdir()] == [learn.file]
    assert learn.file.stat().st_mode & 0o777 == 0o644
    # a second time there is nothing new
    status, out, err = learn("--write", pve1=answer(BIND))
    assert (status, out) == (0, "")
    assert "nothing to learn" in err
    assert learn.file.read_text() == text


def test_what_a_person_wrote_stays_with_its_mode(learn):
    learn.file.parent.mkdir()
    learn.file.write_text("# mine\ncapability chown,")
    learn.file.chmod(0o600)
    status, out, _ = learn("--write", pve1=answer(BIND))
    assert status == 0
    assert " # mine\n-capability chown,\n\\ No newline at end of file\n+capability chown,\n" in out
    assert learn.file.read_text().startswith("# mine\ncapability chown,\n\n# learned on ")
    assert learn.file.stat().st_mode & 0o777 == 0o600


def test_the_node_is_asked_from_when_on_and_for_that_container(learn):
    learn("--since", "2h", pve1=answer(BIND))
    assert learn.asked("pve1")["denials"] == {"since": [-7200], "only": [910]}
    learn(pve1=answer(BIND))
    assert learn.asked("pve1")["denials"] == {"since": None, "only": [910]}


def test_what_is_refused_and_what_is_left_out_is_told_with_the_reason(learn):
    status, out, err = learn(
        pve1=answer(seen("userns_create", count=4), file("/srv/x", profile=f"{NAME}-952"))
    )
    assert (status, out) == (0, "")
    assert "refused: userns_create (4x): never allowed: user namespaces" in err
    assert f"left out: {NAME}-952 (1x): no profile of CT 910" in err


def test_one_that_shares_its_profile_hears_how_to_learn(learn):
    shared = f"{NAME}-complain"
    denial = mount("/b/", "/a/", "rw, bind", profile=shared)
    _, out, err = learn(pve1=answer(denial, containers={910: shared, 952: shared}))
    assert out == ""
    assert f"CT 910 runs under {shared}, which others may carry" in err
    assert '"apparmor_own": true' in err


def test_a_profile_that_a_clone_carries_is_not_its_own(learn):
    _, out, err = learn(pve1=answer(BIND, containers={910: OWN, 952: OWN}))
    assert out == ""
    assert f"left out: {OWN} (3x): others may carry it" in err


def test_all_nodes_are_asked_and_one_of_them_must_have_it(learn):
    other = answer(mount("/d/", "/c/", "rw, bind"), containers={952: NAME})
    _, out, _ = learn(pve1=answer(BIND), pve2=other)
    # it may have come from there
    assert "/a/ -> /b/" in out
    assert "/c/ -> /d/" in out
    status, _, err = learn(pve2=other)
    assert status == 1
    assert "pve2: no container 910 there" in err


def test_docker_elsewhere_is_known_by_the_installed_profile(learn):
    files = {OWN: "# x\n@{dkr_data} = /srv/docker\n"}
    _, out, _ = learn(pve1=answer(file("/srv/docker/x"), files=files))
    assert "+@{dkr_data}/x w,\n" in out


def test_what_the_log_lacks_is_told(learn):
    log = {"begins": 1795305000.0, "left": 77}
    _, _, err = learn(pve1=answer(BIND, **log))
    assert "note: pve1: its log begins at 2026-11-21 23:50 UTC only" in err
    assert "77 lines of further kinds" in err


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo 'no route' >&2; exit 255", "pve1: no route: see whether this works"),
        ("echo '{\"containers\": {}}'", "pve1: its answer is not understood"),
        ("echo '{\"denials\": 1}'", "pve1: its answer is not understood"),
        ("echo hello", "did not arrive whole"),
    ],
)
def test_a_node_that_does_not_answer_is_no_traceback(learn, script, said):
    status, out, err = learn(pve1=script)
    assert (status, out) == (1, "")
    assert said in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{}", "lxc_configs: is missing"),
        ('{"lxc_configs": {}}', "lxc_configs.910: is missing"),
        ('{"lxc_configs": {"910": {}}}', "only a profile with a name has an overlay"),
        ("", "$: "),
    ],
)
def test_a_fleet_file_that_does_not_fit_is_told(learn, fleet, text, said):
    fleet.write_text(text)
    status, out, err = learn(pve1=answer(BIND))
    assert (status, out) == (2, "")
    assert said in err


def test_one_that_was_made_has_the_profile_that_its_features_imply(learn, fleet):
    made = {"template": "local:vztmpl/x.tar.zst", "features": ["docker"]}
    fleet.write_text(json.dumps({"lxc_configs": {"910": made}}))
    status, out, _ = learn(pve1=answer(BIND))
    assert status == 0
    assert "/a/ -> /b/" in out


def test_no_fleet_file_is_told(learn, fleet):
    fleet.unlink()
    status, _, err = learn(pve1=answer(BIND))
    assert status == 2
    assert "name it with --fleet" in err


def test_an_overlay_that_is_wrong_is_told_before_anybody_is_asked(learn):
    learn.file.parent.mkdir()
    learn.file.write_text("all,\n")
    status, _, err = learn(pve1="exit 1")
    assert status == 2
    assert "profiles.d/910.rules:1: all,: never allowed" in err


@pytest.mark.parametrize("said", ["printf '\\377\\n'", "echo all,", "head -c 70000 /dev/zero"])
def test_an_overlay_that_goes_wrong_while_the_node_is_asked_is_told_and_left(learn, said):
    learn.file.parent.mkdir()
    learn.file.write_text("# mine\n")
    told = f"cat <<'EOT'\n{json.dumps(answer(BIND))}\nEOT\n"
    status, _, err = learn("--write", pve1=f"{said} >{learn.file}\n{told}")
    assert (status, "profiles.d/910.rules:1: " in err) == (2, True)
    assert "mine" not in learn.file.read_bytes().decode("latin-1")


def test_where_it_cannot_be_written_nothing_is_left(learn):
    learn.file.parent.write_text("a file in its place")
    status, _, err = learn("--write", pve1=answer(BIND))
    assert status == 2
    assert "profiles.d: cannot be read: Not a directory" in err


@pytest.mark.parametrize(
    "words",
    [
        *(["learn"], ["learn", "9"], ["learn", "x"]),
        *(["learn", "910", "--since", when] for when in ("soon", "2099-01-01")),
    ],
)
def test_a_wrong_command_line_is_told(words, capsys):
    with pytest.raises(SystemExit) as caught:
        cli.main(words)
    assert caught.value.code == 2
    assert "error: " in capsys.readouterr().err


def test_all_forms_of_its_profile_are_asked_for():
    container = parse_fleet(json.dumps({"lxc_configs": {"910": ENTRY}}).encode()).containers[910]
    names = profile_names(container)
    assert len({*names}) == 8
    assert {NAME, OWN, f"{NAME}-910-ns-complain"} <= {*names}
