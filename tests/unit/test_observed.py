"""What the facts saw: the running configuration says which features are live."""

import json
from pathlib import Path

import pytest
from conf_strategies import CHARACTERS
from hypothesis import given
from hypothesis import strategies as st

from phoenix.pve.observed import Live, containers_from_json

# reference/pct/in-vm/2e and 4a: what Proxmox wrote for two containers that it started
GENERATED = (
    ("lxc.mount.auto", "sys:mixed"),
    ("lxc.seccomp.profile", "/var/lib/lxc/910/rules.seccomp"),
    ("lxc.apparmor.profile", "generated"),
    ("lxc.apparmor.raw", "allow mqueue,"),
    ("lxc.apparmor.allow_nesting", "1"),
    ("lxc.apparmor.raw", "allow userns,"),
    ("lxc.apparmor.raw", "mount fstype=nfs,"),
    ("lxc.apparmor.raw", "mount fstype=cifs,"),
    ("lxc.apparmor.raw", "mount fstype=fuse,"),
)
NAMED = (
    ("lxc.mount.auto", "sys:mixed"),
    ("lxc.apparmor.profile", "lxc-container-default-with-nesting"),
)


def test_the_features_of_a_generated_profile_are_all_to_be_seen() -> None:
    live = Live(dev_fuse=True, keyctl=True, config=GENERATED)
    assert live.profile == "generated"
    assert {name: live.feature(name) for name in ("nesting", "keyctl", "fuse", "mount")} == {
        "nesting": "1",
        "keyctl": "1",
        "fuse": "1",
        "mount": "nfs;cifs",
    }
    assert (live.feature("mknod"), live.feature("force_rw_sys")) == ("0", "0")


def test_a_named_profile_hides_nesting_and_mount() -> None:
    live = Live(dev_fuse=False, keyctl=None, config=NAMED)
    assert live.profile == "lxc-container-default-with-nesting"
    assert (live.feature("nesting"), live.feature("mount"), live.feature("keyctl")) == (
        None,
        None,
        None,
    )
    assert live.feature("fuse") == "0"


def test_without_a_configuration_nothing_is_to_be_seen() -> None:
    live = Live(dev_fuse=True, keyctl=None)
    assert live.profile is None
    assert live.feature("fuse") is None


def test_there_is_no_such_feature() -> None:
    with pytest.raises(KeyError):
        Live(dev_fuse=True, keyctl=None, config=NAMED).feature("nestling")


CONTAINER = {
    "conf": "cores: 1\n#caf\udce9",
    "running": True,
    "pid": 7,
    "started": 1795308303,
    "label": "unconfined",
    "ha": None,
    "ours": None,
    "live": {"fuse": True, "keyctl": None, "config": "lxc.tty.max = 2\n"},
}
ANSWER = {
    "node": "pve1",
    "containers": {"910": CONTAINER},
    "elsewhere": {"955": "pve2"},
    "problems": [],
    "wanted": None,
}


@pytest.mark.parametrize("key", ANSWER)
def test_an_answer_that_lacks_anything_is_none(key: str) -> None:
    with pytest.raises(KeyError):
        containers_from_json({other: value for other, value in ANSWER.items() if other != key})


@pytest.mark.parametrize("key", CONTAINER)
def test_nor_is_one_of_a_container_that_lacks_anything(key: str) -> None:
    one = {other: value for other, value in CONTAINER.items() if other != key}
    with pytest.raises(KeyError):
        containers_from_json({**ANSWER, "containers": {"910": one}})


@given(st.text(CHARACTERS), st.text(CHARACTERS), st.text(CHARACTERS))
def test_no_text_of_a_guest_or_a_conf_raises(conf: str, label: str, config: str) -> None:
    live = {"fuse": False, "keyctl": True, "config": config}
    one = {**CONTAINER, "conf": conf, "label": label, "live": live}
    seen = containers_from_json({**ANSWER, "containers": {"910": one}})
    assert seen.containers[910].conf.text == conf
    json.dumps(seen.to_json())


def test_it_becomes_json() -> None:
    data = json.loads(json.dumps(containers_from_json(ANSWER).to_json()))
    assert data["containers"]["910"]["conf"] == "cores: 1\n#caf\udce9"
    assert data["containers"]["910"]["live"]["config"] == [["lxc.tty.max", "2"]]
    assert data["elsewhere"] == {"955": "pve2"}


def test_the_configuration_of_a_recorded_start_is_read() -> None:
    folder = Path(__file__).parents[1] / "recordings/pct/in-vm"
    name = "4a__pct_status_920_lxc-info"
    file = min(folder.glob(f"{name}*"))
    config = file.read_text().split("(enforce)\n", 1)[1].split("--- stderr", 1)[0]
    one = {**CONTAINER, "live": {"fuse": False, "keyctl": True, "config": config}}
    live = containers_from_json({**ANSWER, "containers": {"920": one}}).containers[920].live
    assert live is not None
    assert live.profile == "lxc-container-default-with-nesting"
    assert len(live.config) == len(config.splitlines())
    assert live.raw("lxc.idmap") == ("u 0 100000 65536", "g 0 100000 65536")
