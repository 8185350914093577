"""Overlays beside the fleet file: read with it, refused with it, and whose profile has them."""

import json
from dataclasses import replace

import pytest
from plan_cases import CONF, DOCKER, apparmor, container, node
from test_allows import ALL
from test_apparmor import TEMPLATES

from phoenix.apparmor.observed import MARKER
from phoenix.cli import main as cli
from phoenix.fleet.parse import FleetError, parse_fleet
from phoenix.plan.confinement import wanted
from phoenix.plan.facts import NodeFacts
from phoenix.plan.node import plan_node
from phoenix.plan.options import Options

NAME = "lxc-docker-nested"
RULES = b"# for the app\nmount options=(rw,bind) /a/ -> /b/,\n"


def fleet(overlays, **entry):
    data = json.dumps({"lxc_configs": {"910": {**DOCKER, **entry}, "952": DOCKER}}).encode()
    return parse_fleet(data, {NAME}, overlays)


def planned(overlays, options=None, templates=ALL, files=None, **entry):
    return plan_node(
        fleet=fleet(overlays, **entry),
        options=options or Options(),
        facts=NodeFacts(
            containers=node(container(conf=CONF), container(952)),
            apparmor=replace(apparmor(), files=files or {}),
        ),
        templates=templates,
    )


def problems(overlays, **entry):
    with pytest.raises(FleetError) as caught:
        fleet(overlays, **entry)
    return [str(problem) for problem in caught.value.problems]


def test_a_container_with_one_has_a_profile_of_its_own():
    its = fleet({"910.rules": RULES}).containers
    assert its[910].overlay == ("# for the app", "mount options=(rw,bind) /a/ -> /b/,")
    confinement = wanted(its[910], Options(mode="complain", stacking=True))
    assert confinement.profile == f"{NAME}-910-ns-complain"
    assert confinement.overlay == its[910].overlay
    assert wanted(its[952], Options()).profile == NAME
    # an empty one is how one begins to learn
    assert wanted(fleet({"910.rules": b""}).containers[910], Options()).profile == f"{NAME}-910"


def test_it_is_planned_in_that_profile_and_in_no_other():
    result = planned({"910.rules": RULES})
    assert result.problems == ()
    shared, own = sorted(result.profiles, key=lambda one: one.name)
    assert (shared.name, own.name) == (NAME, f"{NAME}-910")
    assert "\n  mount options=(rw,bind) /a/ -> /b/,\n}\n" in own.after
    assert "/a/ -> /b/" not in shared.after
    assert f"lxc.apparmor.profile: {NAME}-910\n" in result.containers[0].after.text


def test_a_change_of_it_is_a_change_of_the_profile():
    (_, before) = sorted(planned({"910.rules": RULES}).profiles, key=lambda one: one.name)
    files = {before.name: before.after}
    assert before.after.startswith(MARKER)
    again = planned({"910.rules": RULES}, files=files).profiles
    assert "changed" not in [str(one.reason) for one in again]
    more = planned({"910.rules": RULES + b"capability net_raw,\n"}, files=files).profiles
    assert [str(one.reason) for one in more if one.name == before.name] == ["changed"]


def test_all_mistakes_are_told_at_once_with_file_and_line():
    files = {"910.rules": b"# x\nuserns,\n\nmount,\n", "952.rules": b"\xff"}
    found = problems(files, mode="complian")
    assert [text.partition(": ")[0] for text in found] == [
        "lxc_configs.910.mode",
        "profiles.d/910.rules:2",
        "profiles.d/910.rules:4",
        "profiles.d/952.rules:1",
    ]
    assert "userns,: never allowed" in found[1]


def test_files_for_nobody_are_warnings():
    files = {"999.rules": RULES, "0910.rules": b"mount,", "web.rules": b"mount,", "9.rules": b""}
    parsed = fleet(files)
    assert len(parsed.warnings) == 4
    assert "profiles.d/999.rules: the fleet file has no container 999" in parsed.warnings
    assert "profiles.d/web.rules: is not read" in "".join(parsed.warnings)
    assert parsed.containers[910].overlay is None


@pytest.mark.parametrize("profile", ["generated", "unconfined"])
def test_a_profile_without_a_name_takes_none(profile):
    (problem,) = planned({"910.rules": RULES}, apparmor_profile=profile).problems
    assert "profiles.d/910.rules needs a named profile" in problem
    warnings = fleet({"910.rules": RULES}, apparmor_profile=profile).containers[910].warnings
    assert any("only a profile with a name takes an overlay" in text for text in warnings)
    # the command line names one
    options = Options(profile=NAME)
    assert planned({"910.rules": RULES}, options, apparmor_profile=profile).problems == ()


def test_what_a_template_has_no_place_for_stops_the_run():
    alone = {**TEMPLATES, f"{NAME}.j2": "{{ marker }}\nprofile {{ name }} { file, }\n"}
    found = planned({"910.rules": RULES}, templates=alone).problems
    assert any("has no place for profiles.d/910.rules" in text for text in found)


# --- phoenix check --------------------------------------------------------------------------------


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "fleet.json"
    path.write_text(json.dumps({"lxc_configs": {"910": DOCKER}}))
    (tmp_path / "profiles.d").mkdir()
    (tmp_path / "profiles.d/910.rules").write_bytes(RULES)
    (tmp_path / "profiles.d/README").write_text("not read")
    return path


def test_check_shows_them(capsys, file):
    assert cli.main(["check", str(file)]) == 0
    assert "(profiles.d/910.rules: 1 rule)" in capsys.readouterr().out
    assert cli.main(["check", "--json", str(file)]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["containers"]["910"]["overlay"] == ["mount options=(rw,bind) /a/ -> /b/"]


def test_check_tells_what_is_wrong_with_them(capsys, file):
    file.with_name("profiles.d").joinpath("910.rules").write_text("/srv/a r,\nall,\n")
    assert cli.main(["check", str(file)]) == 2
    assert f"{file}: profiles.d/910.rules:2: all,: never allowed" in capsys.readouterr().err


def test_check_names_one_that_cannot_be_read(capsys, file):
    path = file.with_name("profiles.d") / "952.rules"
    path.mkdir()
    assert cli.main(["check", str(file)]) == 2
    assert "profiles.d/952.rules: cannot be read: no regular file" in capsys.readouterr().err
    path.rmdir()
    path.symlink_to("nowhere")
    assert cli.main(["check", str(file)]) == 2
    assert "profiles.d/952.rules: cannot be read" in capsys.readouterr().err
