"""profiles.d beside the fleet file: every recipe that reads the one reads the other."""

import pytest
from fake_node import CONF, FakeNode

FLEET = {"910": {"features": ["docker"], "apparmor_profile": "lxc-docker-nested"}}
BIND = "mount options=(rw,bind) /a/ -> /b/,"


@pytest.fixture
def overlays(tmp_path):
    """Write the files of profiles.d beside the fleet file."""

    def write(**files):
        folder = tmp_path / "profiles.d"
        folder.mkdir()
        for name, text in files.items():
            (folder / f"{name.removeprefix('ct')}.rules").write_text(text)

    return write


def node():
    return FakeNode("pve1", {910: CONF.format(name="portainer")})


@pytest.mark.parametrize("recipe", ["harden", "host_prep", "audit", "create"])
def test_a_bad_one_stops_a_run_before_anything_with_file_and_line(pyinfra, overlays, recipe):
    overlays(ct910=f"# mine\n{BIND}\nuserns,\nall,\n", ct952="mount,\n")
    done = pyinfra(recipe, node(), fleet=FLEET)
    assert done.code != 0
    for line in ("910.rules:3: userns,", "910.rules:4: all,", "952.rules:1: mount,"):
        assert f"fleet.json: profiles.d/{line}: never allowed" in done.stderr
    assert "Starting operation" not in done.stderr
    assert done.commands == []


def test_a_good_one_gives_the_container_a_profile_of_its_own(pyinfra, overlays):
    overlays(ct910=f"# mine\n{BIND}\n", ct999="# nobody's\n")
    done = pyinfra("harden", node(), fleet=FLEET, flags=("--dry",))
    assert done.code == 0, done.stderr
    assert "pve1: profile lxc-docker-nested-910: new" in done.stderr
    assert f"+   {BIND}" in done.stderr
    assert "+ lxc.apparmor.profile: lxc-docker-nested-910" in done.stderr
    assert "1 warnings about it: phoenix check" in done.stderr
